"""Convolutions whose weights are laid out once for this CPU, with the sum and the ReLU that follow fused in.

PyTorch lays out the weights of a convolution anew at each call, and a sum or a ReLU is another pass over the
map. Here the results are the same, with less memory traffic. The operators are those that PyTorch's compiler
emits for CPUs; where a build lacks them, nothing is replaced.
"""

from __future__ import annotations

import threading
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEPT_BYTES = 100 * 2**20  # most for the packed convolutions of a network, for the latest input sizes
_PACKING = threading.Lock()


class PackedConv(nn.Module):
    """A frozen nn.Conv2d on a CPU.

    Which layout is fast depends on the size of the input. The convolution is packed when an input size first
    comes, and the packed forms of the last `kept` sizes are kept.
    """

    def __init__(self, conv: nn.Conv2d, kept: int = 1):
        super().__init__()
        self.weight, self.bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
        self.kept = kept
        self._shape = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        self._packed: dict[torch.Size, Tensor] = {}

    def forward(self, x: Tensor, add: Tensor | None = None, relu: bool | float = False) -> Tensor:
        """relu(conv(x) + add), where add and relu are optional.

        x, add: channels_last; add has the shape of the result.
        relu: True, or the largest value that passes; then there can be no add.
        """
        weight = self._packed.get(x.shape)
        if weight is None:
            weight = self._pack(x.shape)
        fused = torch.ops.mkldnn._convolution_pointwise
        if add is not None:
            unary = "relu" if relu else None
            return fused.binary(x, add, weight, self.bias, *self._shape, "add", 1.0, unary, [], "")
        if isinstance(relu, bool):
            return fused(x, weight, self.bias, *self._shape, "relu" if relu else "none", [], "")
        return fused(x, weight, self.bias, *self._shape, "hardtanh", [0.0, float(relu)], "")

    def _pack(self, size: torch.Size) -> Tensor:
        with _PACKING:  # one model serves many threads
            if size not in self._packed:
                weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
                    self.weight.to_mkldnn(), *self._shape, list(size)
                )
                while len(self._packed) >= self.kept:
                    del self._packed[next(iter(self._packed))]
                self._packed[size] = weight
            return self._packed[size]


@cache
@torch.random.fork_rng(devices=[])  # the trial convolutions draw random numbers, which must not count
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build of PyTorch packs convolutions of a dtype on this CPU; found by trying two."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    dense = nn.Conv2d(4, 4, 3, padding=1).to(dtype).requires_grad_(False)
    single = nn.Conv2d(4, 4, 3, padding=1, groups=4).to(dtype).requires_grad_(False)
    x = torch.ones(1, 4, 5, 5, dtype=dtype).contiguous(memory_format=torch.channels_last)
    try:
        packed = PackedConv(dense)(x, add=torch.zeros_like(x), relu=True), PackedConv(single)(x, relu=0.1)
    except (AttributeError, RuntimeError, TypeError):
        return False
    plain = dense(x).relu(), single(x).clamp(0, 0.1)
    return all(torch.allclose(one, two, atol=0.05) for one, two in zip(packed, plain, strict=True))


def pack(module: nn.Module) -> None:
    """Replace every convolution inside a module by its packed form."""
    convs = [one for one in module.modules() if type(one) is nn.Conv2d]
    kept = max(1, KEPT_BYTES // max(1, sum(conv.weight.nbytes for conv in convs)))
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d:
                setattr(parent, name, PackedConv(child, kept))


def convolve(
    conv: nn.Module,
    x: Tensor,
    norm: nn.Module | None = None,
    *,
    add: Tensor | None = None,
    relu: bool | float = False,
) -> Tensor:
    """relu(norm(conv(x)) + add), where norm, add and relu are optional.

    It is one pass if conv is packed, as the norm was folded into it before.
    relu: True, or the largest value that passes; then there can be no add.
    """
    if add is not None and not isinstance(relu, bool):
        raise ValueError(f"relu is {relu}: with add it can only be True or False")
    if isinstance(conv, PackedConv):
        return conv(x, add, relu)
    y = conv(x) if norm is None else norm(conv(x))
    y = y if add is None else y + add
    if isinstance(relu, bool):
        return F.relu(y) if relu else y
    return y.clamp(0, relu)
