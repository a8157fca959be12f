"""Clicks that correct a mask.  A mask without a positive click of the person inside gets clicks of its own,
and changes only near those of the person.

The network learned to correct masks together with the clicks that made them. A mask without its clicks, from
a run or a brush, means little to it: one click then replaced most of the mask. So positive clicks are added
deep inside the mask, away from the clicks of the person.  A mask with a positive click of the person inside
counts as made by clicks: it gets no more, and the network may change all of it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ENOUGH = 3  # most positive clicks that are added to a mask without one of the person
GRID = 4  # pixels between the places that are tried: near enough, and 16 times cheaper


def anchored(points: Tensor, masks: Tensor, scale: tuple[float, float]) -> Tensor:
    """Clicks (n, P, 3), x, y and a label that is -1 for padding, after clicks that are added for the masks.

    masks: (n, H', W').
    scale: height and width of the frame, divided by those of the masks.
    """
    down, across = scale
    found = []
    for own, mask in zip(points.cpu().numpy(), masks[:, ::GRID, ::GRID].cpu().numpy() > 0.5, strict=True):
        places = own[own[:, 2] >= 0] / (across * GRID, down * GRID, 1)
        found.append(
            [((x + 0.5) * across * GRID, (y + 0.5) * down * GRID, 1.0) for x, y in _deep(mask, places)]
        )
    most = max(map(len, found), default=0)
    rows = [[*own, *[(-1.0, -1.0, -1.0)] * (most - len(own))] for own in found]
    return torch.cat([points.new_tensor(rows).view(len(points), most, 3), points], 1)


def _deep(mask: np.ndarray, clicks: np.ndarray) -> list[tuple[int, int]]:
    """Columns and rows inside a mask, bool (h, w), far from its edge, from clicks (P, 3), and apart.

    Empty if a positive click is inside.
    """
    height, width = mask.shape
    positive = [(int(x), int(y)) for x, y, label in clicks if label == 1]
    if any(0 <= y < height and 0 <= x < width and mask[y, x] for x, y in positive):
        return []
    rows, columns = np.mgrid[:height, :width]
    room, apart = _depth(mask), np.full(mask.shape, np.inf)
    for x, y, _ in clicks:
        apart = np.minimum(apart, np.hypot(columns + 0.5 - x, rows + 0.5 - y))
    found: list[tuple[int, int]] = []
    while len(found) < ENOUGH:
        free = np.minimum(room, apart / 2)
        y, x = np.unravel_index(int(free.argmax()), free.shape)
        if free[y, x] < 1:
            break
        found.append((int(x), int(y)))
        apart = np.minimum(apart, np.hypot(columns - x, rows - y))
    return found


def _depth(mask: np.ndarray) -> np.ndarray:
    """How often the edge of a mask, bool (h, w), can be peeled off until each place is gone; 0 outside."""
    depth, left = mask.astype(np.float32), np.pad(mask, 1)
    while left.any():
        inner = left[1:-1, 1:-1] & left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:]
        depth += inner
        left = np.pad(inner, 1)
    return depth
