"""J&F of clips that are tracked from clicks on their first frame instead of its mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from statistics import fmean

import numpy as np

from stm_core.engine.clicks import segment_frame
from stm_core.engine.prompts import Prompt
from stm_core.engine.propagate import propagate
from stm_core.masks.metrics import evaluate_masks
from stm_core.media.limits import NO_LIMITS
from stm_core.media.pictures import PictureList
from stm_core.networks.weights import Model
from stm_core.training.data.simulated_clicks import error_click
from stm_core.training.measure.clips import Clip

STARTS = {"mask": 0, "1 click": 1, "3 clicks": 3}  # name -> clicks on the first frame


def score_starts(model: Model, clips: Sequence[Clip]) -> list[float]:
    """J&F in percent for each of STARTS, averaged over clips of one object; the first frame is left out."""
    return [100 * fmean(_score(model, clip, clicks) for clip in clips) for clicks in STARTS.values()]


def clicked(model: Model, image: np.ndarray, truth: np.ndarray, clicks: int) -> np.ndarray:
    """The mask, uint8 (H, W), after clicks into the middle of the largest error; without clicks the truth."""
    given, found = [], None
    for _ in range(clicks):
        shown = np.zeros(truth.shape, bool) if found is None else found == 1
        click = error_click(shown, truth > 0, np.zeros(truth.shape, bool))
        if click is None:
            break
        given.append((*click, 1))
        found = segment_frame(model, image, given, mask=found)
    return (truth > 0).astype(np.uint8) if found is None else found


def _score(model: Model, clip: Clip, clicks: int) -> float:
    folder, truths = clip
    with closing(PictureList(folder, NO_LIMITS)) as pictures:
        first = Prompt.from_mask(clicked(model, pictures.frame(0), truths[0], clicks))
        found = [result.labels > 0 for result in propagate(model, _frames(pictures), first)]
    return evaluate_masks(islice(found, 1, None), [truth > 0 for truth in truths[1:]])["J&F"]


def _frames(pictures: PictureList) -> Iterator[np.ndarray]:
    return (pictures.frame(t) for t in range(len(pictures)))
