"""Which parts of an answer to clicks were asked for: those that are connected with a click.

The rest is mostly not the object: what resembles it elsewhere in the frame, or a change far from the click.
A click on it adds it.

Legend: n objects, P clicks of each at most (x, y in pixels of the frame and a label; -1 is padding); H' W'
the size of the masks; scale: height and width of the frame, divided by those of the masks.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.engine.whereabouts import dilated, joined
from stm_core.networks.interface import LOGIT_LIMIT

CELL = 4  # pixels of the cells in which it is decided what is connected


def changes_at_clicks(before: Tensor, after: Tensor, points: Tensor, scale: tuple[float, float]) -> Tensor:
    """Logits (n, H', W') `after` clicks (n, P, 3), as `before` where a change is not connected with one."""
    changed = (before > 0) ^ (after > 0)
    cells = _cells(changed)
    clicked = [_clicked(own[own[:, 2] >= 0], cells.shape[1:], scale) for own in points.cpu().numpy()]
    near = joined(cells, np.stack(clicked))
    return torch.where(changed & ~_pixels(near, after), before, after)


def parts_at_clicks(before: Tensor, after: Tensor, points: Tensor, scale: tuple[float, float]) -> Tensor:
    """Logits (n, H', W') `after` clicks (n, P, 3), with "not here" in parts of the masks without a click.

    If no positive click is in a mask, all of it stays.  Else a part stays if a positive click is in it, or if
    some of it was in the mask `before`.
    """
    cells = _cells(after > 0)
    clicks = points.cpu().numpy()
    clicked = np.stack([_clicked(own[own[:, 2] == 1], cells.shape[1:], scale) for own in clicks]) & cells
    kept = joined(cells, clicked | _cells(before > 0)) | ~clicked.any((1, 2), keepdims=True)
    return after.masked_fill((after > 0) & ~_pixels(kept, after), -LOGIT_LIMIT)


def _cells(masks: Tensor) -> np.ndarray:
    """bool (n, h, w): cells in which masks bool (n, H', W') have a pixel."""
    return F.max_pool2d(masks.float(), CELL, ceil_mode=True).cpu().numpy() > 0


def _clicked(clicks: np.ndarray, shape: tuple[int, ...], scale: tuple[float, float]) -> np.ndarray:
    """bool (h, w): the cells of clicks (P, 3), and those around them."""
    (down, across), cells = scale, np.zeros(shape, bool)
    for x, y, _ in clicks:
        row, column = int(y / (down * CELL)), int(x / (across * CELL))
        cells[min(row, shape[0] - 1), min(column, shape[1] - 1)] = True
    return dilated(cells, 1)


def _pixels(cells: np.ndarray, like: Tensor) -> Tensor:
    """Those cells as pixels, bool (n, H', W')."""
    found = torch.from_numpy(cells).to(like.device)
    return found.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)[:, : like.shape[1], : like.shape[2]]
