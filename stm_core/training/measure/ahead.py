"""How well one true mask is found a few frames later.

A long run depends on a few lucky or unlucky frames; many short ones do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Protocol

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.engine.step import Propagator
from stm_core.masks.metrics import boundary_f, jaccard
from stm_core.media.limits import NO_LIMITS
from stm_core.media.pictures import PictureList
from stm_core.networks.weights import Model

GAPS = (1, 6)  # frames
PAIRS = 14  # of a clip, evenly spread


Reader = Callable[[Path], np.ndarray]  # of a file with a mask: uint8 (H, W), 0 = background


class Clip(Protocol):
    """A clip with its true masks."""

    @property
    def folder(self) -> Path:
        """The folder of its pictures."""

    @property
    def annotations(self) -> Sequence[Path]:
        """The mask of each picture."""


def ahead(model: Model, clips: Sequence[Clip], gap: int, read: Reader) -> float:
    """J&F (0..1) `gap` frames after a true mask, averaged over pairs of frames, then over clips.

    Clips of one object, seen as a run sees them.  Pairs that do not show it twice are left out; NaN when all
    are.
    """
    found = [scores for clip in clips if (scores := _pairs(model, clip, gap, read))]
    return fmean(map(fmean, found)) if found else nan


def _pairs(model: Model, clip: Clip, gap: int, read: Reader) -> list[float]:
    starts, scores = range(max(1, len(clip.annotations) - gap)), []
    with closing(PictureList(clip.folder, NO_LIMITS)) as pictures:
        for start in starts[:: max(1, len(starts) // PAIRS)]:
            end = min(start + gap, len(pictures) - 1)
            given, truth = (read(clip.annotations[n]) for n in (start, end))
            if given.any() and truth.any():
                propagator = Propagator(model)
                propagator.step(start, pictures.frame(start), Prompt.from_mask(given, frame=start))
                found = propagator.step(end, pictures.frame(end)).labels
                scores.append((jaccard(found > 0, truth > 0) + boundary_f(found > 0, truth > 0)) / 2)
    return scores
