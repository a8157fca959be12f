"""What both networks have in common: four calls, the features of a frame, and how objects share a pixel.

Letters in this package: N objects, H W size of a frame (multiples of 16), h w = H/16 W/16, P = h*w positions,
Ck key channels, Cv value channels. A network has no state: what grows with a clip is the memory.
"""

from __future__ import annotations

import itertools
import math
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
    """What `encode_query` computes from one frame.

    key: (1, Ck, h, w), compared with the stored keys.
    for_value: feature maps for the same network's `encode_memory`.
    for_decoder: feature maps for the same network's `decode`.
    """

    key: Tensor
    for_value: tuple[Tensor, ...]
    for_decoder: tuple[Tensor, ...]


class Memory(Protocol):
    """What a network reads: stored keys and values of frames."""

    def read(self, query_key: Tensor, cells: Tensor | None = None) -> Tensor:
        """Values (N, Cv, h, w) that they give for a frame with key (1, Ck, h, w); zeros outside `cells`."""
        ...


class Network(nn.Module):
    """A space-time memory network: what propagation, clicks and training call.

    key_channels, value_channels: Ck, Cv.
    stride: pixels of a position.
    shared_keys: a frame has one key for all its objects (compact), or one for each (paper).
    takes_clicks: `encode_memory` accepts maps of clicks.
    least_side: frames with a smaller short side are enlarged to this many pixels; None: no frame is.
    click_side: most pixels of the short side at which a clicked frame is seen; None: no limit.
    small_side: the same for small objects, which are looked for first; None: they are not.
    click_sides: other sizes of the short side, at which a first click is read to find what else it may mean.
    close_side: pixels of a side of the square that a small piece around a clicked object fills; None: no
        piece is looked at.
    click_passes: reads of a clicked frame, each with the mask of the read before.
    scale: affinity = scale * key . query.
    bounded: affinities lie within 60 of 0, so that memory can be read without finding their maximum.
    local: far from its mask an object has the same values as an object that is nowhere, and `encode_memory`
        uses only the features of the frame, so that a part of a frame can be encoded.
    """

    key_channels: int
    value_channels: int
    stride: int = STRIDE
    shared_keys: bool
    takes_clicks: bool = False
    least_side: int | None = None
    click_side: int | None = None
    small_side: int | None = None
    click_sides: tuple[int, ...] = ()
    close_side: int | None = None
    click_passes: int = 1
    scale: float
    bounded: bool = False
    local: bool = False

    def encode_query(self, frame: Tensor) -> QueryFeatures:
        """Features of frame (1, 3, H, W), RGB in [0, 1], H and W multiples of 16."""
        raise NotImplementedError

    def encode_memory(
        self,
        frame: Tensor,
        masks: Tensor,
        query: QueryFeatures,
        clicks: Tensor | None = None,
        others: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Key (1 or N, Ck, h, w) and value (N, Cv, h, w) of a frame whose masks are known.

        masks: (N, H, W) in [0, 1], background left out.  query: the features of the same frame.
        clicks: (N, 2, H, W) maps of positive and negative clicks, or None.
        others: (N, H, W), the masks of all other objects; None: the sum of the rest, as `masks` are all.
        """
        raise NotImplementedError

    def read(self, memory: Memory, query: QueryFeatures, cells: Tensor | None = None) -> Tensor:
        """Values (N, Cv, h, w) that the memory gives for the frame.

        cells: the positions that are read, int64 (n,); the others get zeros.  None: all.
        """
        return memory.read(query.key, cells)

    def decode(self, read: Tensor, query: QueryFeatures) -> Tensor:
        """Logits (N, H, W), each object by itself, from what was read (N, Cv, h, w)."""
        raise NotImplementedError

    def for_inference(self) -> Network:
        """The network itself, frozen, in evaluation mode, with batch norms folded into convolutions."""
        fold_batch_norms(self.eval().requires_grad_(False))
        return self


def fold_batch_norms(module: nn.Module) -> None:
    """Merge each batch norm into the convolution registered right before it; `forward` must use them so."""
    for parent in list(module.modules()):
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, nn.Identity())


def scale_outputs(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Scale a convolution without bias as a batch norm would.

    It leaves out the shift: in a sum of convolutions before one batch norm, another one of them takes it.
    """
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    conv.weight.data = conv.weight.data * scale.data.view(-1, 1, 1, 1)


def log_odds(logits: Tensor) -> Tensor:
    """Scores (..., N + 1, H, W), float32, whose softmax over channels is `aggregate`, from (..., N, H, W).

    An object's score is its own logit; the background has the log odds that no object is there.
    """
    logits = logits.float().clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    nothing = F.logsigmoid(-logits).sum(-3, keepdim=True)  # log of the product of (1 - p)
    background = nothing - torch.log(-torch.expm1(nothing.clamp(max=-1e-7)))
    return torch.cat([background.clamp(-LOGIT_LIMIT, LOGIT_LIMIT), logits], dim=-3)


def aggregate(logits: Tensor) -> Tensor:
    """Probabilities (..., N + 1, H, W), float32, channel 0 background, from logits (..., N, H, W).

    They sum to 1 at each pixel and do not depend on the order of objects.
    Source: Oh et al., ICCV 2019, eq. 4.
    """
    if logits.shape[-3] == 1:  # the background's log odds are then the object's, negated
        probs = torch.sigmoid(2 * logits.float().clamp(-LOGIT_LIMIT, LOGIT_LIMIT))
        return torch.cat([1 - probs, probs], dim=-3)
    if torch.is_grad_enabled() and logits.requires_grad:
        return log_odds(logits).softmax(dim=-3)
    return _from_odds(logits)


def _from_odds(logits: Tensor) -> Tensor:
    """`aggregate` without logarithms and in place: many times faster on a CPU, and it has no gradient.

    If e is the odds p / (1 - p) of an object, the odds that any object is there are the product of all 1 + e,
    less 1. They are summed up object by object, so that small odds are not lost next to the 1.
    """
    most = math.exp(LOGIT_LIMIT)
    *lead, objects, height, width = logits.shape
    probs = logits.new_empty((*lead, objects + 1, height, width), dtype=torch.float32)
    odds = probs.narrow(-3, 1, objects)
    torch.clamp(logits.float(), -LOGIT_LIMIT, LOGIT_LIMIT, out=odds).exp_()
    any_there = probs.select(-3, 0).zero_()
    for one in odds.unbind(-3):
        any_there.addcmul_(any_there, one).add_(one).clamp_(max=most)
    any_there.clamp_(min=1 / most).reciprocal_()
    return probs.div_(probs.sum(-3, keepdim=True))


def strongest(masks: Tensor) -> tuple[Tensor, Tensor]:
    """The winning channel (uint8, 0: background) at each pixel of masks (N, H, W), and its probability."""
    background = 1 - masks.sum(0)
    best, channels = background, torch.zeros_like(background, dtype=torch.uint8)
    for n, mask in enumerate(masks, start=1):  # on a CPU many times faster than `argmax` over channels
        channels = channels.masked_fill_(mask > best, n)
        best = torch.maximum(best, mask)
    return channels, best


def one_hot(channels: Tensor, objects: int) -> Tensor:
    """Masks (objects, H, W), float32, from channels (H, W) as `strongest` gives them."""
    ids = torch.arange(1, objects + 1, device=channels.device, dtype=channels.dtype)
    return (channels == ids.view(-1, 1, 1)).float()
