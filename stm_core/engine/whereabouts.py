"""Where each object was on the frame before, and so where it may be now.

Whatever resembles an object but is far from where it was is taken for something else. So is a part of its
mask that lies apart: not near the mask of the frame before, and not connected with a part that is near it.

This is computed in NumPy, in cells of 8 and 16 pixels, so that a GPU is asked only once per frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.memory.window import Window, ends
from stm_core.networks.interface import LOGIT_LIMIT, STRIDE

LOST = 0.1  # an object whose area is at most this share of its recent largest one may turn up anywhere
USUAL = 0.1  # share of the short side within which an object is looked for first
AHEAD = 2  # also within so many cells of 16 pixels, and so many more for each cell by which it moved before
FADING = 0.9  # factor on that largest area, each frame: an object that shrinks slowly is not lost
EDGE = 2  # cells around a window: padding moves features by up to half a cell, and they see a little further
CELL = STRIDE // 2  # pixels of the finer cells, in which it is decided whether parts of a mask touch
GAP, OWN_GAP = 3, 0.15  # most between a part and the mask before: cells, or share of the root of its area
MISSED = 2  # frames for which a part may be missing and come back
STEPS = 7  # about so many lengths of a window's side, as a CPU packs convolutions for each size (`packed.py`)


Box = tuple[int, int, int, int]  # first and last row, first and last column


class Whereabouts:
    """Where objects may be on the next frame.

    reach: share of the frame's short side that an object moves at most from one frame to the next; None: it
        may be anywhere.
    beyond: whether `bound` found an object further away than expected, where a window may end, or found less
        than half of it; then `widen` gives the windows for a second look.
    An object is looked for nearby first, and further away if it moved far on the frame before: a smaller
    window takes less time.  Objects keep their order, and new ones come last.
    """

    def __init__(self, reach: float | None):
        self.reach = reach
        self.forget()

    def forget(self) -> None:
        """Know nothing of the frame before."""
        self._near: np.ndarray | None = None  # bool (N, h, w), cells of 16 pixels within its reach
        self._likely: np.ndarray | None = None  # bool (N, h, w), those in which it is looked for first
        self._boxes: list[Box | None] = []  # (N,) of the cells of 16 pixels that its mask touched
        self._beside: list[np.ndarray] = []  # of the frames before, bool (N, H'/8, W'/8), cells within a gap
        self._covered = np.zeros(0)  # (N,) how many fine cells its mask touched
        self._largest = np.zeros(0)  # (N,) its recent largest area, in pixels
        self._lost = np.zeros(0, bool)  # (N,) whether it is lost
        self.refused: list[float] = []  # by object, the share of what resembled it that `bound` removed
        self.beyond = False

    def update(
        self, cells: np.ndarray, areas: Sequence[float], size: Sequence[int], corner: tuple[int, int] = (0, 0)
    ) -> None:
        """Note the masks of a frame, for the next one.

        cells: bool (N, a, b), fine cells in which the masks have a pixel (`cells_of`); outside there is none.
        areas: (N,) pixels of the masks.
        size: (H', W') of the frame.
        corner: row and column of the first of these cells.
        """
        if self.reach is None:
            return
        top, left = corner
        height, width = (math.ceil(side / CELL) for side in size)
        parts = np.zeros((len(cells), height, width), bool)
        parts[:, top : top + cells.shape[1], left : left + cells.shape[2]] = cells
        self._expect(_coarser(parts), min(size))
        self._covered = parts.sum((1, 2))
        self._beside = [*self._beside[-MISSED:], _beside(parts, areas)]
        earlier = np.zeros(len(areas))
        earlier[: len(self._largest)] = self._largest
        self._largest = np.maximum(areas, FADING * earlier)
        self._lost = np.asarray(areas) <= LOST * self._largest

    def _expect(self, masks: np.ndarray, side: int) -> None:
        """Where objects with masks bool (N, h, w), in cells of 16 pixels, may be next and most likely are."""
        most, least = (max(1, round(share * side / STRIDE)) for share in (self.reach, USUAL))
        boxes = [_box(one) for one in masks]
        likely = [min(most, max(least, AHEAD * (1 + way))) for way in _ways(self._boxes, boxes)]
        self._boxes, self._near = boxes, dilated(masks, most)
        parts = [dilated(one, cells) for one, cells in zip(masks, likely, strict=True)]
        self._likely = np.array(parts).reshape(masks.shape)

    def bound(self, logits: Tensor, corner: tuple[int, int] = (0, 0)) -> Tensor:
        """logits (N, a, b), changed in place: "not here" wherever an object cannot be.

        It cannot be out of reach, nor in parts of its mask that lie apart, unless it was lost.
        corner: the fine cell at which the logits begin. They end with a cell, or with the frame.
        """
        if self._near is None:
            return logits
        known = logits[: len(self._near)]
        found = cells_of(known).cpu().numpy()
        (top, left), (count, height, width) = corner, found.shape
        here = np.s_[:, top : top + height, left : left + width]
        near, likely = (_finer(cells)[here] for cells in (self._near, self._likely))
        beside = np.any([_filled(cells[here], count) for cells in self._beside], axis=0)
        shut = ~(near & ~_apart(found & near, beside)) & ~self._lost[:, None, None]
        kept = found & ~shut
        less = 2 * kept.sum((1, 2)) < self._covered[:count]
        self.beyond = not self._anywhere(count) and bool(less.any() or (kept & ~likely).any())
        self.refused = ((found & shut).sum((1, 2)) / found.sum((1, 2)).clip(min=1)).tolist()
        if shut.any():
            _shut(known, torch.from_numpy(shut).to(logits.device, non_blocking=True))
        return logits

    def widen(self) -> None:
        """Until the next frame, look for objects everywhere within reach."""
        self._likely = self._near

    def window(self, count: int, size: tuple[int, int]) -> Window:
        """The part of a frame of h x w cells in which any of the first `count` objects most likely is.

        With EDGE cells around it.  It is the whole frame where one of them may be anywhere.
        """
        if self._anywhere(count):
            return Window.whole(size)
        return _around(self._likely.any(0), size)

    def windows(self, count: int, window: Window) -> list[Window]:
        """The same for each of the first `count` objects by itself: parts of that `window`.

        They count the cells of `window`: their `size` is its shape.  Empty for one object or without a reach.
        """
        if self._likely is None or count < 2:
            return []
        whole = Window.whole(window.shape)
        found = [whole] * count
        for n, (likely, lost) in enumerate(zip(self._likely[:count], self._lost, strict=False)):
            if not lost:
                found[n] = _around(likely, window.size).inside(window)
        return found

    def _anywhere(self, count: int) -> bool:
        """Whether one of the first `count` objects may be anywhere."""
        return self._near is None or count > len(self._near) or bool(self._lost.any())


def cells_of(masks: Tensor) -> Tensor:
    """bool (N, H'/8, W'/8): cells in which masks (N, H', W') have a pixel, that is, a number above 0."""
    whole = masks.shape[1] // CELL
    rows = masks[:, : whole * CELL].unflatten(1, (whole, CELL)).amax(2)  # many times faster than `max_pool2d`
    if whole * CELL < masks.shape[1]:
        rows = torch.cat([rows, masks[:, whole * CELL :].amax(1, keepdim=True)], 1)
    rows = F.pad(rows, (0, -rows.shape[2] % CELL))
    return rows.unflatten(2, (rows.shape[2] // CELL, CELL)).amax(3) > 0


def _box(cells: np.ndarray) -> Box | None:
    """First and last row and column with a True of cells bool (h, w); None if there is none."""
    return (*ends(cells.any(1)), *ends(cells.any(0))) if cells.any() else None


def _ways(before: Sequence[Box | None], now: Sequence[Box | None]) -> list[int]:
    """(N,) cells by which a side of each box moved; 0 where one of the two is not known."""
    pairs = zip([*before, *[None] * (len(now) - len(before))], now, strict=True)
    return [
        max(abs(a - b) for a, b in zip(old, new, strict=True)) if old and new else 0 for old, new in pairs
    ]


def _beside(cells: np.ndarray, areas: Sequence[float]) -> np.ndarray:
    """bool (N, H'/8, W'/8): cells near enough to the masks for a part of the next mask.

    areas: (N,) pixels of the masks; a larger mask has a larger gap.
    """
    gaps = (max(GAP, round(OWN_GAP * area**0.5 / CELL)) for area in areas)
    return np.array([dilated(one, gap) for one, gap in zip(cells, gaps, strict=True)]).reshape(cells.shape)


def _filled(cells: np.ndarray, count: int) -> np.ndarray:
    """cells (n, h, w) as (count, h, w): False for objects that came later."""
    return np.pad(cells, ((0, count - len(cells)), (0, 0), (0, 0)))


def _apart(found: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """The cells of masks, bool (N, h, w), that are not connected with a cell of `beside`.

    False everywhere for a mask of which they are at least half: then the object itself moved.
    """
    apart = found & ~joined(found, beside)
    fewer = 2 * apart.sum((1, 2)) < found.sum((1, 2))
    return apart & fewer[:, None, None]


def _shut(logits: Tensor, cells: Tensor) -> None:
    """Say "not here" in the pixels (N, H', W') of cells bool (N, h, w), in place."""
    most = torch.where(cells, -LOGIT_LIMIT, torch.inf).repeat_interleave(CELL, 2)[..., : logits.shape[2]]
    whole = logits.shape[1] // CELL
    rows = logits[:, : whole * CELL].unflatten(1, (whole, CELL)), logits[:, None, whole * CELL :]
    for part, limit in zip(rows, (most[:, :whole], most[:, whole:]), strict=True):
        if part.shape[2]:
            torch.minimum(part, limit.unsqueeze(2), out=part)


def _coarser(cells: np.ndarray) -> np.ndarray:
    """bool (N, h, w) as cells of twice the side."""
    height, width = cells.shape[1:]
    cells = np.pad(cells, ((0, 0), (0, height % 2), (0, width % 2)))
    return cells[:, ::2, ::2] | cells[:, 1::2, ::2] | cells[:, ::2, 1::2] | cells[:, 1::2, 1::2]


def _finer(cells: np.ndarray) -> np.ndarray:
    """bool (N, h, w) as cells of half the side."""
    return cells.repeat(STRIDE // CELL, 1).repeat(STRIDE // CELL, 2)


def _around(near: np.ndarray, size: tuple[int, int]) -> Window:
    """The window around cells bool (h', w') of a frame of h x w cells: EDGE around them, of few sizes."""
    sides = [ends(near.any(axis)) for axis in (1, 0)]
    return Window.around(sides, size, EDGE, [max(1, round(most / STEPS)) for most in size])


def joined(cells: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Those of cells bool (..., h, w) that are connected with one of them that is in `seeds`."""
    reached, grown = cells & seeds, cells
    while not np.array_equal(reached, grown):
        grown, reached = reached, dilated(reached, 1) & cells
    return reached


def dilated(cells: np.ndarray, radius: int) -> np.ndarray:
    """cells bool (..., h, w), also True up to `radius` cells around each that is."""
    cells = np.pad(cells, [(0, 0)] * (cells.ndim - 2) + [(radius, radius)] * 2)
    width, whole = 1, 2 * radius + 1  # each cell covers the `width` cells that begin with it
    while width < whole:
        step = min(width, whole - width)
        cells = cells[..., :-step, :] | cells[..., step:, :]
        cells = cells[..., :-step] | cells[..., step:]
        width += step
    return cells
