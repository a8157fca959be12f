"""The ResNet-50 trunk of the paper's two encoders, to stride 16. Names as in the published checkpoint.

Source: He et al., CVPR 2016; the paper (Oh et al., ICCV 2019, section 3.1) takes its first four stages.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stm_core.networks.packed import run

STAGES = {"res2": (64, 3, 1), "res3": (128, 4, 2), "res4": (256, 6, 2)}  # width inside, blocks, stride
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut; the stride is in the 3x3."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = run(self.conv1, x, self.bn1, relu=True)
        y = run(self.conv2, y, self.bn2, relu=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return run(self.conv3, y, self.bn3, add=shortcut, relu=True)


class ResNet(nn.Module):
    """What both encoders have: input normalisation, stem and three stages."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for name, (width, blocks, stride) in STAGES.items():
            stage = [Bottleneck(inputs, width, stride)]
            inputs = width * EXPANSION
            stage += [Bottleneck(inputs, width, 1) for _ in range(blocks - 1)]
            self.add_module(name, nn.Sequential(*stage))

    def normalised(self, frame: Tensor) -> Tensor:
        """frame (1, 3, H, W) in [0, 1] as the stem takes it."""
        return ((frame - self.mean) / self.std).to(self.conv1.weight.dtype)

    def stages(self, stem: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at strides 4, 8, 16 (256, 512, 1024 channels) from the stem (N, 64, H/2, W/2), bn1 done.
        """
        x = F.max_pool2d(
            stem, 3, stride=2, padding=1
        ).relu_()  # the same as ReLU first, on a quarter of the map
        f4 = self.res2(x)
        f8 = self.res3(f4)
        return f4, f8, self.res4(f8)
