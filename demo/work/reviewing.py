"""The review queue of a visitor's work: what to look at, what was found right, what was flagged."""

from demo.work.work import Work
from stm_core.runs.review import Suggestion, suggestions


def queue(work: Work) -> list[Suggestion]:
    """The frames to look at, best first; those that were corrected since need no look."""
    if work.run is None:
        return []
    ids = [one.id for one in work.objects]
    corrected = {(index, i) for index in work.changed for i in ids}
    records = dict(work.run.records)  # the run may be under way
    return suggestions(records, ids, seen=work.approved | corrected, flagged=work.flagged - corrected)


def approve(work: Work, index: int, number: int) -> None:
    """A person found an object right on a frame: neither it nor the frames near it come again."""
    found = index, work.objects[number].id
    with work.one_step(index):
        work.flagged.discard(found)
        work.approved.add(found)


def flag(work: Work, index: int) -> None:
    """Put the selected object on a frame into the queue, or take it out again."""
    with work.one_step(index):
        work.flagged ^= {(index, work.objects.selected)}
