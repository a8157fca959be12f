"""The part of a frame that is seen, read and stored: a rectangle of its cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


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

    @property
    def shape(self) -> tuple[int, int]:
        """Cells of its sides (h, w)."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

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
