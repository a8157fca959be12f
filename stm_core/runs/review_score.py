"""How many wrong frames the review queue finds, where the truth is known.

A frame of an object is wrong when its J is under WRONG.  It is found when one of the first LOOKED
suggestions of its clip is near: at most `review.MERGED` frames away, or half of that.  As many frames, spread
evenly over the clip, say what chance would find.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.errors import OptionError
from stm_core.masks.mask_files import decode_mask, object_ids
from stm_core.masks.metrics import jaccard
from stm_core.media.limits import NO_LIMITS
from stm_core.runs.clip import segment_clip
from stm_core.runs.evaluate import find_sequences, read_truth
from stm_core.runs.record import Record, record_of
from stm_core.runs.review import MERGED, suggestions

if TYPE_CHECKING:
    from stm_core.networks.weights import Model

Scores = dict[int, dict[int, float]]  # J of each object, by frame
WRONG = 0.8
LOOKED = 5
COLUMNS = (
    *("wrong frames", "suggested", "of them wrong", "found within 10", "within 5"),
    *("as many, evenly: within 10", "within 5 ", "fixed limits: within 10", "within 5  "),
)


@dataclass(frozen=True)
class Clip:
    """A clip whose masks are known: a video file or a folder, and labels uint8 (H, W) of each frame."""

    name: str
    path: Path
    truth: Sequence[np.ndarray]


def clips_of(paths: Sequence[Path]) -> Iterator[Clip]:
    """The clips of DAVIS roots (2016, val), and video files with their masks in NAME_masks.zip beside them.

    Raises OptionError.
    """
    for path in paths:
        if path.is_dir():
            for one in find_sequences(path, 2016, "val"):
                yield Clip(one.name, one.folder, [read_truth(truth, 2016) for truth in one.annotations])
            continue
        pack = path.with_name(f"{path.stem}_masks.zip")
        if not (path.is_file() and pack.is_file()):
            raise OptionError(f"{path} is no DAVIS root, and no clip with its masks in {pack}; give one")
        with zipfile.ZipFile(pack) as masks:
            names = sorted(name for name in masks.namelist() if name.endswith(".png"))
            yield Clip(path.stem, path, [decode_mask(masks.read(name)) for name in names])


def tracked(model: Model, clip: Clip, size: int | None) -> tuple[dict[int, Record], Scores]:
    """The records of a run from the clip's first mask, and the scores."""
    records: dict[int, Record] = {}
    scores: Scores = {}
    steps = segment_clip(model, clip.path, Prompt.from_mask(clip.truth[0]), size=size, limits=NO_LIMITS)
    with closing(steps):
        for step in steps:
            index, labels = step.result.index, step.result.labels
            records[index] = record_of(step.result)
            ids = object_ids(clip.truth[0])
            scores[index] = {i: jaccard(labels == i, clip.truth[index] == i) for i in ids}
    return records, scores


def counted(records: dict[int, Record], scores: Scores) -> list[int]:
    """COLUMNS for one clip, as numbers of frames."""
    objects = sorted({i for found in scores.values() for i in found})
    wrong = [n for n, found in scores.items() for i in objects if found[i] < WRONG]
    first = suggestions(records, objects)[:LOOKED]
    right = sum(scores[one.frame][one.obj] < WRONG for one in first)
    evenly = [round((k + 0.5) * len(records) / len(first)) for k in range(len(first))]
    counts = []
    for frames in ([one.frame for one in first], evenly, beyond_limits(records, objects)[:LOOKED]):
        for reach in (MERGED, MERGED // 2):
            counts.append(sum(any(abs(n - at) <= reach for at in frames) for n in wrong))
    return [len(wrong), len(first), right, *counts]


def beyond_limits(records: dict[int, Record], objects: Sequence[int]) -> list[int]:
    """What the queue has to beat: where confidence under 0.6, an area that changes by the factor 2.5 from one
    frame to the next, or a loss begins.
    """
    found = set()
    for n, record in records.items():
        for i in objects:
            area, before = record.areas.get(i, 0), records[n - 1].areas.get(i, 0) if n - 1 in records else 0
            unsure = area and record.confidence.get(i, 1.0) < 0.6
            jumped = before and not 1 / 2.5 < area / before < 2.5
            if not record.prompted and (unsure or jumped):
                found.add(n)
    return sorted(n for n in found if n - 1 not in found)
