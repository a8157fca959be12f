"""The parts of the compact network: trunk, value encoder, decoder. Letters as in `compact.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stm_core.errors import OptionError
from stm_core.networks.efficientnet import CHANNELS, JOINED
from stm_core.networks.packed import convolve

MASK_INPUTS = 4  # this object's mask, the other objects' masks, positive clicks, negative clicks
PATCH = 4  # masks enter the value encoder at stride 4, one 4x4 patch each


@dataclass(frozen=True)
class CompactConfig:
    """Channel counts of `CompactSTM`; the defaults are those of the bundled network.  Raises OptionError."""

    stem: int = 32  # stride 2
    trunk: tuple[int, int, int] = (64, 128, 192)  # strides 4, 8, 16
    blocks: tuple[int, int, int] = (1, 2, 3)  # residual blocks at those strides
    key: int = 64
    value: int = 128
    masks: tuple[int, int] = (32, 64)  # value encoder at strides 4 and 8; `value` at 16
    decoder: tuple[int, int, int] = (128, 64, 32)  # strides 16, 8, 4
    lite: tuple[int, int, int, int, int, int] = CHANNELS  # the frozen trunk: stem, then its stages

    def __post_init__(self):
        for field in fields(self):
            value, default = getattr(self, field.name), field.default
            numbers, count = (value, len(default)) if isinstance(default, tuple) else ((value,), 1)
            counted = isinstance(numbers, tuple) and len(numbers) == count
            if not counted or any(type(n) is not int or n < 1 for n in numbers):
                raise OptionError(
                    f"CompactConfig.{field.name} is {value!r}; give {count} positive whole number(s), "
                    f"such as {default}"
                )


class ConvNorm(nn.Module):
    """A convolution without bias, then a batch norm, which `Network.for_inference` folds into it."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, add: Tensor | None = None, relu: bool = False) -> Tensor:
        """relu(bn(conv(x)) + add), where add and relu are optional."""
        return convolve(self.conv, x, self.bn, add=add, relu=relu)


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut (ResNet's basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs, stride=stride)
        self.conv2 = ConvNorm(outputs, outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, stride)
        nn.init.zeros_(self.conv2.bn.weight)  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(x, relu=True)
        return self.conv2(inner, add=self.shortcut(x), relu=True)


class Trunk(nn.Module):
    """Frame -> features at strides 4, 8, 16, to which those of the frozen trunk are added."""

    def __init__(self, config: CompactConfig):
        super().__init__()
        self.stem = ConvNorm(3, config.stem, 5, stride=2)
        widths = (config.stem, *config.trunk)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Block(widths[i] if j == 0 else widths[i + 1], widths[i + 1], 2 if j == 0 else 1)
                    for j in range(config.blocks[i])
                )
            )
            for i in range(3)
        )
        self.join4, self.join8, self.join16 = (
            nn.Conv2d(config.lite[stage + 1], own, 1, bias=False)
            for stage, own in zip(JOINED, config.trunk, strict=True)
        )
        for join in (self.join4, self.join8, self.join16):
            nn.init.zeros_(join.weight)  # starts without them

    def forward(
        self, x: Tensor, lite4: Tensor, lite8: Tensor, lite16: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x: the normalised frame.  lite4, lite8, lite16: its features from the frozen trunk."""
        f4 = convolve(self.join4, lite4, add=self.stages[0](self.stem(x, relu=True)))
        f8 = convolve(self.join8, lite8, add=self.stages[1](f4))
        first, *others = self.stages[2]
        f16 = convolve(self.join16, lite16, add=first(f8))
        for block in others:
            f16 = block(f16)
        return f4, f8, f16


class ValueEncoder(nn.Module):
    """Masks and clicks of each object, and the features of the frame -> value (N,Cv,h,w)."""

    def __init__(self, config: CompactConfig):
        super().__init__()
        (c4, c8), c16 = config.masks, config.value
        # no norm: maps of clicks are nearly empty, so their statistics differ from those of masks
        self.mask4 = nn.Conv2d(MASK_INPUTS, c4, PATCH, stride=PATCH)
        self.mask8 = ConvNorm(c4, c8, stride=2)
        self.block8 = Block(c8, c8)
        self.mask16 = ConvNorm(c8, c16, stride=2)
        self.click16 = nn.Conv2d(2, c16, 1, bias=False)
        self.block16 = Block(c16, c16)
        self.out = nn.Conv2d(c16, c16, 1)

    def forward(self, masks: Tensor, likeness: Tensor, frame: tuple[Tensor, ...]) -> Tensor:
        """masks: (N,4,H,W).  likeness: (N,2,h,w), to clicks.  frame: its part at strides 4, 8, 16."""
        frame4, frame8, frame16 = frame
        masks = masks.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.mask4(masks) + frame4)
        x = self.block8(F.relu(self.mask8(x) + frame8))
        x = self.block16(F.relu(self.mask16(x) + self.click16(likeness) + frame16))
        return self.out(x)


class Decoder(nn.Module):
    """What was read, and the features of the frame -> logits at stride 4, (N,1,H/4,W/4)."""

    def __init__(self, config: CompactConfig):
        super().__init__()
        d16, d8, d4 = config.decoder
        self.read16 = ConvNorm(config.value, d16, 1)
        self.block16 = Block(d16, d16)
        self.to8 = ConvNorm(d16, d8, 1)
        self.block8 = Block(d8, d8)
        self.to4 = ConvNorm(d8, d4, 1)
        self.block4 = Block(d4, d4)
        self.out = nn.Conv2d(d4, 1, 3, padding=1)

    def forward(self, read: Tensor, frame: tuple[Tensor, ...]) -> Tensor:
        frame4, frame8, frame16 = frame
        x = self.block16(F.relu(self.read16(read) + frame16))
        x = self.block8(F.relu(enlarge(self.to8(x), 2) + frame8))
        return self.out(self.block4(F.relu(enlarge(self.to4(x), 2) + frame4)))


def enlarge(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
