"""Simulated clicks, computed on the training device: where a visitor would click first, and where next."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 4  # clicks are looked for on every fourth pixel: near enough, and 16 times cheaper


def first_clicks(truth: Tensor, generator: torch.Generator) -> Tensor:
    """One positive click inside each mask, more often near its middle: (B,1,3) x, y, label.

    truth: (B,H,W) bool.  An empty mask gets a click that does not count (label -1).
    """
    return _draw(truth, torch.ones(len(truth), device=truth.device), generator)


def next_clicks(found: Tensor, truth: Tensor, ignored: Tensor, generator: torch.Generator) -> Tensor:
    """One more click (B,1,3), in the larger error: missed object (label 1) or too much of it (label 0).

    found, truth, ignored: (B,H,W) bool.
    """
    missed, extra = truth & ~found & ~ignored, found & ~truth & ~ignored
    positive = missed.flatten(1).sum(1) >= extra.flatten(1).sum(1)
    return _draw(torch.where(positive[:, None, None], missed, extra), positive.float(), generator)


def _draw(region: Tensor, label: Tensor, generator: torch.Generator) -> Tensor:
    depth = _depth(region[:, ::GRID, ::GRID], GRID)
    weight = depth.square().flatten(1)
    empty = weight.sum(1) == 0
    index = torch.multinomial(weight + empty[:, None].float(), 1, generator=generator)[:, 0]
    width = depth.shape[2]
    x, y = index % width * GRID, torch.div(index, width, rounding_mode="floor") * GRID
    return torch.stack([x.float(), y.float(), torch.where(empty, -1.0, label)], dim=1)[:, None]


def _depth(region: Tensor, step: int = 1) -> Tensor:
    """How deep inside its region a place lies: the sum of box means at growing scales, 0 outside; (B,H,W).

    step: pixels between two places of the region.
    """
    inside = region.float()[:, None]
    means = (_box_mean(inside, size // step | 1) for size in (5, 15, 41))
    return (sum(mean**4 for mean in means) * inside)[:, 0]


def _box_mean(maps: Tensor, size: int) -> Tensor:
    """Mean over a square of odd side around each place; along rows, then along columns, is much faster."""
    along = F.avg_pool2d(maps, (1, size), 1, (0, size // 2))
    return F.avg_pool2d(along, (size, 1), 1, (size // 2, 0))


def error_click(found: np.ndarray, truth: np.ndarray, ignored: np.ndarray) -> tuple[int, int, int] | None:
    """The click (x, y, label) in the middle of the larger error; None where there is no error.

    found, truth, ignored: bool (H,W).
    """
    missed, extra = truth & ~found & ~ignored, found & ~truth & ~ignored
    label = int(missed.sum() >= extra.sum())
    region = missed if label else extra
    if not region.any():
        return None
    depth = _depth(torch.from_numpy(region)[None])[0]
    y, x = divmod(int(depth.argmax()), depth.shape[1])
    return x, y, label
