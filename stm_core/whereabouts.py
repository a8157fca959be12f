"""Where each object was on the frame before: what looks like it elsewhere is something else."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .network import LOGIT_LIMIT, STRIDE

LOST = 0.1  # an object with less than this share of its largest area so far may turn up anywhere


class Whereabouts:
    """The reach around an object's mask of the frame before in which it is looked for.

    reach: share of the frame's short side that an object moves at most from one frame to the next; None: it
    may be anywhere.  Objects keep their order, new ones come last.
    """

    def __init__(self, reach: float | None):
        self.reach = reach
        self.forget()

    def forget(self) -> None:
        """Nothing is known of the frame before."""
        self._masks: Tensor | None = None  # (N, H', W')
        self._largest: Tensor | None = None  # (N,) pixels

    def update(self, masks: Tensor) -> None:
        """masks (N, H', W') in [0, 1] of the frame that is the one before from now on."""
        areas = (masks > 0.5).sum((1, 2))
        if self._largest is not None:
            areas[: len(self._largest)] = torch.maximum(areas[: len(self._largest)], self._largest)
        self._masks, self._largest = masks, areas

    def bound(self, logits: Tensor) -> Tensor:
        """logits (N, H', W') with "not here" out of reach of where an object was, unless it was lost."""
        if self._masks is None or self.reach is None:
            return logits
        before, count = self._masks > 0.5, len(self._masks)
        areas = before.sum((1, 2))
        lost = (areas == 0) | (areas < LOST * self._largest)
        height, width = logits.shape[-2:]
        cells = F.max_pool2d(before.float(), STRIDE, ceil_mode=True)
        cells = _dilated(cells, max(1, round(self.reach * min(height, width) / STRIDE)))
        near = cells.repeat_interleave(STRIDE, 1).repeat_interleave(STRIDE, 2)[:, :height, :width] > 0
        known = logits[:count].masked_fill(~(near | lost.view(-1, 1, 1)), -LOGIT_LIMIT)
        return torch.cat([known, logits[count:]])


def _dilated(cells: Tensor, radius: int) -> Tensor:
    """cells (N, h, w) of 0 and 1, 1 also up to `radius` cells around."""
    side = 2 * radius + 1
    return F.max_pool2d(F.max_pool2d(cells, (side, 1), 1, (radius, 0)), (1, side), 1, (0, radius))
