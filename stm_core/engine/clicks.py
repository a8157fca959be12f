"""Masks from clicks: a network remembers the clicked frame and reads that memory with the same frame.

The value encoder sees the current mask and two maps, one of positive and one of negative clicks. What the
frame then reads from this memory is decoded into the mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.click_answers import Key, digest, keep, key_of, recall
from stm_core.engine.click_parts import changes_at_clicks
from stm_core.engine.click_reader import ClickReader
from stm_core.engine.corrections import anchored
from stm_core.engine.geometry import check_image, check_size, masks_of, processed_side, resized
from stm_core.engine.prompts import Click, Prompt, check_inside, checked_labels
from stm_core.errors import MaskError, PromptError
from stm_core.faults import memory_told
from stm_core.networks.interface import LOGIT_LIMIT, Network, aggregate, strongest
from stm_core.networks.weights import Model, check_model

ONE_BY_ONE = 20  # clicks of an object that are read one after the other; more come in groups
GROUPS = 4  # any number of clicks costs at most ONE_BY_ONE + GROUPS reads
CERTAIN = 1e-3  # least probability of an object outside the mask that is corrected
DOUBT = 0.2  # its probability inside is 1 less this: if it were 1, the network would not correct it
KEPT_LOGIT = 3.0  # logit of objects that were given and not clicked: strong, but a sure click wins


@memory_told()
@torch.inference_mode()
def segment_frame(
    model: Model,
    image: np.ndarray,
    clicks: Iterable[Sequence[float]],
    *,
    mask: np.ndarray | None = None,
    size: int | None = None,
) -> np.ndarray:
    """Labels uint8 (H, W) of one frame from clicks; objects in `mask` that are not clicked stay.

    image: uint8 (H, W, 3) RGB.
    clicks: (x, y, label, object), in pixels of the image; label 1 object, 0 background.
    mask: labels to correct, as this function returned them; without it the clicks are taken one after the
        other.
    size: most pixels of the short side at which the frame is processed; None: as it is, or enlarged.
    Raises PromptError, MaskError, VideoError, OptionError, LimitError when memory runs out.
    """
    check_model(model)
    check_image(image)
    check_size(size)
    shape, device = image.shape[:2], model.device
    size = processed_side(model.network, *shape, size)
    prompt = Prompt.from_clicks(clicks)
    labels = np.zeros(shape, np.uint8) if mask is None else checked_labels(mask)
    if labels.shape != shape:
        raise MaskError(
            f"the mask is {labels.shape[1]}x{labels.shape[0]}, the frame {shape[1]}x{shape[0]}; "
            "give a mask of this frame"
        )
    ids = sorted({*prompt.objects, *np.unique(labels).tolist()} - {0})
    given = masks_of(labels, ids, size, device)
    logits = (2 * given - 1) * KEPT_LOGIT
    rows = [ids.index(i) for i in prompt.objects]
    current = None if mask is None else given[rows]
    logits[rows] = click_logits(model, image, prompt.clicks, size, current)
    channels, _ = strongest(resized(aggregate(logits)[1:], *shape))
    found = np.array([0, *ids], np.uint8)[channels.cpu().numpy()]
    clicked = np.isin(np.arange(256), prompt.objects)
    return np.where(clicked[found], found, np.where(clicked[labels], 0, labels))


def click_logits(
    model: Model,
    image: np.ndarray,
    clicks: Sequence[Click],
    size: int,
    masks: Tensor | None = None,
) -> Tensor:
    """Logits (n, H', W') of the clicked objects, sorted by id, at the processed size.

    image: uint8 (H, W, 3), which the clicks refer to.
    masks: (n, H', W') what is corrected; without it the clicks are taken one after the other (see `_turns`),
        each correcting the mask of those before as if that had been given.
    What the network sees is no larger than its `small_side`, or a piece of the frame, whatever `size` is.
    Raises PromptError.
    """
    if not model.network.takes_clicks:
        raise PromptError("this network takes a mask, not clicks; give a mask, or use the compact network")
    check_inside(clicks, *image.shape[:2])
    points = points_of(clicks, needs_positive=masks is None).to(model.device)
    reader = ClickReader(model, image, size)
    if masks is not None:
        return _corrected(reader, masks, points)
    frame, turns = digest(image), _turns(points.shape[1])
    keys = [key_of(frame, size, points[:, : turn.stop]) for turn in turns]
    begin, known = _known(model.network, keys)
    nothing = torch.full((len(points), *reader.processed), -LOGIT_LIMIT, device=model.device)
    logits = nothing if known is None else known.clone()
    for turn in turns[begin:]:
        fresh = (points[:, turn, 2] >= 0).any(1)
        logits[fresh] = _corrected(reader, (logits[fresh] > 0).float(), points[fresh, : turn.stop])
    keep(model.network, keys[-1], logits)
    return logits.clone()


def _corrected(reader: ClickReader, masks: Tensor, points: Tensor) -> Tensor:
    """Logits (n, H', W') of masks, 0..1, after clicks (n, P, 3)."""
    nothing = ~masks.flatten(1).any(1)[:, None, None]
    before = (masks - DOUBT * (2 * masks - 1).clamp(min=0)).logit(CERTAIN).masked_fill(nothing, -LOGIT_LIMIT)
    told = anchored(points, masks, reader.scale)
    after = reader.answer(told, before)
    added = (told[:, : told.shape[1] - points.shape[1], 2] > 0).any(1)
    if added.any():
        after[added] = changes_at_clicks(before[added], after[added], points[added], reader.scale)
    return after


def _known(network: Network, keys: list[Key]) -> tuple[int, Tensor | None]:
    """How many turns were answered before, and the logits after them."""
    for count in range(len(keys), 0, -1):
        if (logits := recall(network, keys[count - 1])) is not None:
            return count, logits
    return 0, None


def _turns(clicks: int) -> list[slice]:
    """Which clicks each read adds: the first ones one by one, the rest in a few groups."""
    single = min(clicks, ONE_BY_ONE)
    groups = min(clicks - single, GROUPS)
    ends = [*range(single + 1), *(single + (clicks - single) * k // groups for k in range(1, groups + 1))]
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def points_of(clicks: Sequence[Click], needs_positive: bool) -> Tensor:
    """Clicks of each object as (n, most clicks, 3): x, y, label; rows with label -1 are padding."""
    by_object = {
        i: [click for click in clicks if click[3] == i] for i in sorted({click[3] for click in clicks})
    }
    for i, own in by_object.items():
        if needs_positive and not any(label == 1 for _, _, label, _ in own):
            raise PromptError(f"object {i} has background clicks only; click on the object first")
        if needs_positive:  # a background click alone gives no mask; the others keep their order
            own.insert(0, own.pop(next(k for k, click in enumerate(own) if click[2] == 1)))
    most = max(map(len, by_object.values()))
    points = torch.full((len(by_object), most, 3), -1.0)
    for n, own in enumerate(by_object.values()):
        for k, (x, y, label, _) in enumerate(own):
            points[n, k] = torch.tensor([x, y, float(label)])
    return points
