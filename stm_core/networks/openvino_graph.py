"""Parts of a network as graphs of OpenVINO, their convolutions in int8 where ranges are known.

Where values may be rounded, the graph says so (FakeQuantize, and weights in whole steps); the compiler makes
int8 arithmetic of it.
"""

from __future__ import annotations

import builtins
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, fx, nn

from stm_core.networks.openvino_runtime import op, ov
from stm_core.networks.ranges import Ranges

STEPS = 63  # of a weight, on either side of 0: so the sums of two products fit 16 bits on older CPUs


def graph_of(part: nn.Module, channels: Sequence[int], ranges: Ranges, kind: ov.Type) -> ov.Model:
    """A graph that computes what `part` computes, for maps of any size.

    part: frozen, with batch norms folded; takes and gives maps (B, C, H, W).
    channels: C of each map that it takes.
    ranges: of the convolutions that become int8; the others stay as they are.
    kind: number format of maps at the border.
    """
    return _Builder(part, ranges).model(channels, kind)


class _Builder:
    """Makes one graph, operation by operation, as `part` calls them."""

    def __init__(self, part: nn.Module, ranges: Ranges):
        self.ranges = ranges
        self.traced = fx.symbolic_trace(part)
        self.made: dict[fx.Node, Any] = {}
        self.rounded: dict[fx.Node, ov.Node] = {}  # a map that enters two convolutions is rounded once

    def model(self, channels: Sequence[int], kind: ov.Type) -> ov.Model:
        inputs: list[ov.Node] = []
        outputs: list[ov.Node] = []
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                inputs.append(op.parameter([-1, channels[len(inputs)], -1, -1], kind))
                self.made[node] = _as(inputs[-1], ov.Type.f32)
            elif node.op == "get_attr":
                *path, name = node.target.split(".")
                value = getattr(self.traced.get_submodule(".".join(path)), name)
                self.made[node] = op.constant(_array(value))
            elif node.op == "output":
                outputs = [op.result(_as(self.made[one], kind)) for one in node.all_input_nodes]
            else:
                self.made[node] = self._called(node)
        return ov.Model(outputs, inputs)

    def _called(self, node: fx.Node) -> Any:
        if node.op == "call_module":
            if isinstance(self.traced.get_submodule(node.target), nn.Identity):
                return self.made[node.args[0]]
            parts = all(user.target == "split" for user in node.users)
            return None if parts else self._convolved(node)
        if node.target == "split":
            return self._split(*node.args, **node.kwargs)
        first, *others = (self.made[one] if isinstance(one, fx.Node) else one for one in node.args)
        return OPERATIONS[node.target](first, *others, **node.kwargs)

    def _split(self, node: fx.Node, sizes: Sequence[int], dim: int) -> list[ov.Node]:
        """Channels of what a convolution gives, in parts: each is computed by itself, so none is copied."""
        assert node.op == "call_module" and dim == 1, "only channels of a convolution can be split"
        ends = list(itertools.accumulate(sizes))
        return [self._convolved(node, slice(end - n, end)) for n, end in zip(sizes, ends, strict=True)]

    def _convolved(self, node: fx.Node, given: slice = slice(None)) -> ov.Node:
        """What a convolution gives; only the channels `given`."""
        conv, source = self.traced.get_submodule(node.target), node.args[0]
        assert conv.groups == 1 or given == slice(None), "a convolution in groups cannot be split"
        name = str(node.target).removeprefix("network.")
        x, array = self.made[source], _array(conv.weight)[given]
        weight = op.constant(array)
        if name in self.ranges:
            if source not in self.rounded:
                self.rounded[source] = _rounded_map(x, *self.ranges[name])
            x, weight = self.rounded[source], _rounded_weight(array)
        where = list(conv.stride), list(conv.padding), list(conv.padding), list(conv.dilation)
        if conv.groups == 1:
            y = op.convolution(x, weight, *where)
        else:
            shape = conv.groups, conv.out_channels // conv.groups, *conv.weight.shape[1:]
            y = op.group_convolution(x, op.reshape(weight, _whole(shape), False), *where)
        bias = None if conv.bias is None else _array(conv.bias)[given].reshape(1, -1, 1, 1)
        return y if bias is None else op.add(y, op.constant(bias))


def _rounded_map(x: ov.Node, low: float, high: float) -> ov.Node:
    """x rounded to 256 steps, one of them 0, whose range covers low to high."""
    most = max(high, -low, 1e-6)
    ends = [op.constant(np.float32(end)) for end in ((0, most) if low >= 0 else (-most * 128 / 127, most))]
    return op.fake_quantize(x, *ends, *ends, 256)


def _rounded_weight(weight: np.ndarray) -> ov.Node:
    """Weights (O, I, h, w) in whole steps, with a step of its own for each output channel."""
    step = np.maximum(np.abs(weight).max((1, 2, 3), keepdims=True), 1e-12) / STEPS
    whole = op.constant(np.round(weight / step).astype(np.int8))
    return op.multiply(_as(whole, ov.Type.f32), op.constant(step.astype(np.float32)))


def _enlarged(x: ov.Node, scale_factor: float, **_: object) -> ov.Node:
    """Bilinear, corners not aligned: all that these networks use."""
    factors, sides = op.constant(np.full(2, scale_factor, np.float32)), _whole((2, 3))
    same = {"coordinate_transformation_mode": "half_pixel", "axes": sides}
    return op.interpolate(x, factors, "linear_onnx", "scales", **same)


def _same(x: Any, *_: object, **__: object) -> Any:
    """x: these operations of PyTorch only say in which format it is kept."""
    return x


OPERATIONS: dict[object, Callable[..., Any]] = {
    F.interpolate: _enlarged,
    F.relu: lambda x, **_: op.relu(x),
    builtins.getattr: _same,
    operator.add: op.add,
    operator.getitem: operator.getitem,
    operator.sub: op.subtract,
    operator.truediv: op.divide,
    "clamp": op.clamp,
    "contiguous": _same,
    "to": _same,
}


def _as(x: Any, kind: ov.Type) -> Any:
    return x if _output(x).get_element_type() == kind else op.convert(x, kind)


def _output(x: ov.Node | ov.Output) -> ov.Output:
    return x.output(0) if isinstance(x, ov.Node) else x


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()


def _whole(values: int | Sequence[int]) -> ov.Node:
    return op.constant(np.array(values, np.int64))
