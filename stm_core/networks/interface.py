"""What both networks share: four calls, the features of a frame, and how objects share a pixel.

Shapes used in every file of this floor: N objects, H W frame size (multiples of 16), h w = H/16 W/16,
P = h*w positions, Ck key channels, Cv value channels. Networks hold weights only; what grows with a clip
lives in a memory bank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDE = 16
LOGIT_LIMIT = 16.118095651  # log((1 - 1e-7) / 1e-7): the paper's code keeps probabilities in [1e-7, 1 - 1e-7]


@dataclass(frozen=True)
class QueryFeatures:
    """What `encode_query` knows of one frame.

    key: (1, Ck, h, w), compared with the stored keys.  for_value, for_decoder: feature maps that the same
    network's `encode_memory` and `decode` want; nothing above the networks looks into them.
    """

    key: Tensor
    for_value: tuple[Tensor, ...]
    for_decoder: tuple[Tensor, ...]


class Memory(Protocol):
    """What a network reads: stored keys and values of frames, whoever keeps them."""

    def read(self, query_key: Tensor) -> Tensor:
        """What they say of each position of a frame with key (1, Ck, h, w): (N, Cv, h, w)."""
        ...


class Network(nn.Module):
    """A space-time memory network: the interface under `propagate`, `clicks` and `training`.

    shared_keys: one key per frame serves all objects (compact), or one per object (paper).
    takes_clicks: `encode_memory` accepts click maps.  click_side: most of the short side at which a clicked
    frame is seen.  close_side: of a square as large as what is seen of the piece around a clicked object
    (None: there is no closer look).  click_passes: reads of a clicked frame, each with the mask of the one
    before.
    scale: affinity = scale * key . query.  margin: what lies further below the best match is not read (None:
    everything is).  prompted, latest: how many times a position of a prompted frame, and of the latest frame
    that is not, counts beside one of another stored frame.  firm: predicted masks are remembered as they are
    shown, each pixel one object's or nobody's, not as probabilities.  reach: share of a frame's short side
    within which an object is looked for around its mask of the frame before (None: everywhere); parts of it
    that are apart from that mask are dropped (`whereabouts.py`).
    """

    key_channels: int
    value_channels: int
    stride: int = STRIDE
    shared_keys: bool
    takes_clicks: bool = False
    click_side: int | None = None
    close_side: int | None = None
    click_passes: int = 1
    scale: float
    margin: float | None = None
    prompted: float = 1.0
    latest: float = 1.0
    firm: bool = False
    reach: float | None = None

    def encode_query(self, frame: Tensor) -> QueryFeatures:
        """Features of frame (1, 3, H, W), RGB in [0, 1], H and W multiples of 16."""
        raise NotImplementedError

    def encode_memory(
        self, frame: Tensor, masks: Tensor, query: QueryFeatures, clicks: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Key (1 or N, Ck, h, w) and value (N, Cv, h, w) of a frame whose masks are known.

        masks: (N, H, W) in [0, 1], background left out.  query: the features of the same frame.
        clicks: (N, 2, H, W) maps of positive and negative clicks, or None.
        """
        raise NotImplementedError

    def read(self, memory: Memory, query: QueryFeatures) -> Tensor:
        """What the memory says of each position of the frame: (N, Cv, h, w)."""
        return memory.read(query.key)

    def decode(self, read: Tensor, query: QueryFeatures) -> Tensor:
        """Logits (N, H, W) of each object by itself, from read (N, Cv, h, w)."""
        raise NotImplementedError

    def for_inference(self) -> Network:
        """The network itself, frozen in evaluation mode, with batch norm folded into the convolutions before
        it.
        """
        fold_batch_norms(self.eval().requires_grad_(False))
        return self


def fold_batch_norms(module: nn.Module) -> None:
    """Merge each batch norm into the convolution registered right before it, which it must follow in
    `forward`.
    """
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in zip(children, children[1:], strict=False):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())


def scale_outputs(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give a convolution without bias the scale of a batch norm, for a sum of which another part takes its
    shift.
    """
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    conv.weight.data = conv.weight.data * scale.data.view(-1, 1, 1, 1)


def log_odds(logits: Tensor) -> Tensor:
    """Scores whose softmax over channels is `aggregate`: (..., N, H, W) -> (..., N + 1, H, W), float32.

    An object's log odds are its own logit; the background's probability is that no object is there.
    """
    logits = logits.float().clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    nothing = F.logsigmoid(-logits).sum(-3, keepdim=True)  # log of the product of (1 - p)
    background = nothing - torch.log(-torch.expm1(nothing.clamp(max=-1e-7)))
    return torch.cat([background.clamp(-LOGIT_LIMIT, LOGIT_LIMIT), logits], dim=-3)


def aggregate(logits: Tensor) -> Tensor:
    """Probabilities (..., N + 1, H, W), float32, channel 0 background, from logits (..., N, H, W).

    They sum to 1 at each pixel and do not depend on the objects' order. Source: Oh et al., ICCV 2019, eq. 4.
    """
    if logits.shape[-3] == 1:  # the background's log odds are then the object's, negated
        probs = torch.sigmoid(2 * logits.float().clamp(-LOGIT_LIMIT, LOGIT_LIMIT))
        return torch.cat([1 - probs, probs], dim=-3)
    return log_odds(logits).softmax(dim=-3)


def strongest(masks: Tensor) -> tuple[Tensor, Tensor]:
    """The channel that wins at each pixel of masks (N, H, W), uint8 with 0 as background, and its
    probability.  (Object by object: `argmax` over the channels is many times slower on a CPU.)
    """
    background = 1 - masks.sum(0)
    best, channels = background, torch.zeros_like(background, dtype=torch.uint8)
    for n, mask in enumerate(masks, start=1):
        channels = channels.masked_fill_(mask > best, n)
        best = torch.maximum(best, mask)
    return channels, best


def one_hot(channels: Tensor, objects: int) -> Tensor:
    """Masks (objects, H, W), float32, of channels (H, W) as `strongest` gives them."""
    numbers = torch.arange(1, objects + 1, device=channels.device, dtype=channels.dtype)
    return (channels == numbers.view(-1, 1, 1)).float()
