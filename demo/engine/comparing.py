"""Runs to be compared, one after the other: what page and web API share around the runner."""

from collections.abc import Generator, Mapping
from contextlib import closing

import numpy as np

from demo.engine.runner import Runner
from demo.work.compared import Compared, tried
from demo.work.job import Again
from demo.work.run import Run
from stm_core.runs.compare_table import compare_table


def try_out(runner: Runner, run: Run) -> Generator[Run, None, None]:
    """Run to its end a run that has begun; yields the run after each frame.

    Its state is then "done", "stopped" if somebody asked it to end, or "failed" after an error, which is
    raised.
    """
    try:
        with closing(runner.steps(run)) as steps:
            for step in steps:
                if isinstance(step, dict):
                    run.report = step
                elif isinstance(step, Again):
                    run.again(step.job, runner.predict(step.job.plan))
                else:
                    run.add(step)
                    yield run
        run.state = "stopped" if run.stop else "done"
    except Exception:
        run.keep_what_is_written()
        run.state = "failed"
        raise
    finally:  # also when the page was closed
        if run.state == "running":
            run.state = "stopped"


def tabulate(compared: Compared, truth: Mapping[int, np.ndarray] | None) -> dict:
    """The content of `compare.json` for the runs that have masks."""
    found = [tried(name, run) for name, run in compared.runs.items() if run.records]
    return compare_table(found, truth)
