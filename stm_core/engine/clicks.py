"""Clicks are memory too: a network reads its own memory of the clicked frame with the same frame's query.

The value encoder sees the current mask and two maps, of positive and of negative clicks; what that memory
says to the frame it came from is the mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.geometry import (
    check_image,
    check_size,
    enlarge,
    masks_of,
    pad,
    place,
    processed_size,
    to_network,
    unpad,
)
from stm_core.engine.prompts import Click, Prompt, check_inside, checked_labels
from stm_core.errors import MaskError, PromptError
from stm_core.faults import memory_told
from stm_core.memory import readout
from stm_core.networks.compact import add_clicks, click_maps
from stm_core.networks.interface import Network, QueryFeatures, aggregate, strongest
from stm_core.networks.weights import Model, check_model

ONE_BY_ONE = 20  # clicks of an object that are read one after the other; more come in groups
GROUPS = 4  # so many clicks as one likes cost at most ONE_BY_ONE + GROUPS reads
KEPT_LOGIT = 3.0  # of a mask that was given and not clicked: strong, but a sure click wins


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
    """Labels uint8 (H, W) of one frame from clicks, the mask of objects that were not clicked included.

    image: uint8 (H, W, 3) RGB.  clicks: (x, y, label, object), pixels of the image, label 1 object, 0
    background. mask: labels to correct, as this function returned them; without it the clicks are taken one
    after the other. size: short side at which the frame is processed.
    Raises PromptError, MaskError, VideoError, OptionError, LimitError when memory runs out.
    """
    check_model(model)
    check_image(image)
    check_size(size)
    shape, device = image.shape[:2], model.device
    prompt = Prompt.from_clicks(clicks)
    labels = np.zeros(shape, np.uint8) if mask is None else checked_labels(mask)
    if labels.shape != shape:
        raise MaskError(
            f"the mask is {labels.shape[1]}x{labels.shape[0]}, the frame {shape[1]}x{shape[0]}; "
            "give the mask of this frame"
        )
    ids = sorted({*prompt.objects, *np.unique(labels).tolist()} - {0})
    given = masks_of(labels, ids, size, device)
    logits = (2 * given - 1) * KEPT_LOGIT
    rows = [ids.index(i) for i in prompt.objects]
    current = None if mask is None else given[rows]
    logits[rows] = click_logits(model, image, prompt.clicks, size, current)
    channels, _ = strongest(enlarge(aggregate(logits)[1:], *shape))
    return np.array([0, *ids], np.uint8)[channels.cpu().numpy()]


def click_logits(
    model: Model,
    image: np.ndarray,
    clicks: Sequence[Click],
    size: int | None,
    masks: Tensor | None = None,
) -> Tensor:
    """Logits (n, H', W') of the clicked objects, sorted by id, at the processed size.

    image: uint8 (H, W, 3), which the clicks refer to.  masks: (n, H', W') what is corrected; without it the
    clicks are taken one after the other (see `_turns`), each correcting the mask of those before.  The
    network sees the frame no larger than its `click_side`, whatever `size` is.  Raises PromptError.
    """
    network, shape = model.network, image.shape[:2]
    if not network.takes_clicks:
        raise PromptError("this network takes a mask, not clicks; give a mask, or use the compact network")
    check_inside(clicks, *shape)
    most = network.click_side
    side = size if most is None else min(size or most, most)
    points = _points(clicks, shape, side, needs_positive=masks is None)
    frame = to_network(image, side, model.device)
    query = network.encode_query(frame)
    seen = processed_size(*shape, side)
    points = points.to(frame.device)
    if masks is not None:
        maps = click_maps(points, *frame.shape[-2:])
        logits = _read_itself(network, frame, query, maps, enlarge(masks, *seen), seen)
        return enlarge(logits, *processed_size(*shape, size))
    masks = torch.zeros(len(points), *seen, device=frame.device)
    maps = click_maps(points[:, :0], *frame.shape[-2:])
    for turn in _turns(points.shape[1]):
        logits = _read_itself(network, frame, query, add_clicks(maps, points[:, turn]), masks, seen)
        masks = logits.sigmoid()
    return enlarge(logits, *processed_size(*shape, size))


def _turns(clicks: int) -> list[slice]:
    """Which clicks each read adds: the first ones one by one, the rest in a few groups."""
    single = min(clicks, ONE_BY_ONE)
    groups = min(clicks - single, GROUPS)
    ends = [*range(single + 1), *(single + (clicks - single) * k // groups for k in range(1, groups + 1))]
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def _read_itself(
    network: Network, frame: Tensor, query: QueryFeatures, maps: Tensor, masks: Tensor, seen: tuple[int, int]
) -> Tensor:
    """Logits (n, H', W') from the frame's own memory, with click maps (n, 2, H, W); `seen` is (H', W').

    It is read `click_passes` times, each with the mask of the read before.
    """
    for _ in range(network.click_passes):
        key, value = network.encode_memory(frame, pad(masks), query, maps)
        values = readout.rows(value).transpose(0, 1)[None, None]  # (1, 1, P, n, Cv)
        result = readout.read(
            [readout.rows(key)[:, None]],
            [values],
            readout.rows(query.key),
            scale=network.scale,
            margin=network.margin,
        )
        read = readout.maps(result.value[0].contiguous(), *query.key.shape[-2:])
        logits = unpad(network.decode(read, query), *seen).float()
        masks = logits.sigmoid()
    return logits


def _points(
    clicks: Sequence[Click], shape: tuple[int, int], size: int | None, needs_positive: bool
) -> Tensor:
    """Clicks of each object as (n, most clicks, 3): x, y in the processed frame, label; label -1 fills up."""
    by_object = {
        i: [click for click in clicks if click[3] == i] for i in sorted({click[3] for click in clicks})
    }
    for i, own in by_object.items():
        if needs_positive and not any(label == 1 for _, _, label, _ in own):
            raise PromptError(f"object {i} has background clicks only; click on the object first")
        own.sort(key=lambda click: 0 if needs_positive and click[2] == 1 else 1)
    most = max(map(len, by_object.values()))
    points = torch.full((len(by_object), most, 3), -1.0)
    for n, own in enumerate(by_object.values()):
        for k, (x, y, label, _) in enumerate(own):
            points[n, k] = torch.tensor([*place(x, y, *shape, size), float(label)])
    return points
