"""EfficientNet-lite0 up to stride 16: the frozen trunk of the compact network, trained on ImageNet.

Source: Tan & Le, "EfficientNet", ICML 2019; the variant for mobile CPUs ("lite") has ReLU6 and no
squeeze-and-excitation. Its batch norms are folded into the convolutions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from stm_core.networks.packed import convolve, pack

CHANNELS = (32, 16, 24, 40, 80, 112)  # of the stem and of each stage
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # with which a frame's colours are normalised
FROZEN = "lite."  # prefix of its tensors in `CompactSTM`
JOINED = (1, 2, 4)  # stages whose features the compact network takes: strides 4, 8 and 16
# of each stage: blocks, kernel, stride, widening
STAGES = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6))


class LiteBlock(nn.Module):
    """1x1 to more channels, depthwise, 1x1 to fewer, beside a shortcut where it fits (MobileNetV2)."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, widening: int):
        super().__init__()
        wide = inputs * widening
        self.widen = nn.Conv2d(inputs, wide, 1) if widening > 1 else None
        self.spread = nn.Conv2d(wide, wide, size, stride, padding=size // 2, groups=wide)
        self.narrow = nn.Conv2d(wide, outputs, 1)
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.widen is None else convolve(self.widen, x, relu=6)
        y = convolve(self.spread, y, relu=6)
        return convolve(self.narrow, y, add=x if self.shortcut else None)


class LiteTrunk(nn.Module):
    """Normalised frame (B,3,H,W) -> features at strides 4, 8, 16, with 24, 40, 112 channels for CHANNELS."""

    def __init__(self, channels: tuple[int, ...] = CHANNELS):
        super().__init__()
        self.stem = nn.Conv2d(3, channels[0], 3, 2, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    LiteBlock(before if i == 0 else width, width, size, stride if i == 0 else 1, widening)
                    for i in range(blocks)
                )
            )
            for (before, width), (blocks, size, stride, widening) in zip(
                pairwise(channels), STAGES, strict=True
            )
        )
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, ends = convolve(self.stem, x, relu=6), []
        for blocks in self.stages:
            x = blocks(x)
            ends.append(x)
        return tuple(ends[stage] for stage in JOINED)


@contextmanager
def quickened(trunk: LiteTrunk) -> Iterator[None]:
    """Inside, a frozen trunk on a CPU computes in bf16 with packed convolutions; do not change it there."""
    packed = copy.deepcopy(trunk).to(torch.bfloat16, memory_format=torch.channels_last)
    pack(packed)

    @torch.no_grad()
    def forward(x: Tensor) -> tuple[Tensor, ...]:
        return packed(x.to(torch.bfloat16, memory_format=torch.channels_last))

    trunk.forward = forward
    try:
        yield
    finally:
        del trunk.forward
