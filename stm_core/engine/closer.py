"""A closer look: the piece of a frame around mask and clicks, read again at a scale of its own.

The whole frame is seen no larger than the network's `small_side`, where a small object covers only a few
cells.  The piece around the object is scaled to fill what the network sees.  It is read twice, once mirrored
from left to right, and the mean of both logits counts: more often right than either.

Legend: H' W' the frame's processed size; h w what the network sees of a piece, multiples of its stride.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.networks.interface import STRIDE, QueryFeatures

ROOM = 1.4  # side of a piece, divided by the side of the box around mask and clicks
LEAST_ROOM = 24  # least pixels by which a piece is larger than that box: small boxes need context too
LEAST_SIDE = 64  # pixels of a piece, at least
SNAP = 16  # pixels; edges are rounded to it, so that a small change of the box keeps the piece
SEAM = 8  # pixels over which a piece fades into what lies around it
ENLARGED = 2.0  # most by which the frame's own pixels are enlarged: more shows nothing new
OWN_SIDE = 384  # pixels; a piece is made smaller only if a square of this side has fewer

Window = tuple[int, int, int, int]  # top, bottom, left, right, pixels of the frame itself


@dataclass(frozen=True)
class Piece:
    """Rows and columns of a frame at its processed size, the last ones exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, maps: Tensor) -> Tensor:
        """A view of maps (..., H', W')."""
        return maps[..., self.top : self.bottom, self.left : self.right]


def piece_around(mask: Tensor, xs: Tensor, ys: Tensor) -> Piece:
    """The piece around a mask (H', W') and clicks at (xs, ys), pixels of it."""
    found = mask > 0.5
    spans = (_span(found.any(1), ys), _span(found.any(0), xs))
    return Piece(*spans[0], *spans[1])


def _span(found: Tensor, clicked: Tensor) -> tuple[int, int]:
    """Where a piece begins and ends along one side of the frame: found, bool (length,), and clicked."""
    places = torch.cat([found.nonzero()[:, 0].float(), clicked.floor()])
    low, high = float(places.min()), float(places.max()) + 1
    room = max((ROOM - 1) * (high - low), LEAST_ROOM, LEAST_SIDE - (high - low)) / 2
    begin, end = (low - room) // SNAP * SNAP, -(-(high + room) // SNAP) * SNAP
    return max(0, int(begin)), min(len(found), int(end))


@dataclass(frozen=True)
class CloseUp:
    """What the network sees of a piece: pixels (1, 3, h, w) and their features, both mirrored or not."""

    piece: Piece
    window: Window
    frame: Tensor
    query: QueryFeatures
    mirrored: bool = False

    def turned(self, maps: Tensor) -> Tensor:
        """Maps (..., h, w) of the piece as the network sees them, or those that it sees as the piece is."""
        return maps.flip(-1) if self.mirrored else maps

    def points(self, points: Tensor) -> Tensor:
        """Clicks (..., 3), x, y in pixels of the frame itself and a label, as clicks of what is seen before
        it is turned.
        """
        top, bottom, left, right = self.window
        height, width = self.frame.shape[-2:]
        x = (points[..., 0] + 0.5 - left) * (width / (right - left)) - 0.5
        y = (points[..., 1] + 0.5 - top) * (height / (bottom - top)) - 0.5
        return torch.stack([x, y, points[..., 2]], -1)

    def masks(self, masks: Tensor) -> Tensor:
        """The piece of masks (N, H', W'), as large as it is seen."""
        return _resized(self.piece.cut(masks), *self.frame.shape[-2:]).clamp(0, 1)

    def pasted(self, logits: Tensor, onto: Tensor) -> Tensor:
        """Logits (H', W') of `onto`, in the piece replaced by `logits` (h, w), blended at its inner edges."""
        piece, (height, width) = self.piece, onto.shape
        shares = torch.minimum(
            _fade(piece.top, piece.bottom, height, onto.device)[:, None],
            _fade(piece.left, piece.right, width, onto.device),
        )
        pasted = onto.clone()
        seen = _resized(logits[None], *shares.shape)[0]
        piece.cut(pasted).lerp_(seen, shares)
        return pasted


def window_of(piece: Piece, processed: tuple[int, int], own: tuple[int, int]) -> Window:
    """A piece of the frame at its processed size in pixels of its own size."""
    down, across = own[0] / processed[0], own[1] / processed[1]
    return (
        round(piece.top * down),
        round(piece.bottom * down),
        round(piece.left * across),
        round(piece.right * across),
    )


def pixels_of(image: np.ndarray, window: Window, side: int, device: torch.device) -> Tensor:
    """That window of a frame uint8 (H, W, 3) as float32 (1, 3, h, w) in [0, 1].

    A small one is enlarged to about as many pixels as a square of `side` has, but ENLARGED times at most.  A
    large one keeps its own pixels, up to those of a square of OWN_SIDE.
    """
    top, bottom, left, right = window
    cut = np.require(image[top:bottom, left:right], requirements=("C", "W"))
    pixels = torch.from_numpy(cut).to(device).permute(2, 0, 1)[None].float().div_(255)
    length = (cut.shape[0] * cut.shape[1]) ** 0.5
    factor = max(min(ENLARGED, side / length), min(1, OWN_SIDE / length))
    height, width = (max(1, round(length * factor / STRIDE)) * STRIDE for length in cut.shape[:2])
    return _resized(pixels[0], height, width)[None].contiguous(memory_format=torch.channels_last)


def _fade(begin: int, end: int, length: int, device: torch.device) -> Tensor:
    """Weight of a piece along one side, (end - begin,): lower near its ends, except at the frame's edge."""
    places = torch.arange(1, end - begin + 1, device=device)
    before = places if begin > 0 else torch.full_like(places, SEAM + 1)
    after = places.flip(0) if end < length else torch.full_like(places, SEAM + 1)
    return (torch.minimum(before, after) / (SEAM + 1)).clamp(max=1)


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    """maps (C, H, W) at another size."""
    if maps.shape[-2:] == (height, width):
        return maps
    size = (height, width)
    return F.interpolate(maps[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
