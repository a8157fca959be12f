"""What else a first click may mean: a shirt, the person who wears it, the person on a bicycle.

A network sees different things at different sizes of the same frame: small, the whole; large, a part.  Reads
at the network's `click_sides` give other masks than the usual ones.  And what is not connected with the click
may belong to the object too, such as the other half of a bus behind a tree.  So a person chooses.
"""

from __future__ import annotations

import numpy as np
import torch

from stm_core.engine.click_reader import ClickReader
from stm_core.engine.clicks import points_of
from stm_core.engine.geometry import check_image, check_size, processed_side, resized
from stm_core.engine.prompts import Click, check_inside
from stm_core.errors import PromptError
from stm_core.faults import memory_told
from stm_core.masks.metrics import jaccard
from stm_core.networks.interface import LOGIT_LIMIT
from stm_core.networks.weights import Model, check_model

SAME = 0.85  # overlap from which two masks are one choice
MOST = 3  # masks that are offered
LEAST = 1e-4  # share of the frame: a smaller mask is not offered


@memory_told()
@torch.inference_mode()
def click_choices(
    model: Model, image: np.ndarray, click: Click, *, size: int | None = None
) -> list[np.ndarray]:
    """Masks bool (H, W) that one click may mean, from the smallest to the largest: one to three.

    One of them is the mask that `segment_frame` returns.  A single mask means that the network is sure.

    image: uint8 (H, W, 3) RGB.  click: (x, y, 1, object), pixels of the image.  size: most pixels of the
    short side at which the frame is processed.
    Raises PromptError, VideoError, OptionError, LimitError when memory runs out.
    """
    check_model(model)
    check_image(image)
    check_size(size)
    size = processed_side(model.network, *image.shape[:2], size)
    check_inside([click], *image.shape[:2])
    if not model.network.takes_clicks:
        raise PromptError("this network takes a mask, not clicks; give a mask, or use the compact network")
    points = points_of([click], needs_positive=True).to(model.device)
    usual, *others = (ClickReader(model, image, size, side) for side in (None, *model.network.click_sides))
    found: list[np.ndarray] = []
    for reader, everywhere in ((usual, False), *((one, False) for one in others), (usual, True)):
        if len(found) == MOST:
            break
        mask = _read(reader, points, everywhere)  # the likeliest first
        if not found or (mask.mean() >= LEAST and all(jaccard(mask, other) < SAME for other in found)):
            found.append(mask)
    return sorted(found, key=np.count_nonzero)


def _read(reader: ClickReader, points: torch.Tensor, everywhere: bool) -> np.ndarray:
    """The mask bool (H, W) of one object from its first click (1, 1, 3)."""
    nothing = torch.full((1, *reader.processed), -LOGIT_LIMIT, device=reader.device)
    logits = reader.answer(points, nothing, everywhere=everywhere)
    return (resized(logits, *reader.image.shape[:2])[0] > 0).cpu().numpy()
