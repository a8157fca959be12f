"""The review queue of a visitor's work: frames to look at, frames found right, frames flagged."""

from demo.work.work import Work
from stm_core.runs.review import Suggestion, suggestions


def queue(work: Work) -> list[Suggestion]:
    """The frames to look at, the most doubtful first; frames that were corrected since are left out."""
    if work.run is None:
        return []
    ids = [one.id for one in work.objects]
    corrected = {(index, i) for index in work.changed for i in ids}
    records = dict(work.run.records)  # the run may be under way
    return suggestions(
        *(records, ids),
        seen=work.approved | corrected,
        flagged=work.flagged - corrected,
        absent=work.absent,
    )


def approve(work: Work, index: int, number: int) -> None:
    """A person found an object right on a frame: that frame and those near it are not suggested again."""
    found = index, work.objects[number].id
    with work.one_step(index):
        work.flagged.discard(found)
        work.approved.add(found)


def flag(work: Work, index: int) -> None:
    """Put the selected object on a frame into the queue, or take it out again."""
    with work.one_step(index):
        work.flagged ^= {(index, work.objects.selected)}
