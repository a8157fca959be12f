"""The compact network with its convolutions in OpenVINO; the read of memory stays in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stm_core.networks.compact import CompactSTM
from stm_core.networks.compact_layers import MASK_INPUTS
from stm_core.networks.openvino_graph import graph_of
from stm_core.networks.openvino_runtime import TYPES, CompiledGraph
from stm_core.networks.ranges import Ranges

# Stay in full precision: convolutions that see pixels, masks or clicks, which is little work, or give logits.
PRECISE = ("trunk.stem.conv", "lite.stem", "value.mask4", "value.click16", "decoder.out")


def to_openvino(network: CompactSTM, ranges: Ranges, dtype: torch.dtype, threads: int) -> None:
    """Replace what computes with pixels by graphs, in place.

    network: as `for_inference` gives it, on the CPU.
    ranges: of the convolutions that become int8; without any, all stays in `dtype`.
    threads: that work on one call.
    """
    config, kind = network.config, TYPES[dtype]
    ranges = {name: ends for name, ends in ranges.items() if name not in PRECISE}
    values, decoded = zip(*network.splits, strict=True)
    parts = (
        (_Features(network), [3]),
        (_Values(network), [MASK_INPUTS, 2, *values]),
        (_Decoding(network), [config.value, *decoded]),
    )
    features, value, decoder = (
        CompiledGraph(graph_of(part, channels, ranges, kind), dtype, threads) for part, channels in parts
    )
    network.features = features.forward  # a method, where the others are modules
    network.value, network.decoder = value, decoder
    del network.lite, network.trunk, network.share  # the graphs have copies


class _Features(nn.Module):
    def __init__(self, network: CompactSTM):
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        return self.network.features(frame)


class _Values(nn.Module):
    def __init__(self, network: CompactSTM):
        super().__init__()
        self.network = network

    def forward(self, masks: Tensor, likeness: Tensor, f4: Tensor, f8: Tensor, f16: Tensor) -> Tensor:
        return self.network.value(masks, likeness, (f4, f8, f16))


class _Decoding(nn.Module):
    def __init__(self, network: CompactSTM):
        super().__init__()
        self.network = network

    def forward(self, read: Tensor, f4: Tensor, f8: Tensor, f16: Tensor) -> Tensor:
        return self.network.decoder(read, (f4, f8, f16))
