"""A run from the visitor's choices to its steps: what page and web API share around the engine."""

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from demo.engine.device import Engine
from demo.limits import Limits
from demo.work.asking import prompt_of_run
from demo.work.asking import prompts as prompts_of
from demo.work.job import Again, Job, Step
from demo.work.run import Run
from demo.work.work import Work
from stm_core.engine.forecast import Prediction
from stm_core.engine.geometry import LEAST_SIZE
from stm_core.engine.threads import read_ahead
from stm_core.errors import LimitError, OptionError, PromptError
from stm_core.memory.policy import PRESETS, MemoryConfig
from stm_core.runs.plan import Plan

DIRECTIONS = {"forward": (1,), "backward": (-1,), "both": (1, -1)}
MOST_FRAMES = 1000  # most frames that a visitor may let the memory hold; the bytes have their own limit
AHEAD = 2  # frames that may be computed before the page takes them
OPACITY = 0.5  # of the masks, in films and in the live preview


@dataclass
class Runner:
    """Plans, forecasts and runs, over one engine for all visitors."""

    engine: Engine
    limits: Limits

    def memory(
        self, preset: str, budget_mb: float, every: float, capacity: float = MemoryConfig.capacity
    ) -> MemoryConfig:
        """The chosen memory.  OptionError when a value makes no sense or is over the host's limit."""
        if str(preset) not in PRESETS:
            raise OptionError(
                f"there is no memory preset {str(preset)[:30]!r}; choose one of {', '.join(PRESETS)}"
            )
        try:
            megabytes, interval, frames = float(budget_mb), int(every), int(capacity)
        except (TypeError, ValueError, OverflowError) as error:
            raise OptionError("a number of the memory settings is missing; type it again") from error
        if not 0.1 <= megabytes <= self.limits.max_budget_mb:
            most = self.limits.max_budget_mb
            raise OptionError(f"the memory limit is {megabytes:g} MB; choose 0.1 to {most} MB")
        if not 2 <= frames <= MOST_FRAMES:
            raise OptionError(f"“Most frames” is {frames}; choose 2 to {MOST_FRAMES}")
        if interval < 1:
            raise OptionError(f"“Keep every n-th” is {interval}; choose 1 or more")
        return MemoryConfig(preset, interval, int(megabytes * 2**20), frames)

    def side(self, height: int, width: int, size: float | None) -> int:
        """The short side that was chosen (0 or None: the clip's own), at most what the host allows."""
        return max(LEAST_SIZE, min(int(size or 0) or min(height, width), self.limits.max_side))

    def plan(
        self, work: Work, memory: MemoryConfig, size: int | None, direction: str, to_end: bool = False
    ) -> Job:
        """The job for a visitor's marks, whose folder is still to be set.

        direction: "", or which frames are computed again after a correction.
        to_end: continue to the end, even when the masks no longer change.
        Raises PromptError when there is nothing to begin from.
        """
        clip = work.clip
        rate = self.engine.rate(*self.engine.seen(*clip.size, size), len(work.objects))
        known = work.given()  # only now: measuring took a while, in which marks may have changed
        prompts = prompts_of(work)
        first = prompts[0].frame
        directions: tuple[int, ...] = (1, -1) if first > clip.start else (1,)
        if direction:
            first, directions = _onward(work, direction)
            if first not in work.marks:  # a run that was stopped there goes on from its own mask
                prompts = sorted([*prompts, prompt_of_run(work, first)], key=lambda prompt: prompt.frame)
        plan = Plan(
            *clip.size,
            start=clip.start,
            stop=clip.stop,
            first=first,
            prompts=tuple(prompts),
            directions=directions,
            known=known,
            memory=memory,
            size=size,
            absent=dict(work.absent),
            earlier=str(work.run.mask_path(0).parent) if direction and work.run and not to_end else None,
        )
        seconds = rate * clip.frames
        return Job(plan, clip.path, "", self.limits.preview_side, OPACITY, work.objects.colours, seconds)

    def predict(self, plan: Plan) -> Prediction:
        """Bytes that a plan takes at most.  Raises LimitError if its budget cannot hold all marked frames."""
        seen = self.engine.seen(plan.height, plan.width, plan.size)
        marked = {prompt.frame for prompt in plan.prompts}
        return self.engine.predict(plan.memory, *seen, len(plan.objects), plan.frames, len(marked))

    def steps(self, run: Run) -> Generator[Step | Again | dict, None, None]:
        """The engine's steps, computed in a thread while the page shows those before."""
        # a ZeroGPU worker is another process already, and its calls belong to this thread
        if self.engine.zero:
            return self._until_stop(run)
        # Gradio closes the run of a closed tab where it serves everybody: that must not wait for a frame
        return read_ahead(self._until_stop(run), AHEAD, patient=False)

    def _until_stop(self, run: Run) -> Generator[Step | Again | dict, None, None]:
        assert run.job is not None, "a run has a job once it began"
        end = time.monotonic() + 60 * self.limits.run_minutes
        with closing(self.engine.track(run.job)) as steps:
            for step in steps:
                if step is not None:
                    yield step
                if run.stop:
                    return
                if time.monotonic() > end and not isinstance(step, dict):
                    raise LimitError(
                        f"the run was ended after {self.limits.run_minutes} minutes, the longest that a run "
                        "may take here; choose a smaller processing size or a shorter clip"
                    )

    def learn(self, run: Run, objects: int) -> None:
        """Remember the pace of a run for later forecasts."""
        assert run.job is not None, "a run has a job once it began"
        plan = run.job.plan
        seen = self.engine.seen(plan.height, plan.width, plan.size)
        self.engine.rates[(*seen, objects)] = run.pace


def _onward(work: Work, direction: str) -> tuple[int, tuple[int, ...]]:
    """(frame at which a run continues, its directions).

    It begins at the first new correction in its direction, so that it passes the others too; without a new
    one, at an earlier correction, or where the last run was stopped.
    """
    if direction not in DIRECTIONS:
        raise PromptError(f"there is no direction {direction[:20]!r}; choose one of {', '.join(DIRECTIONS)}")
    found = work.fixes()
    if not found and work.rest:
        index, way = work.rest[0]
        return index, (way,)
    if found:
        return (max(found) if direction == "backward" else min(found)), DIRECTIONS[direction]
    found = work.corrected
    if not found:
        raise PromptError(
            "no frame was corrected since the last run; go to a wrong frame, correct it, then continue"
        )
    return work.frame if work.frame in found else found[0], DIRECTIONS[direction]
