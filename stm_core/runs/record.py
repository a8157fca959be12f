"""What a run notes of each frame besides its masks: size, confidence and place of each object.

The masks are looked at on a coarse grid, so that a frame costs well under a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from stm_core.engine.result import FrameResult

Value = TypeVar("Value")
ROWS = 64  # of the grid, about
LEAST_PIECE = 0.05  # share of an object's cells; smaller parts are no pieces


@dataclass(frozen=True)
class Shape:
    """How the mask of one object lies on one frame; an object without a pixel has none.

    x, y: its centre, in pixels.
    pieces: how many parts it has that do not touch.
    touches: ids of the objects beside it.
    """

    x: float
    y: float
    pieces: int = 1
    touches: tuple[int, ...] = ()


@dataclass(frozen=True)
class Record:
    """What a run found on one frame, by object.

    areas: pixels.
    confidence: 0 to 1.
    prompted: somebody marked this frame.
    shapes: of the objects that have pixels.
    refused: share of what resembled an object that lay where the object cannot be (see `Whereabouts`).
    agreement: overlap (IoU) with the earlier mask, if a run continued another.
    """

    areas: dict[int, int]
    confidence: dict[int, float]
    prompted: bool = False
    shapes: dict[int, Shape] = field(default_factory=dict)
    refused: dict[int, float] = field(default_factory=dict)
    agreement: dict[int, float] = field(default_factory=dict)

    def without(self, gone: int) -> Record:
        """The same without one object."""

        def rest(values: dict[int, Value]) -> dict[int, Value]:
            return {n: value for n, value in values.items() if n != gone}

        return replace(
            self,
            areas=rest(self.areas),
            confidence=rest(self.confidence),
            shapes=rest(self.shapes),
            refused=rest(self.refused),
            agreement=rest(self.agreement),
        )


def record_of(result: FrameResult, agreement: Mapping[int, float] | None = None) -> Record:
    """The record of a frame.  agreement: with the mask before, where there was one."""
    return record_from(
        result.labels,
        result.objects,
        {int(i): float(sure) for i, sure in result.confidence.items()},
        prompted=result.prompted,
        refused={int(i): float(share) for i, share in result.refused.items()},
        agreement=dict(agreement or {}),
    )


def record_from(
    labels: np.ndarray, objects: Iterable[int], confidence: dict[int, float], **more: object
) -> Record:
    """The record of labels uint8 (H, W), for these objects."""
    objects = [int(i) for i in objects]
    counts = np.bincount(labels.ravel(), minlength=256)
    areas = {i: int(counts[i]) for i in objects}
    present = [i for i in objects if areas[i]]
    return Record(areas, confidence, shapes=_shapes(labels, present) if present else {}, **more)  # type: ignore[arg-type]


def _shapes(labels: np.ndarray, objects: list[int]) -> dict[int, Shape]:
    step = max(1, min(labels.shape) // ROWS)
    grid = labels[step // 2 :: step, step // 2 :: step]
    rows, columns = grid.nonzero()
    ids = grid[rows, columns]
    counts = np.bincount(ids, minlength=256)
    found, pieces, touches = {}, _pieces(grid), _touching(grid)
    for i in objects:
        if counts[i]:
            own = ids == i
            y, x = (float(at[own].mean()) * step + step // 2 for at in (rows, columns))
        else:  # it lies between the cells
            y, x = (float(at.mean()) for at in (labels == i).nonzero())
        found[i] = Shape(x, y, max(1, pieces.get(i, 1)), tuple(sorted(touches.get(i, ()))))
    return found


def _touching(grid: np.ndarray) -> dict[int, set[int]]:
    """Which objects lie beside each other in a grid (h, w) of ids."""
    found: dict[int, set[int]] = {}
    for one, other in ((grid[:, :-1], grid[:, 1:]), (grid[:-1], grid[1:])):
        beside = (one != other) & (one > 0) & (other > 0)
        for a, b in zip(one[beside].tolist(), other[beside].tolist(), strict=True):
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
    return found


def _pieces(grid: np.ndarray) -> dict[int, int]:
    """How many parts each object of a grid (h, w) has; parts whose corners meet are one."""
    sizes = _parts(grid)
    totals: dict[int, int] = {}
    for i, size in sizes:
        totals[i] = totals.get(i, 0) + size
    found: dict[int, int] = {}
    for i, size in sizes:
        found[i] = found.get(i, 0) + (size >= max(LEAST_PIECE * totals[i], 2))
    return found


def _parts(grid: np.ndarray) -> list[tuple[int, int]]:
    """(id, cells) of each part of a grid: the stretches of its rows, joined where they meet."""
    padded = np.pad(grid, ((0, 0), (1, 1)))
    rows, begins = (padded[:, 1:] != padded[:, :-1]).nonzero()
    parent: list[int] = []
    stretches: list[tuple[int, int, int]] = []  # id, begin, end
    before, here, last = range(0), 0, -2
    ends = [*begins[1:].tolist(), 0][: len(begins)]
    for row, begin, end in zip(rows.tolist(), begins.tolist(), ends, strict=True):
        if row != last:
            before = range(here, len(stretches)) if row == last + 1 else range(0)
            here, last = len(stretches), row
        i = int(padded[row, begin + 1])
        if not i:
            continue
        stretches.append((i, begin, end))
        parent.append(len(parent))
        for k in before:
            other, other_begin, other_end = stretches[k]
            if other == i and other_begin <= end and begin <= other_end:
                parent[_root(parent, k)] = _root(parent, len(parent) - 1)
    sizes: dict[int, int] = {}
    for k, (_, begin, end) in enumerate(stretches):
        root = _root(parent, k)
        sizes[root] = sizes.get(root, 0) + end - begin
    return [(stretches[root][0], size) for root, size in sizes.items()]


def _root(parent: list[int], k: int) -> int:
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k
