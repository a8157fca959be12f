"""When a run that continues after a correction may end: the masks come out as they were before.

What the memory would have held at the end is not the same then: the corrected frame stays a marked one, and
every later run from a marked frame reads it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stm_core.engine.result import FrameResult
from stm_core.errors import MaskError
from stm_core.masks.mask_files import decode_mask, mask_name, object_ids, read_labels
from stm_core.masks.metrics import jaccard
from stm_core.runs.plan import Plan

SAME = 0.98  # overlap (IoU) of every object from which a frame is as it was
AGREED = 10  # frames in a row that are as they were: then the rest would be too


class Agreement:
    """Compares the frames of one direction with the masks that were there before.

    settled: the rest may stay as it is. Marked frames do not count, because their masks are given; and a
    run goes on at least to the last marked frame whose mask is not the one that was there.
    """

    def __init__(self, plan: Plan, direction: int):
        self._earlier = Path(plan.earlier) if plan.earlier else None
        self._direction, self._row = direction, 0
        self._new = {n for n in self._marked(plan, direction) if not self._as_it_was(plan, n)}

    @staticmethod
    def _marked(plan: Plan, direction: int) -> set[int]:
        way = plan.way(direction)
        marked = {prompt.frame for prompt in plan.prompts} - {plan.first}
        return {n for n in marked if n in way} if plan.earlier else set()

    def _as_it_was(self, plan: Plan, index: int) -> bool:
        before = self._mask(index)
        given = plan.known.get(index)
        return before is not None and given is not None and _same(overlaps(decode_mask(given), before))

    def of(self, result: FrameResult) -> dict[int, float]:
        """The overlap of each object that was there on a frame with its mask now; {} without a mask."""
        before = self._mask(result.index)
        self._new.discard(result.index)
        if before is None:
            self._row = 0
            return {}
        found = overlaps(result.labels, before)
        self._row = self._row + (not result.prompted) if _same(found) else 0
        return {number: found[number] for number in map(int, object_ids(before))}

    @property
    def settled(self) -> bool:
        """Whether AGREED frames in a row are as they were, and no new mark lies ahead."""
        return self._row >= AGREED and not self._new

    def _mask(self, index: int) -> np.ndarray | None:
        if self._earlier is None:
            return None
        try:
            return read_labels(self._earlier / mask_name(index))
        except MaskError:  # missing, or broken meanwhile: then it is made anew
            return None


def overlaps(labels: np.ndarray, before: np.ndarray) -> dict[int, float]:
    """IoU of every object that is in one of two labels uint8 (H, W) of one size."""
    ids = sorted({*object_ids(labels), *object_ids(before)})
    return {int(i): jaccard(labels == i, before == i) for i in ids}


def _same(found: dict[int, float]) -> bool:
    return all(overlap > SAME for overlap in found.values())
