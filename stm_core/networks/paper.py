"""The network of the paper, exactly, with the tensor names of its published checkpoint.

What depends on the frame alone is computed once for all objects; otherwise the arithmetic is the paper's.
Source: Oh et al., "Video Object Segmentation using Space-Time Memory Networks", ICCV 2019, section 3.
Letters as in `interface.py`; Ck = 128, Cv = 512.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stm_core.networks.interface import Network, QueryFeatures, scale_outputs
from stm_core.networks.packed import convolve

KEY, VALUE, DECODER = 128, 512, 256
STAGES = {"res2": (64, 3, 1), "res3": (128, 4, 2), "res4": (256, 6, 2)}  # inner width, blocks, stride
EXPANSION = 4
OBJECTS_AT_ONCE = 4  # through the memory encoder and the decoder, which bounds their memory


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a shortcut; the stride is in the 3x3."""

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
        y = convolve(self.conv1, x, self.bn1, relu=True)
        y = convolve(self.conv2, y, self.bn2, relu=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return convolve(self.conv3, y, self.bn3, add=shortcut, relu=True)


class ResNet(nn.Module):
    """ResNet-50 to stride 16, the trunk of both encoders: normalisation, stem and three stages.

    Source: He et al., CVPR 2016.
    """

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
        """Features at strides 4, 8, 16 (256, 512, 1024 channels) from the stem and bn1 (N, 64, H/2, W/2)."""
        x = F.max_pool2d(stem, 3, stride=2, padding=1).relu_()  # as after ReLU, on a quarter of the map
        f4 = self.res2(x)
        f8 = self.res3(f4)
        return f4, f8, self.res4(f8)


class MemoryEncoder(ResNet):
    """Frame, mask of one object and masks of the others -> features at stride 16."""

    def __init__(self):
        super().__init__()
        self.conv1_m = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.conv1_o = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)

    def from_frame(self, frame: Tensor) -> Tensor:
        """The part of the stem that comes from the frame: the same for all its objects."""
        return self.conv1(self.normalised(frame))

    def forward(self, stem: Tensor, masks: Tensor, others: Tensor) -> Tensor:
        """stem: `from_frame`.  masks, others: (N, 1, H, W)."""
        return self.stages(self.bn1(stem + self.conv1_m(masks) + self.conv1_o(others)))[2]

    def fold_stem(self) -> None:
        """Move the scale of bn1 into the convolutions of the masks; conv1 is folded like the others."""
        for conv in (self.conv1_m, self.conv1_o):
            scale_outputs(conv, self.bn1)


class KeyValue(nn.Module):
    """Key and value of a feature map at stride 16."""

    def __init__(self):
        super().__init__()
        self.Key = nn.Conv2d(1024, KEY, 3, padding=1)
        self.Value = nn.Conv2d(1024, VALUE, 3, padding=1)

    def forward(self, f16: Tensor) -> tuple[Tensor, Tensor]:
        return self.Key(f16), self.Value(f16)


class ResBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(DECODER, DECODER, 3, padding=1)
        self.conv2 = nn.Conv2d(DECODER, DECODER, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(self.conv2, convolve(self.conv1, F.relu(x), relu=True), add=x)


class Refine(nn.Module):
    """Joins the map of the coarser stride with the features of the frame at this one."""

    def __init__(self, inputs: int):
        super().__init__()
        self.convFS = nn.Conv2d(inputs, DECODER, 3, padding=1)
        self.ResFS = ResBlock()
        self.ResMM = ResBlock()

    def from_frame(self, features: Tensor) -> Tensor:
        return self.ResFS(self.convFS(features))

    def forward(self, from_frame: Tensor, coarse: Tensor) -> Tensor:
        return self.ResMM(from_frame + _enlarge(coarse, 2))


class Decoder(nn.Module):
    """What was read, and value and features of the frame -> one logit a pixel for each object."""

    def __init__(self):
        super().__init__()
        self.convFM = nn.Conv2d(2 * VALUE, DECODER, 3, padding=1)
        self.ResMM = ResBlock()
        self.RF3 = Refine(512)
        self.RF2 = Refine(256)
        self.pred2 = nn.Conv2d(DECODER, 2, 3, padding=1)

    def from_frame(self, f4: Tensor, f8: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The part that comes from the frame: the same for all its objects."""
        return self.RF2.from_frame(f4), self.RF3.from_frame(f8), self._halves()[1](value)

    def forward(self, read: Tensor, frame: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """read (N, 512, h, w) -> logits (N, H, W), float32."""
        frame4, frame8, frame16 = frame
        x = self.ResMM(self._halves()[0](read) + frame16)
        x = F.relu(self.RF2(frame4, self.RF3(frame8, x)))
        return _enlarge(self._difference()(x), 4)[:, 0].float()

    def split(self) -> None:
        """Derive once the convolutions that `forward` would derive from the published ones at each call."""
        halves, difference = self._halves(), self._difference()
        self.of_read, self.of_value = halves
        self.of_both = difference
        del self.convFM, self.pred2

    def _halves(self) -> tuple[nn.Module, nn.Module]:
        """convFM in two parts, as it is linear: for what was read, and for the value that objects share."""
        if hasattr(self, "of_read"):
            return self.of_read, self.of_value
        weight = self.convFM.weight
        return _conv(weight[:, :VALUE], None), _conv(weight[:, VALUE:], self.convFM.bias)

    def _difference(self) -> nn.Module:
        """pred2's second output less its first: softmax over two logits is a sigmoid of their difference."""
        if hasattr(self, "of_both"):
            return self.of_both
        weight, bias = self.pred2.weight, self.pred2.bias
        return _conv(weight[1:] - weight[:1], bias[1:] - bias[:1])


class PaperSTM(Network):
    """Space-Time Memory network as published: 38.9 M parameters, prompted by masks."""

    key_channels, value_channels = KEY, VALUE
    shared_keys = False
    takes_clicks = False
    scale = KEY**-0.5

    def __init__(self):
        super().__init__()
        self.Encoder_M = MemoryEncoder()
        self.Encoder_Q = ResNet()
        self.KV_M_r4 = KeyValue()
        self.KV_Q_r4 = KeyValue()
        self.Decoder = Decoder()

    def encode_query(self, frame: Tensor) -> QueryFeatures:
        """Key (1, 128, h, w) and what the decoder takes from the frame (1, 3, H, W)."""
        encoder = self.Encoder_Q
        f4, f8, f16 = encoder.stages(encoder.bn1(encoder.conv1(encoder.normalised(frame))))
        key, value = self.KV_Q_r4(f16)
        return QueryFeatures(key, (), self.Decoder.from_frame(f4, f8, value))

    def encode_memory(
        self,
        frame: Tensor,
        masks: Tensor,
        query: QueryFeatures,
        clicks: Tensor | None = None,
        others: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Key (N, 128, h, w) and value (N, 512, h, w).  The memory encoder sees the frame, not the query."""
        if clicks is not None:
            raise ValueError("the paper's network takes no clicks")
        stem = self.Encoder_M.from_frame(frame)
        others = (masks.sum(0) - masks).clamp(0, 1) if others is None else others
        inputs = [maps.unsqueeze(1).to(stem.dtype).split(OBJECTS_AT_ONCE) for maps in (masks, others)]
        parts = [self.KV_M_r4(self.Encoder_M(stem, *part)) for part in zip(*inputs, strict=True)]
        keys, values = zip(*parts, strict=True)
        return torch.cat(keys), torch.cat(values)

    def decode(self, read: Tensor, query: QueryFeatures) -> Tensor:
        """Logits (N, H, W), float32: the difference of the two that the paper's decoder has."""
        return torch.cat([self.Decoder(part, query.for_decoder) for part in read.split(OBJECTS_AT_ONCE)])

    def for_inference(self) -> Network:
        """The network itself, frozen, with batch norms folded into convolutions."""
        self.Encoder_M.fold_stem()
        self.Decoder.split()
        return super().for_inference()


def _enlarge(maps: Tensor, factor: int) -> Tensor:
    return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)


def _conv(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A frozen 3x3 convolution with a copy of this weight and bias."""
    outputs, inputs = weight.shape[:2]
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias is not None, device="meta")
    conv.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return conv
