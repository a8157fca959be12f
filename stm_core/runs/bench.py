"""Speed and memory of the engine on a generated clip, a row for every case.

Several cases run one after the other in processes of their own, so that one case's peak memory is not the
next one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from stm_core.memory.policy import MemoryConfig
from stm_core.runs.bench_case import Case, describe, measure
from stm_core.runs.own_process import in_own_process


def combinations(
    weights: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    dtypes: Sequence[str],
    engines: Sequence[str],
    memories: Sequence[MemoryConfig],
    **same: Any,
) -> list[Case]:
    """Every network at every size and dtype on every engine with every memory."""
    every = product(weights, sizes, dtypes, engines, memories)
    return [Case(w, s, d, m, engine=e, **same) for w, s, d, e, m in every]


def bench(cases: Sequence[Case], on_frame: Callable[[int], None] | None = None) -> Iterator[dict]:
    """Yield a row of figures for every case; a case that failed has `error` in place of figures.

    on_frame: called with the number of frames that were just done.  Raises StmError when the only case is a
    mistake.
    """
    if len(cases) == 1:
        yield measure(cases[0], on_frame)
        return
    for case in cases:
        yield _measure_apart(case)
        if on_frame is not None:
            on_frame(case.frames)


def _measure_apart(case: Case) -> dict:
    """`measure` in a process of its own, so that peaks are its own, and a crash costs only this row."""
    return {**describe(case), **in_own_process(measure, case)}
