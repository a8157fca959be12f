"""Where each object was on the frame before, and so where it may be now.

What resembles an object but is far from where it was is something else. So is a part of its mask that lies
apart: neither near the mask of the frame before, nor connected with a part that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.networks.interface import LOGIT_LIMIT, STRIDE

LOST = 0.1  # an object whose area is at most this share of its recent largest one may turn up anywhere
FADING = 0.9  # by which that largest area shrinks a frame: an object that goes away slowly is not lost
EDGE = 2  # cells around a window: padding moves features by up to half a cell, and they see a little further
CELL = STRIDE // 2  # pixels of the finer cells in which parts of a mask touch
GAP, OWN_GAP = 3, 0.15  # most between a part and the mask before: cells, and share of the root of its area
MISSED = 2  # frames for which a part may be missing and come back
STEPS = 7  # sizes of windows, about this many a side: a CPU packs the convolutions for each (`packed.py`)


@dataclass(frozen=True)
class Window:
    """A rectangle of a frame's 16x16 cells, outside of which there is nothing to find.

    rows, columns: (first, last + 1) of its cells.
    size: (h, w) cells of the whole frame.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Window:
        """All of a frame of h x w cells."""
        return cls((0, size[0]), (0, size[1]), size)

    def cut(self, maps: Tensor) -> Tensor:
        """The part of maps (..., H', W') of the whole frame that lies in the window; a view."""
        step = maps.shape[-2] // self.size[0]
        (top, bottom), (left, right) = self.rows, self.columns
        return maps[..., top * step : bottom * step, left * step : right * step]

    def spread(self, maps: Tensor, fill: float) -> Tensor:
        """Maps (..., H', W') of the window as maps of the whole frame, with `fill` around them."""
        step = maps.shape[-2] // (self.rows[1] - self.rows[0])
        (top, bottom), (left, right), (height, width) = self.rows, self.columns, self.size
        around = [side * step for side in (left, width - right, top, height - bottom)]
        return F.pad(maps, around, value=fill) if any(around) else maps


class Whereabouts:
    """Where objects may be on the next frame.

    reach: share of the frame's short side that an object moves at most from one frame to the next; None: it
        may be anywhere.
    Objects keep their order, and new ones come last.
    """

    def __init__(self, reach: float | None):
        self.reach = reach
        self.forget()

    def forget(self) -> None:
        """Know nothing of the frame before."""
        self._near: Tensor | None = None  # bool (N, h, w), cells within reach
        self._beside: list[Tensor] = []  # of the frames before, bool (N, H'/8, W'/8), cells within a gap
        self._largest: Tensor | None = None  # (N,) pixels
        self._lost: Tensor | None = None  # bool (N,)
        self.refused: list[float] = []  # of what resembled each object, the share that `bound` took away

    def update(self, masks: Tensor) -> None:
        """Take masks (N, H', W') in [0, 1] as those of the frame before."""
        if self.reach is None:
            return
        masks = masks > 0.5
        parts = F.max_pool2d(masks.float(), CELL, ceil_mode=True)
        cells = F.max_pool2d(parts, STRIDE // CELL, ceil_mode=True)
        self._near = _dilated(cells, max(1, round(self.reach * min(masks.shape[1:]) / STRIDE))) > 0
        areas = masks.sum((1, 2))
        self._beside = [*self._beside[-MISSED:], _beside(parts, areas.tolist())]
        earlier = areas[:0] if self._largest is None else self._largest
        self._largest = torch.maximum(areas, FADING * F.pad(earlier, (0, len(areas) - len(earlier))))
        self._lost = areas <= LOST * self._largest

    def bound(self, logits: Tensor) -> Tensor:
        """logits (N, H', W') with "not here" wherever an object cannot be.

        That is out of reach of where it was, and in parts of its mask that lie apart; unless it was lost.
        """
        if self._near is None:
            return logits
        count = len(self._near)
        found = F.max_pool2d(logits[:count], CELL, ceil_mode=True) > 0
        near = _enlarged(self._near, STRIDE // CELL, found.shape[-2:])
        beside = torch.stack([_filled(cells, count) for cells in self._beside]).any(0)
        free = (near & ~_apart(found & near, beside)) | self._lost.view(-1, 1, 1)
        shares = (found & ~free).sum((1, 2)) / found.sum((1, 2)).clamp(min=1)
        self.refused = shares.tolist()
        known = logits[:count].masked_fill(~_enlarged(free, CELL, logits.shape[-2:]), -LOGIT_LIMIT)
        return torch.cat([known, logits[count:]])

    def window(self, count: int, size: tuple[int, int]) -> Window:
        """The part of a frame of h x w cells in which `bound` may find any of the first `count` objects.

        With EDGE cells around it.  It is the whole frame where one of them may be anywhere.
        """
        if self._near is None or count > len(self._near) or bool(self._lost.any()):
            return Window.whole(size)
        near = self._near.any(0).cpu()
        sides = (near.any(dim).nonzero().flatten()[[0, -1]].tolist() for dim in (1, 0))
        return Window(*(_widened(*side, most) for side, most in zip(sides, size, strict=True)), size)


def _beside(cells: Tensor, areas: list[int]) -> Tensor:
    """bool (N, H'/8, W'/8): cells so near those of masks, of so many pixels, that a part may lie there."""
    gaps = (max(GAP, round(OWN_GAP * area**0.5 / CELL)) for area in areas)
    return torch.cat([cells[:0], *(_dilated(cells[i : i + 1], gap) for i, gap in enumerate(gaps))]) > 0


def _filled(cells: Tensor, count: int) -> Tensor:
    """cells (n, h, w) as (count, h, w): False for objects that came later."""
    return F.pad(cells, (0, 0, 0, 0, 0, count - len(cells)))


def _apart(found: Tensor, beside: Tensor) -> Tensor:
    """The cells of masks, bool (N, h, w), that are not connected with a cell of `beside`.

    None where they are at least half of the mask: then the object itself moved.
    """
    cells, before = found.float(), None
    joined = cells * beside
    while before is None or not torch.equal(joined, before):
        before, joined = joined, F.max_pool2d(joined, 3, 1, 1) * cells
    apart = cells > joined
    fewer = 2 * apart.sum((1, 2)) < found.sum((1, 2))
    return apart & fewer.view(-1, 1, 1)


def _enlarged(cells: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """cells (N, h, w) as a map of that size, in which each has factor x factor pixels."""
    return cells.repeat_interleave(factor, 1).repeat_interleave(factor, 2)[:, : size[0], : size[1]]


def _widened(first: int, last: int, most: int) -> tuple[int, int]:
    """Cells first to last with EDGE on either side: the new first and last + 1.

    The length is one of a few, and the cells stay inside a side of `most` cells.
    """
    grain = max(1, round(most / STEPS))
    begin, end = max(0, first - EDGE), min(most, last + 1 + EDGE)
    length = min(most, math.ceil((end - begin) / grain) * grain)
    begin = min(begin, most - length)
    return begin, begin + length


def _dilated(cells: Tensor, radius: int) -> Tensor:
    """cells (N, h, w) of 0 and 1, with 1 also up to `radius` cells around each 1."""
    side = 2 * radius + 1
    return F.max_pool2d(F.max_pool2d(cells, (side, 1), 1, (radius, 0)), (1, side), 1, (0, radius))
