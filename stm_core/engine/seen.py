"""The part of a frame that the network sees: all of it, or a window around the objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from stm_core.engine.geometry import Area, processed_size, to_network
from stm_core.engine.whereabouts import CELL
from stm_core.memory.window import Window
from stm_core.networks.interface import QueryFeatures
from stm_core.networks.weights import Model


@dataclass(frozen=True)
class Seen:
    """The part of a frame that the network sees.

    frame: (1, 3, H, W), the pixels in the window.
    query: their features.
    area: its pixels that are not padding, in whole cells of `Whereabouts`: that of all masks.
    """

    frame: Tensor
    query: QueryFeatures
    window: Window
    area: Area

    @classmethod
    def of(cls, model: Model, image: np.ndarray, size: int, window: Window) -> Seen:
        """That part of a frame uint8 (H, W, 3), which is processed at `size`."""
        height, width = processed_size(*image.shape[:2], size)
        frame = to_network(image, size, model.device, window)
        area = Area.of(window, height, width).inside(height, width, CELL)
        return cls(frame, model.network.encode_query(frame), window, area)

    @property
    def corner(self) -> tuple[int, int]:
        """The cell of `Whereabouts` at which the area begins."""
        return self.area.rows[0] // CELL, self.area.columns[0] // CELL

    def within(self, window: Window) -> QueryFeatures:
        """The features in a window that lies in what is seen: those with which it is read and decoded."""
        if window == self.window:
            return self.query
        for_decoder = tuple(window.cut(part) for part in self.query.for_decoder)
        return QueryFeatures(window.cut(self.query.key), (), for_decoder)
