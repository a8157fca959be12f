"""Puts what a person gives for a frame, masks or clicks, into the masks of that frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.clicks import click_logits
from stm_core.engine.geometry import masks_of
from stm_core.engine.prompts import Prompt
from stm_core.errors import MaskError
from stm_core.networks.interface import LOGIT_LIMIT, aggregate
from stm_core.networks.weights import Model


@dataclass(frozen=True)
class Giver:
    """Puts prompts into the masks of one frame.

    image: uint8 (H, W, 3).
    size: short side at which it is processed.
    """

    model: Model
    image: np.ndarray
    size: int

    def put(
        self, prompt: Prompt, objects: Sequence[int], logits: Tensor, masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits and masks (N, H', W') with a prompt put in; a mask that it gives takes pixels from others.

        objects: N ids.  logits, masks: of the first of them, (n, H', W'); the others are new.
        Raises MaskError.
        """
        old = objects[: len(logits)]
        logits, masks = _grown(logits, len(objects), -LOGIT_LIMIT), _grown(masks, len(objects), 0)
        if prompt.clicks is not None:
            return self._clicked(prompt, objects, logits, masks, old)
        shape = self.image.shape[:2]
        if prompt.labels.shape != shape:
            (height, width), (own_height, own_width) = shape, prompt.labels.shape
            raise MaskError(
                f"the mask is {own_width}x{own_height}, the frame {width}x{height}; "
                "give a mask of a frame of this clip"
            )
        rows = [objects.index(i) for i in prompt.objects]
        given = masks_of(prompt.labels, prompt.objects, self.size, logits.device)
        covered = given.sum(0).clamp(max=1)
        masks = masks * (1 - covered)
        masks[rows] = given
        logits = logits.masked_fill(covered > 0.5, -LOGIT_LIMIT)
        logits[rows] = (2 * given - 1) * LOGIT_LIMIT
        return logits, masks

    def _clicked(
        self, prompt: Prompt, objects: Sequence[int], logits: Tensor, masks: Tensor, old: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """As `put`, for clicks: they correct the mask of an object that is there, or begin one.

        Background clicks alone do not begin an `old` object that was not found on this frame.
        """
        positive = {click[3] for click in prompt.clicks if click[2] == 1}
        rows = {i: objects.index(i) for i in prompt.objects}
        begun = [i for i, row in rows.items() if float(masks[row].max()) > 0.5]
        rows = {i: row for i, row in rows.items() if i in begun or i in positive or i not in old}
        for group, current in ((begun, True), ([i for i in rows if i not in begun], False)):
            if group:
                own = [click for click in prompt.clicks if click[3] in group]
                at = [rows[i] for i in group]
                current_masks = masks[at] if current else None
                logits[at] = click_logits(self.model, self.image, own, self.size, current_masks)
        return logits, aggregate(logits)[1:]


def _grown(maps: Tensor, count: int, fill: float) -> Tensor:
    """maps (n, H', W') with more, filled with a constant, up to that count."""
    return torch.cat([maps, maps.new_full((count - len(maps), *maps.shape[1:]), fill)])
