"""How well one true mask is found a few frames later: no long run, in which one frame's luck decides."""

from __future__ import annotations

from collections.abc import Sequence as Several
from contextlib import closing
from math import nan
from statistics import fmean

from stm_core.engine.prompts import Prompt
from stm_core.engine.step import Propagator
from stm_core.masks.metrics import boundary_f, jaccard
from stm_core.media.limits import NO_LIMITS
from stm_core.media.pictures import PictureList
from stm_core.networks.weights import Model
from stm_core.runs.evaluate import Sequence, read_truth

GAPS = (1, 6)  # frames
PAIRS = 14  # of a clip, evenly spread


def ahead(model: Model, sequences: Several[Sequence], gap: int) -> float:
    """J&F (0..1) `gap` frames after a true mask, averaged over pairs of frames, then over clips.

    Clips of one object (DAVIS-2016), at their own size; pairs that do not show it twice are left out, NaN if
    all are.
    """
    found = [scores for sequence in sequences if (scores := _pairs(model, sequence, gap))]
    return fmean(map(fmean, found)) if found else nan


def _pairs(model: Model, sequence: Sequence, gap: int) -> list[float]:
    starts, scores = range(max(1, len(sequence.frames) - gap)), []
    with closing(PictureList(sequence.folder, NO_LIMITS)) as pictures:
        for start in starts[:: max(1, len(starts) // PAIRS)]:
            end = min(start + gap, len(pictures) - 1)
            given, truth = (read_truth(sequence.annotations[n], 2016) for n in (start, end))
            if given.any() and truth.any():
                propagator = Propagator(model)
                propagator.step(start, pictures.frame(start), Prompt.from_mask(given, frame=start))
                found = propagator.step(end, pictures.frame(end)).labels
                scores.append((jaccard(found > 0, truth > 0) + boundary_f(found > 0, truth > 0)) / 2)
    return scores
