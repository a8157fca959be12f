"""Runs of one clip side by side in numbers: bytes, seconds, J and F, and how much their masks agree.

Nothing here runs a network: it takes what runs left, and gives `compare.json` and `compare.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stm_core.masks.mask_files import object_ids
from stm_core.masks.metrics import Scorer, jaccard
from stm_core.memory.policy import PRESETS, UNLIMITED, MemoryConfig

PARTED = 0.9  # frames on which masks agree less than this are listed as "parts"

Labels = Mapping[int, np.ndarray]  # by frame, uint8 (H, W); may read a file when it is asked


@dataclass(frozen=True, eq=False)
class Tried:
    """What one run of the clip left.

    masks: by frame.
    bank: bytes stored after each frame.
    given: frames whose masks were given, which are not scored.
    """

    name: str
    memory: MemoryConfig
    size: int | None
    masks: Labels
    bank: Mapping[int, int]
    read_peak_bytes: int
    seconds_per_frame: float
    given: Sequence[int] = (0,)


@dataclass(frozen=True)
class Score:
    """J and F of a run against the truth, as DAVIS counts them; J of each frame that was scored."""

    J: float
    F: float
    by_frame: dict[int, float] = field(repr=False)


def _published(tried: Tried) -> float | None:
    """J of the paper's own network with this memory, on DAVIS-2017 val."""
    preset = PRESETS.get(tried.name)
    return preset.published[1] if preset and preset.published else None


def score(tried: Tried, truth: Labels) -> Score | None:
    """J and F of a run; None where no frame can be scored.

    As in DAVIS: the objects are those of the first true mask that shows any, and neither the frames that were
    given nor the last one count.
    """
    common = [t for t in sorted(tried.masks) if t in truth]
    shown = (max(object_ids(truth[t]), default=0) for t in common)
    most = next(filter(None, shown), 0)
    scorer, last = Scorer(range(1, most + 1)), max(tried.masks)
    scored = [t for t in common if t not in tried.given and t != last]
    by_frame = {}
    for t in scored:
        true = np.where(truth[t] > most, 0, truth[t]).astype(np.uint8)
        scorer.add(tried.masks[t], true)
        by_frame[t] = overlap(tried.masks[t], true, range(1, most + 1))
    if not scored:
        return None
    found = scorer.result()
    return Score(found["J"]["mean"], found["F"]["mean"], by_frame)


def overlap(mask: np.ndarray, other: np.ndarray, objects: Sequence[int] | None = None) -> float:
    """Mean J over objects of two labels (H, W).  objects: None: all that one of the two shows."""
    objects = objects or sorted({*object_ids(mask), *object_ids(other)})
    return float(np.mean([jaccard(mask == n, other == n) for n in objects])) if objects else 1.0


def agreement(tried: Tried, reference: Tried) -> dict[int, float]:
    """How much the masks of two runs overlap: mean J over objects, by frame on which both have a mask."""
    common = [t for t in sorted(tried.masks) if t in reference.masks and t not in tried.given]
    return {t: overlap(tried.masks[t], reference.masks[t]) for t in common}


def compare_table(runs: Sequence[Tried], truth: Labels | None = None) -> dict:
    """The content of `compare.json`.  "reference" is the run that "agreement" is measured against."""
    reference = next((one for one in runs if one.name == UNLIMITED), runs[0])
    return {"runs": [_row(one, reference, truth) for one in runs], "reference": reference.name}


def _row(one: Tried, reference: Tried, truth: Labels | None) -> dict:
    found = score(one, truth) if truth else None
    agrees = agreement(one, reference)
    frames = sorted(one.masks)
    return {
        "name": one.name,
        "memory": {
            "preset": one.memory.preset,
            "every": one.memory.every,
            "budget_bytes": one.memory.bound_bytes,
        },
        "size": one.size,
        "bank_bytes": max(one.bank.values(), default=0),
        "read_peak_bytes": one.read_peak_bytes,
        "seconds_per_frame": one.seconds_per_frame,
        "J": found.J if found else None,
        "F": found.F if found else None,
        "agreement": float(np.mean(list(agrees.values()))) if agrees else 1.0,
        "parts": spans([t for t, value in agrees.items() if value < PARTED]),
        "paper_J": _published(one),
        "over_time": {
            "t": frames,
            "bank_bytes": [one.bank.get(t) for t in frames],
            "J": [found.by_frame.get(t) for t in frames] if found else None,
            "agreement": [agrees.get(t) for t in frames],
        },
    }


def spans(frames: Sequence[int]) -> list[list[int]]:
    """Sorted frames as spans [first, last] without holes."""
    found: list[list[int]] = []
    for t in frames:
        if found and found[-1][1] == t - 1:
            found[-1][1] = t
        else:
            found.append([t, t])
    return found


def compare_markdown(table: dict) -> str:
    """The table for people: MiB, seconds, and scores of 100."""
    scored = any(row["J"] is not None for row in table["runs"])
    paper = any(row["paper_J"] is not None for row in table["runs"])
    head = ["run", "keeps", "bank MiB", "read peak MiB", "s/frame"]
    head += ["J", "F"] * scored + [f"agreement with {table['reference']}", "parts at frames"]
    head += ["paper: J, DAVIS-17"] * paper
    rows = [_cells(row, scored, paper) for row in table["runs"]]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cells(row: dict, scored: bool, paper: bool) -> Iterator[str]:
    yield row["name"]
    yield PRESETS[row["memory"]["preset"]].keeps
    yield f"{row['bank_bytes'] / 2**20:.2f}"
    yield f"{row['read_peak_bytes'] / 2**20:.2f}"
    yield f"{row['seconds_per_frame']:.3f}"
    if scored:
        yield from (_hundredth(row[name]) for name in ("J", "F"))
    yield _hundredth(row["agreement"])
    yield ", ".join(f"{a}–{b}" if a != b else str(a) for a, b in row["parts"]) or "–"
    if paper:
        yield f"{row['paper_J']}" if row["paper_J"] is not None else "–"


def _hundredth(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
