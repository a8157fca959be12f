"""How clicks repair masks that a run got wrong: overlap with the truth before a click, and after each.

The runs are made to go wrong: little memory and few pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.engine.propagate import propagate
from stm_core.errors import OptionError
from stm_core.masks.metrics import jaccard
from stm_core.media.limits import NO_LIMITS
from stm_core.media.pictures import PictureList
from stm_core.memory.policy import PRESETS, MemoryConfig
from stm_core.networks.weights import Model
from stm_core.training.measure.click_score import WORSE, Segmenter, after_clicks
from stm_core.training.measure.clips import Clip

MEMORIES, SIDE = tuple(PRESETS)[:2], 160  # of the runs: a single frame is kept
EVERY, FIRST = 21, 5  # frames that are looked at
WRONG = 0.1, 0.9  # overlaps between which a mask is one to repair
CLICKS = 3
COLUMNS = ("masks", "J before", *(f"J after {n + 1}" for n in range(CLICKS)), "made worse")


def wrong_masks(model: Model, clip: Clip) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(image uint8 (H, W, 3), truth 0/1 (H, W), mask bool (H, W)) of frames that the runs got wrong."""
    folder, truths = clip
    with closing(PictureList(folder, NO_LIMITS)) as images:
        pictures = [images.frame(t) for t in range(len(images))]
    for preset in MEMORIES:
        memory, prompt = MemoryConfig(preset), Prompt.from_mask(truths[0])
        for result in propagate(model, pictures, prompt, memory=memory, size=SIDE):
            truth, found = truths[result.index], result.labels == 1
            if result.index % EVERY == FIRST and WRONG[0] < jaccard(found, truth == 1) < WRONG[1]:
                yield pictures[result.index], truth, found


def score_corrections(model: Model, clips: Iterable[Clip], segmenter: Segmenter) -> dict[str, float]:
    """COLUMNS over the wrong masks of all clips; each click goes to the middle of the largest error.

    Raises OptionError when no mask is wrong enough.
    """
    rows = []
    for clip in clips:
        for image, truth, found in wrong_masks(model, clip):
            begun = jaccard(found, truth == 1)
            rows.append([begun, *after_clicks(image, truth, segmenter, found, CLICKS)])
    if not rows:
        raise OptionError("no mask of these clips is wrong enough to be repaired; give other clips")
    full = np.array([row + row[-1:] * (CLICKS + 1 - len(row)) for row in rows])
    steps = np.concatenate([np.diff(row) for row in rows])
    means = full.mean(0).tolist()
    return dict(zip(COLUMNS, (len(rows), *means, float((steps < -WORSE).mean())), strict=True))
