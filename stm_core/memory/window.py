"""The part of a frame that is seen, read and stored: a rectangle of its cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

AT_ONCE = 8  # objects of one call of a network, which bounds its memory
WORTH_READING = 0.9  # only what lies in windows is read, if it is at most this share
RIM = 2  # cells at the edge of a window that are left out of what was computed in it
CALL = 150  # the fixed time of one more call of a network, as the number of cells computed in that time


@dataclass(frozen=True)
class Window:
    """A rectangle of a frame's cells, the positions of its key, outside of which there is nothing to find.

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

    @classmethod
    def around(
        cls, sides: Sequence[tuple[int, int]], size: tuple[int, int], edge: int, grains: Sequence[int]
    ) -> Window:
        """One around rows and columns of cells, (first, last) each, with so many more on either side.

        The length of a side is a multiple of its grain, or that of the frame.
        """
        found = []
        for (first, last), most, grain in zip(sides, size, grains, strict=True):
            begin, end = max(0, first - edge), min(most, last + 1 + edge)
            length = min(most, math.ceil((end - begin) / grain) * grain)
            begin = min(begin, most - length)
            found.append((begin, begin + length))
        return cls(found[0], found[1], size)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells of its sides (h, w)."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    @property
    def cells(self) -> int:
        """How many there are in it."""
        return self.shape[0] * self.shape[1]

    def enlarged(self, shape: tuple[int, int]) -> Window:
        """A window of that shape, at least its own and at most the frame's, around this one."""
        first = [
            min(side[0], most - length)
            for side, length, most in zip((self.rows, self.columns), shape, self.size, strict=True)
        ]
        return Window((first[0], first[0] + shape[0]), (first[1], first[1] + shape[1]), self.size)

    @property
    def inner(self) -> Window:
        """The same without its outermost cells, in which a convolution feels the edge, unless it is the
        frame's.
        """
        rows, columns = (
            (first + RIM * (first > 0), last - RIM * (last < most))
            for (first, last), most in zip((self.rows, self.columns), self.size, strict=True)
        )
        return Window(rows, columns, self.size)

    def inside(self, other: Window) -> Window:
        """The part that lies in another window of the frame, counted in that one's cells."""
        (top, bottom), (left, right) = (
            (max(own[0], most[0]) - most[0], min(own[1], most[1]) - most[0])
            for own, most in ((self.rows, other.rows), (self.columns, other.columns))
        )
        return Window((top, bottom), (left, right), other.shape)

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


def ends(here: np.ndarray) -> tuple[int, int]:
    """The first and the last place that is True, of a row bool (n,) in which some are."""
    places = np.flatnonzero(here)
    return int(places[0]), int(places[-1])


Group = tuple[list[int], list["Window"]]  # objects, and the window of each; all have one shape


def together(windows: Mapping[int, Window]) -> list[Group]:
    """Windows of objects in groups, one call of a network each: their objects, and windows of one shape.

    Windows are enlarged where that costs less than one more call.
    """
    groups: list[tuple[list[int], tuple[int, int]]] = []
    for n, window in sorted(windows.items(), key=lambda item: -item[1].cells):
        if groups and len(groups[-1][0]) < AT_ONCE:
            members, shape = groups[-1]
            joined = max(shape[0], window.shape[0]), max(shape[1], window.shape[1])
            apart = len(members) * shape[0] * shape[1] + window.cells + CALL
            if (len(members) + 1) * joined[0] * joined[1] <= apart:
                groups[-1] = ([*members, n], joined)
                continue
        groups.append(([n], window.shape))
    return [(members, [windows[n].enlarged(shape) for n in members]) for members, shape in groups]


def cells_within(groups: Sequence[Group]) -> Tensor | None:
    """Positions of the cells that lie in any window of these groups of one frame, int64 (n,), sorted.

    None where there are no windows, or where they leave out little.
    """
    if not groups:
        return None
    windows = [one for _, group in groups for one in group]
    inside = np.zeros(windows[0].size, bool)
    for one in windows:
        inside[slice(*one.rows), slice(*one.columns)] = True
    return torch.from_numpy(np.flatnonzero(inside)) if inside.mean() <= WORTH_READING else None


def cut_together(maps: Tensor, windows: Sequence[Window]) -> Tensor:
    """The parts of maps (1, C, H', W') in windows of one shape, (n, C, a, b).

    The maps themselves where every window is all of them: a network shares them among its objects.
    """
    if windows[0].shape == windows[0].size:
        return maps
    return torch.cat([window.cut(maps) for window in windows])
