"""Runs of one clip that are compared: what each of them changes, and where its masks lie."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from demo.work.run import Run
from stm_core.errors import OptionError
from stm_core.masks.mask_files import decode_mask
from stm_core.memory.policy import PRESETS
from stm_core.runs.compare_cases import Case, checked, of_size, strategy, within
from stm_core.runs.compare_table import Tried
from stm_core.runs.plan import Plan

SIZES, BUDGETS = (240, 360, 480), (4, 16, 64)  # pixels of the short side, and MB, that can be compared
LEAST = 2  # runs in one comparison
TABLE_5 = list(PRESETS)  # what the paper's table compares, and the bounded memory


CASES = {case.name: case for case in (*map(strategy, PRESETS), *map(of_size, SIZES), *map(within, BUDGETS))}


def chosen(names: Sequence[str]) -> list[Case]:
    """The cases of these names.  OptionError when one is unknown, or there are too few or too many."""
    names = list(names or ())
    for name in names:
        if name not in CASES:
            raise OptionError(f"there is nothing called {str(name)[:30]!r} to compare; choose from the list")
    return checked([CASES[name] for name in names], LEAST)


@dataclass(eq=False)
class Compared:
    """A comparison on the page.

    runs: by name, in the order in which they were chosen.
    table: the content of `compare.json`, once there is one.
    stop: somebody asked it to end.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    table: dict | None = None
    stop: bool = False


class MaskFiles(Mapping[int, np.ndarray]):
    """Masks of ours on disk, by frame."""

    def __init__(self, folder: Path, frames: Sequence[int]):
        self._folder, self._frames = folder, sorted(frames)

    def __getitem__(self, index: int) -> np.ndarray:
        if index not in self._frames:
            raise KeyError(index)
        return decode_mask((self._folder / f"{index:05d}.png").read_bytes())

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


def new_run(clip_folder: str | Path) -> Run:
    """A run besides that of the page; its folder stays when the page shows another run."""
    return Run(str(Path(clip_folder) / f"tried-{secrets.token_hex(6)}"), trial=True)


def answers_to(run: Run | None, plan: Plan) -> bool:
    """Whether a run that ended has the result of this plan, so that it need not run again."""
    if run is None or run.job is None or run.state != "done" or run.done != plan.frames:
        return False
    old = run.job.plan
    same = all(
        getattr(old, name) == getattr(plan, name) for name in ("memory", "size", "first", "directions")
    )
    return same and (old.start, old.stop, old.known) == (plan.start, plan.stop, plan.known)


def tried(name: str, run: Run) -> Tried:
    """A run as the table takes it."""
    assert run.job is not None, "a run that began has a job"
    plan, glances = run.job.plan, run.glances
    seconds = ((run.report or {}).get("seconds") or {}).get("per_frame_median") or run.pace
    return Tried(
        name=name,
        memory=plan.memory,
        size=plan.size,
        masks=MaskFiles(Path(run.folder) / "masks", [t for t in run.records if run.mask_path(t).exists()]),
        bank={t: glance.bank for t, glance in glances.items()},
        read_peak_bytes=max((glance.read_peak for glance in glances.values()), default=0),
        seconds_per_frame=seconds,
        given=sorted(plan.known) or [prompt.frame for prompt in plan.prompts],
    )
