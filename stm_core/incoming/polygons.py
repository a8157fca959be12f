"""Polygons as masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from stm_core.errors import MaskError
from stm_core.masks.outlines import fill

FARTHEST = 1e6  # pixels from the corner: more is a mistake


def enclosed(points: Any, size: tuple[int, int], name: str) -> np.ndarray:
    """What a polygon encloses, bool (H, W).

    points: x, y of each, in a list of numbers, of their texts, or of pairs of them.
    Raises MaskError, which names the file.
    """
    try:
        corners = np.array(points, float).reshape(-1, 2)
    except (ValueError, TypeError, OverflowError) as error:
        raise MaskError(f"{name!r} has a polygon that is no list of x, y; export it again") from error
    if len(corners) < 3 or not np.isfinite(corners).all() or np.abs(corners).max() > FARTHEST:
        raise MaskError(
            f"{name!r} has a polygon of {len(corners)} points that encloses nothing; export it again"
        )
    return fill([corners], *size)
