"""OpenVINO, loaded so that it sends nothing, and graphs of it that take and give PyTorch's tensors.

A plain import of OpenVINO writes an identifier into the home folder, and reports to its makers under it,
without asking. The package that does so, `openvino_telemetry`, is never loaded here: without it, OpenVINO
uses a stand-in that does nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn

TELEMETRY = "openvino_telemetry"
CONVERTERS = "openvino.tools"  # for other file formats: not needed, and they would load the telemetry


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Inside, a module cannot be imported, unless it was before."""
    known = name in sys.modules
    sys.modules.setdefault(name, None)  # None: an import of it fails
    try:
        yield
    finally:
        if not known:
            del sys.modules[name]


sys.modules.setdefault(TELEMETRY, None)  # for good
with _hidden(CONVERTERS):
    import openvino as ov
    from openvino import opset15 as op

__all__ = ["CompiledGraph", "op", "ov"]

TYPES = {torch.float32: ov.Type.f32, torch.bfloat16: ov.Type.bf16}


class CompiledGraph(nn.Module):
    """A graph as a part of a network: takes and gives maps (B, C, H, W) of any size.

    They are contiguous: a graph for any size would copy maps with their channels last, on the way in and on
    the way out.

    Threads may share it.

    dtype: of its maps, and of the arithmetic that is not int8.
    threads: that work on one call.
    """

    def __init__(self, model: ov.Model, dtype: torch.dtype, threads: int):
        super().__init__()
        self.dtype = dtype
        hints = {
            "INFERENCE_PRECISION_HINT": TYPES[dtype],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # the cores are not ours alone
        }
        self._compiled = ov.Core().compile_model(model, "CPU", hints)

    def forward(self, *maps: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        """The maps that the graph gives; a single one without a tuple.  Tuples among `maps` are unpacked."""
        flat = [m for one in maps for m in (one if isinstance(one, tuple) else (one,))]
        kept = [m.to(self.dtype).contiguous() for m in flat]
        request = self._compiled.create_infer_request()  # its own for each call, so threads share nothing
        for i, one in enumerate(kept):
            request.set_input_tensor(i, _shared(one))
        request.infer()
        given = tuple(_tensor(request.get_output_tensor(i)) for i in range(len(self._compiled.outputs)))
        return given if len(given) > 1 else given[0]


def _shared(tensor: Tensor) -> ov.Tensor:
    """The same memory, as OpenVINO sees it."""
    if tensor.dtype == torch.bfloat16:  # which NumPy does not know
        return ov.Tensor(tensor.view(torch.int16).numpy(), ov.Shape(list(tensor.shape)), ov.Type.bf16)
    return ov.Tensor(tensor.numpy(), shared_memory=True)


def _tensor(given: ov.Tensor) -> Tensor:
    """The same memory, which it keeps alive, as PyTorch sees it."""
    if given.element_type == ov.Type.bf16:
        return torch.from_numpy(given.data.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(given.data)
