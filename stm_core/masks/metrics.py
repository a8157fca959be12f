"""J and F of predicted masks, as in the DAVIS-2017 evaluation.

J is the intersection over union of the areas. F is the harmonic mean of precision and recall of the
boundaries within a small distance. Sources: Perazzi et al., CVPR 2016; Pont-Tuset et al., arXiv 1704.00675.
The definitions were checked against davis2017-evaluation: boundary pixels lie half a pixel up and left of
the true edge, and the distance is a disk of 0.008 of the image diagonal, rounded up.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, zip_longest

import numpy as np

from stm_core.errors import MaskError
from stm_core.masks.palette import IGNORE

STATISTICS = ("mean", "recall", "decay")  # of J or F over the frames of one object
TOLERANCE = 0.008  # share of the image diagonal


def jaccard(predicted: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None) -> float:
    """Intersection over union of two masks (H, W) bool; 1 when both are empty.

    ignore: bool (H, W), pixels that are left out.
    Raises MaskError if the sizes differ.
    """
    predicted, truth = _pair(predicted, truth, ignore)
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0


def boundary_f(
    predicted: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE, ignore: np.ndarray | None = None
) -> float:
    """Boundary F-measure of two masks (H, W) bool; 1 when neither has a boundary, 0 when only one has.

    tolerance: share of the image diagonal, or pixels from 1 on.
    ignore: bool (H, W), pixels that are left out.
    Raises MaskError if the sizes differ.
    """
    predicted, truth = _pair(predicted, truth, ignore)
    radius = int(tolerance if tolerance >= 1 else np.ceil(tolerance * np.hypot(*truth.shape)))
    ours, true = _boundary(predicted), _boundary(truth)
    where = _around(ours | true, radius)
    if where is None:
        return 1.0
    ours, true = ours[where], true[where]
    count_ours, count_true = np.count_nonzero(ours), np.count_nonzero(true)
    if not count_ours or not count_true:
        return 0.0
    precision = np.count_nonzero(ours & _dilate(true, radius)) / count_ours
    recall = np.count_nonzero(true & _dilate(ours, radius)) / count_true
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


class Scorer:
    """Scores a clip frame by frame, holding two numbers per object and frame.

    objects: ids that are scored even if no added frame shows them. Others join when the truth first shows
        them.
    """

    def __init__(self, objects: Iterable[int] = ()):
        self._frames = 0
        self._void = False
        self._values: dict[int, list[tuple[float, float]]] = {n: [] for n in objects}
        self._strays: dict[int, dict[int, tuple[float, float]]] = {}  # predicted before the truth had them

    def add(self, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Score one frame: labels uint8 (H, W), or bool for a single object.

        255 in the truth is not scored.
        Raises MaskError if sizes or types are wrong.
        """
        single = isinstance(truth, np.ndarray) and truth.dtype == np.bool_
        predicted, truth = _labels(predicted), _labels(truth)
        _same_size(predicted, truth)
        void = truth == IGNORE
        ignore = void if void.any() else None
        self._void = self._void or ignore is not None
        for number in [1] if single else _ids(truth):
            if number not in self._values:
                strays = self._strays.pop(number, {})
                self._values[number] = [strays.get(t, (1.0, 1.0)) for t in range(self._frames)]
        for number in sorted({*self._values, *_ids(predicted)}):
            ours, true = predicted == number, truth == number
            value = jaccard(ours, true, ignore), boundary_f(ours, true, ignore=ignore)
            if number in self._values:
                self._values[number].append(value)
            else:
                self._strays.setdefault(number, {})[self._frames] = value
        self._frames += 1

    def result(self) -> dict:
        """The scores so far, as from `evaluate_masks`.  Raises MaskError when there was none."""
        if not self._frames:
            raise MaskError("there is no frame to score; give at least one pair of masks")
        values = self._values
        if not values:
            if self._void:
                raise MaskError(
                    "the truth has only 0 and 255, and 255 means 'not scored'; "
                    "pass mask > 0 for a binary mask"
                )
            # the truth has no object: any predicted object is wrong, and no prediction is right
            right = (1.0, 1.0)
            values = {
                n: [stray.get(t, right) for t in range(self._frames)] for n, stray in self._strays.items()
            }
            values = values or {1: [right] * self._frames}
        objects = {}
        for number, pairs in sorted(values.items()):
            region, boundary = zip(*pairs, strict=True)
            objects[number] = {"J": statistics(region), "F": statistics(boundary)}
        return {**averaged(list(objects.values())), "objects": objects}


def evaluate_masks(
    predicted: Iterable[np.ndarray], truth: Iterable[np.ndarray], *, drop_ends: bool = False
) -> dict:
    """J and F of a clip: {"J&F", "J": {"mean", "recall", "decay"}, "F": {...}, "objects": {id: {"J", "F"}}}.

    predicted, truth: as many frames each, in order; labels uint8 (H, W), or bool for one object. A single
        mask (H, W) each is a clip of one frame.
    drop_ends: leave out the first and last frame, as DAVIS-2017 does for semi-supervised results. The objects
        are then 1 to the largest id of the first truth, present or not, and those that appear later.
    Objects are those of the truth, and 255 in the truth is not scored. mean: over frames; recall: share of
    frames above 0.5; decay: mean of the first quarter minus the last.
    Raises MaskError: unequal sizes or counts, no frame.
    """
    if isinstance(truth, np.ndarray) and truth.ndim == 2:
        pairs = _pairs([np.asarray(predicted)], [truth])
    else:
        pairs = _pairs(predicted, truth)
    scorer = Scorer()
    if not drop_ends:
        for pair in pairs:
            scorer.add(*pair)
        return scorer.result()
    for _, first in pairs:
        scorer = Scorer(range(1, max(_ids(_labels(first)), default=0) + 1))
        break
    for (mask, true), _ in pairwise(pairs):  # the last is never added
        scorer.add(mask, true)
    return scorer.result()


def averaged(objects: Sequence[dict]) -> dict:
    """Means over objects: {"J&F", "J": {"mean", "recall", "decay"}, "F": {...}}.

    objects: {"J": {...}, "F": {...}} of each.
    """
    mean = {
        measure: {name: float(np.mean([one[measure][name] for one in objects])) for name in STATISTICS}
        for measure in ("J", "F")
    }
    return {"J&F": (mean["J"]["mean"] + mean["F"]["mean"]) / 2, **mean}


def _pairs(
    predicted: Iterable[np.ndarray], truth: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    missing = np.empty(0)
    for mask, true in zip_longest(predicted, truth, fillvalue=missing):
        if mask is missing or true is missing:
            raise MaskError(
                "predicted masks and truth have different numbers of frames; give one for each frame"
            )
        yield mask, true


def _labels(mask: np.ndarray) -> np.ndarray:
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype not in (np.uint8, np.bool_):
        got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise MaskError(f"a mask to score is {got}, expected uint8 or bool (H, W); convert it first")
    return mask.astype(np.uint8) if mask.dtype == np.bool_ else mask


def _ids(labels: np.ndarray) -> list[int]:
    present = np.bincount(labels.ravel(), minlength=256)[1:IGNORE]
    return (np.flatnonzero(present) + 1).tolist()


def _same_size(predicted: np.ndarray, truth: np.ndarray) -> None:
    if predicted.shape != truth.shape:
        raise MaskError(
            f"the predicted mask is {predicted.shape}, the truth is {truth.shape}; give both in one size"
        )


def _pair(
    predicted: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, bool)
    _same_size(predicted, truth)
    if predicted.ndim != 2:
        raise MaskError(f"a mask to score is {predicted.shape}, expected (H, W); give one mask per frame")
    if ignore is not None:
        predicted, truth = predicted & ~ignore, truth & ~ignore
    return predicted, truth


def _boundary(mask: np.ndarray) -> np.ndarray:
    """bool (H, W): pixels that differ from the one to the right, below, or below right."""
    edge = np.zeros_like(mask)
    edge[:-1, :-1] = (
        (mask[:-1, :-1] ^ mask[:-1, 1:]) | (mask[:-1, :-1] ^ mask[1:, :-1]) | (mask[:-1, :-1] ^ mask[1:, 1:])
    )
    edge[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    edge[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return edge


def _around(edge: np.ndarray, radius: int) -> tuple[slice, slice] | None:
    """The box of all True pixels, widened by `radius`; None if there is none."""
    rows, columns = np.flatnonzero(edge.any(axis=1)), np.flatnonzero(edge.any(axis=0))
    if not len(rows):
        return None
    return (
        slice(max(0, rows[0] - radius), rows[-1] + radius + 1),
        slice(max(0, columns[0] - radius), columns[-1] + radius + 1),
    )


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Dilation by the disk x*x + y*y <= radius*radius: row by row, each row of the disk being a run."""
    out = np.zeros_like(mask)
    run, half = mask.copy(), 0  # the mask dilated by 2 * half + 1 pixels along the row
    for dy in range(radius, -1, -1):
        while half < int(np.sqrt(radius * radius - dy * dy)):
            wider = run.copy()
            wider[:, 1:] |= run[:, :-1]
            wider[:, :-1] |= run[:, 1:]
            run, half = wider, half + 1
        if dy < len(out):
            out[dy:] |= run[: len(out) - dy]
            out[: len(out) - dy] |= run[dy:]
    return out


def statistics(values: Iterable[float]) -> dict[str, float]:
    """{"mean", "recall", "decay"} over frames; quarters of decay overlap by one frame, as in DAVIS's code."""
    values = np.array(tuple(values), float)
    cuts = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
    first, last = values[cuts[0] : cuts[1] + 1], values[cuts[3] : cuts[4] + 1]
    return {
        "mean": float(values.mean()),
        "recall": float((values > 0.5).mean()),
        "decay": float(first.mean() - last.mean()),
    }
