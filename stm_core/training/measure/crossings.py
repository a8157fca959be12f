"""How well objects that cross are kept apart, on clips made of annotated ones.

The object of one clip passes in front of that of another, at about its size: a stranger, or its own mirrored
self, which looks the same.  The masks of both are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
from PIL import Image

from stm_core.engine.prompts import Prompt
from stm_core.engine.propagate import propagate
from stm_core.masks.metrics import evaluate_masks
from stm_core.media.limits import NO_LIMITS
from stm_core.media.pictures import PictureList
from stm_core.memory.window import ends
from stm_core.networks.weights import Model
from stm_core.training.measure.clips import Clip

FRAMES, LINES = 24, 240  # of a made clip
AWAY = 0.6  # of both widths together: how far apart the two begin and end
KINDS = ("stranger in front", "look-alike in front", "two in front that cross")
COLUMNS = ("clips", "J", "F", "J&F")

Frames = list[tuple[np.ndarray, np.ndarray]]  # image uint8 (H, W, 3), labels uint8 (H, W)


def score_crossings(model: Model, clips: Sequence[Clip]) -> Iterator[tuple[str, dict[str, float]]]:
    """(kind, its COLUMNS) of clips made of these, seen as a run sees them, from the first frame's mask."""
    shots = [shot(clip) for clip in clips]
    for kind in KINDS:
        found = [_score(model, frames) for frames in crossings(shots, kind)]
        means = np.mean(found, axis=0).tolist() if found else [float("nan")] * 3
        yield kind, dict(zip(COLUMNS, (len(found), *means), strict=True))


def shot(clip: Clip) -> Frames:
    """The first FRAMES frames of a clip that show its object, at LINES lines; labels are 0 and 1."""
    folder, truths = clip
    begin = next((t for t, truth in enumerate(truths) if truth.any()), 0)
    with closing(PictureList(folder, NO_LIMITS)) as pictures:
        count = range(begin, min(begin + FRAMES, len(pictures)))
        return [_smaller(pictures.frame(t), truths[t] > 0) for t in count]


def crossings(shots: Sequence[Frames], kind: str) -> Iterator[Frames]:
    """The clips of a kind: the object of each shot is 1; in front of it pass 2, and 3 the other way."""
    for n, frames in enumerate(shots):
        others = [shots[(n + step) % len(shots)] for step in (1, 2)]
        alike = [(image[:, ::-1], labels[:, ::-1]) for image, labels in frames]
        in_front = {KINDS[0]: others[:1], KINDS[1]: [alike], KINDS[2]: others}[kind]
        made = frames
        for number, other in enumerate(in_front, 2):
            made = passed(made, other, number, leftwards=number == 3)
        yield made


def passed(frames: Frames, other: Frames, number: int, *, leftwards: bool = False) -> Frames:
    """Frames over which the object of `other` passes, from one side of object 1 to the other, as far as the
    frame reaches.
    """
    height, width = frames[0][1].shape
    scale = (_largest(frames) / max(_largest(other), 1)) ** 0.5
    made = []
    for t, (image, labels) in enumerate(frames):
        cut, mask = _cut_out(*other[min(t, len(other) - 1)], scale)
        box = _box(labels == 1) or (0, 0, height, width)
        way = (2 * t / max(len(frames) - 1, 1) - 1) * AWAY * (box[3] - box[1] + mask.shape[1])
        top = (box[0] + box[2] - mask.shape[0]) // 2
        left = round((box[1] + box[3] - mask.shape[1]) / 2 + (-way if leftwards else way))
        left = max(min(left, width - mask.shape[1]), 0)  # a mask can be given from the first frame on
        made.append(_pasted(image, labels, cut, mask, (top, left), number))
    return made


def _score(model: Model, frames: Frames) -> tuple[float, float, float]:
    truths = [labels for _, labels in frames]
    prompt = Prompt.from_mask(truths[0])
    found = [result.labels for result in propagate(model, [image for image, _ in frames], prompt)]
    scores = evaluate_masks(found, truths, drop_ends=True)
    return tuple(100 * one for one in (scores["J"]["mean"], scores["F"]["mean"], scores["J&F"]))


def _smaller(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = round(LINES * mask.shape[1] / mask.shape[0]), LINES
    covered = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    return np.asarray(small), (np.asarray(covered) >= 0.5).astype(np.uint8)


def _largest(frames: Frames) -> int:
    """Pixels of object 1 where it shows most."""
    return max(int(np.count_nonzero(labels == 1)) for _, labels in frames)


def _box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """First row and column of a mask, and those after its last; None where it is empty."""
    if not mask.any():
        return None
    (top, bottom), (left, right) = ends(np.any(mask, 1)), ends(np.any(mask, 0))
    return top, left, bottom + 1, right + 1


def _cut_out(image: np.ndarray, labels: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The object of a frame, scaled: its picture (h, w, 3), and how far it covers (h, w), 0 to 1."""
    box = _box(labels > 0)
    if box is None:
        return np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32)
    part = np.s_[box[0] : box[2], box[1] : box[3]]
    size = [max(1, round(scale * side)) for side in (box[3] - box[1], box[2] - box[0])]
    cut = Image.fromarray(np.ascontiguousarray(image[part])).resize(size, Image.Resampling.BILINEAR)
    mask = Image.fromarray((labels[part] > 0).astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(cut), np.asarray(mask)


def _pasted(
    image: np.ndarray, labels: np.ndarray, cut: np.ndarray, mask: np.ndarray, corner: tuple, number: int
) -> tuple[np.ndarray, np.ndarray]:
    (height, width), (top, left) = labels.shape, corner
    first = max(top, 0), max(left, 0)
    last = min(top + mask.shape[0], height), min(left + mask.shape[1], width)
    if first[0] >= last[0] or first[1] >= last[1]:
        return image, labels
    here = np.s_[first[0] : last[0], first[1] : last[1]]
    there = np.s_[first[0] - top : last[0] - top, first[1] - left : last[1] - left]
    image, labels, share = image.copy(), labels.copy(), mask[there][..., None]
    image[here] = np.rint(share * cut[there] + (1 - share) * image[here]).astype(np.uint8)
    labels[here][mask[there] >= 0.5] = number
    return image, labels
