"""Sentences beside the buttons of a run: why it cannot begin, where it would go on, how it ended."""

from collections.abc import Sequence

from demo.draw import html
from demo.work.run import Run
from demo.work.work import Work

UNOPENED = html.unready("There is no clip yet.", "Clip", "Choose one")
UNMARKED = html.unready("Nothing is marked yet.", "Mark", "Mark the object")


def before_a_run(work: Work | None) -> str:
    """What is shown in the place of the progress: what to do first, or how long a run takes."""
    if work is None or not work.marks:
        return UNMARKED if work else UNOPENED
    return html.ready(work.seconds) if work.seconds else ""


def without_a_run(work: Work | None) -> str:
    """What stands where the progress will be, while no run waits or goes: of the masks that are shown."""
    if work is None or not work.tracked:
        return before_a_run(work)
    run = computed(work)
    return verdict(work, run) if run else ""


def computed(work: Work) -> Run | None:
    """The run that computed the masks that are shown; None without any, or when they were brought."""
    run = work.run.measured or work.run if work.run else None
    return run if run and run.job else None


def verdict(work: Work, run: Run) -> str:
    """The last line of the progress.  It counts all masks of the clip, also those of earlier runs."""
    masks, total = len(run.records), work.clip.frames
    what = "Done" if run.state == "done" else "Stopped, every mask so far is kept"
    took = f"in {html.clock(run.last_step - run.began)}."
    words = f"{what}: {masks} of {total} frames {took}"
    if run.untouched:
        words = f"{what}: {run.done} frames tracked again, {run.untouched} left as they were, {took}"
    elif run.continues:
        words = f"{what}: {masks} of {total} frames have a mask, {run.done} of them from this run, {took}"
    return html.bar(masks, total, words + _other_way(work, run), link="Result" if masks else "")


def _other_way(work: Work, run: Run) -> str:
    """After a run that followed a correction backward only: the offer to track the later frames again too."""
    plan = run.job.plan if run.job else None
    if plan is None or not run.continues or plan.directions != (-1,) or plan.first not in work.corrected:
        return ""
    number = html.number(plan.first)
    later = plan.first < plan.stop - 1
    return f" Frames after {number} are unchanged; choose forward to track them again too." if later else ""


def going_on(fixes: Sequence[int], rest: Sequence[tuple[int, int]]) -> str:
    """The label of the button Continue.  fixes: corrected frames.  rest: as in Work."""
    if len(fixes) == 1:
        return f"Continue from frame {html.number(fixes[0])}"
    if not rest or fixes:
        return "Continue"
    index, way = rest[0]
    return f"Resume from frame {html.number(index + way)}{', backward' if way < 0 else ''}"
