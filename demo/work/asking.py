"""A visitor's marks as prompts for a run."""

from demo.work.work import Work
from stm_core.engine.prompts import Prompt
from stm_core.errors import PromptError


def prompts(work: Work) -> list[Prompt]:
    """The marks as the engine takes them, sorted by frame.

    Raises PromptError when nothing is marked, or when an object has no pixel on any marked frame.
    """
    marked = sorted(dict(work.marks).items(), key=lambda one: one[0])
    found = [prompt for index, marks in marked if (prompt := marks.prompt(index))]
    if not found:
        raise PromptError("nothing is marked yet; click or paint the object first")
    present = {number for _, marks in marked for number in marks.objects}
    for one in work.objects:
        if one.id not in present and len(work.objects) > 1:
            raise PromptError(f"“{one.name}” is not marked on any frame; mark it, or delete it")
    if not present:
        raise PromptError("the mask is empty; add a click on the object, or paint it")
    return found


def prompt_of_run(work: Work, index: int) -> Prompt:
    """A frame's mask of the run as a prompt, with all objects that the run followed there."""
    run, labels = work.run, work.result(index)
    if run is None or labels is None:
        raise PromptError("the masks of the last run are gone; press Track to make them again")
    return Prompt.from_mask(labels, frame=index, objects=set(run.records[index].areas))
