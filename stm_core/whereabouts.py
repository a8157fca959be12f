"""Where each object was on the frame before: what looks like it elsewhere is something else."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .network import LOGIT_LIMIT, STRIDE

LOST = 0.1  # an object with no more than this share of its largest area so far may turn up anywhere


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
        self._masks: Tensor | None = None  # bool (N, H', W')
        self._largest: Tensor | None = None  # (N,) pixels
        self._lost: Tensor | None = None  # bool (N,)

    def update(self, masks: Tensor) -> None:
        """masks (N, H', W') in [0, 1] of the frame that is the one before from now on."""
        if self.reach is None:
            return
        self._masks = masks > 0.5
        areas = self._masks.sum((1, 2))
        earlier = areas[:0] if self._largest is None else self._largest
        self._largest = torch.maximum(areas, F.pad(earlier, (0, len(areas) - len(earlier))))
        self._lost = areas <= LOST * self._largest

    def bound(self, logits: Tensor) -> Tensor:
        """logits (N, H', W') with "not here" out of reach of where an object was, unless it was lost."""
        if self._masks is None:
            return logits
        count, (height, width) = len(self._masks), logits.shape[-2:]
        cells = F.max_pool2d(self._masks.float(), STRIDE, ceil_mode=True)
        cells = _dilated(cells, max(1, round(self.reach * min(height, width) / STRIDE)))
        near = cells.repeat_interleave(STRIDE, 1).repeat_interleave(STRIDE, 2)[:, :height, :width] > 0
        known = logits[:count].masked_fill(~(near | self._lost.view(-1, 1, 1)), -LOGIT_LIMIT)
        return torch.cat([known, logits[count:]])


def _dilated(cells: Tensor, radius: int) -> Tensor:
    """cells (N, h, w) of 0 and 1, 1 also up to `radius` cells around."""
    side = 2 * radius + 1
    return F.max_pool2d(F.max_pool2d(cells, (side, 1), 1, (radius, 0)), (1, side), 1, (0, radius))
