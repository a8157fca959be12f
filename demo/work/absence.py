"""Objects that are gone for a while: ranges of frames in which they have no mask, said and taken back."""

from collections.abc import Iterable

from demo.work.work import Work
from stm_core.errors import PromptError

Ranges = tuple[tuple[int, int], ...]


def say_absent(work: Work, number: int, first: int, last: int) -> None:
    """Mark an object as gone from these frames: its masks there are removed at once.

    Raises PromptError when it is marked on one of them.
    """
    one, (start, stop) = work.objects[number], (work.clip.start, work.clip.stop)
    first, last = sorted(min(max(index, start), stop - 1) for index in (first, last))
    marked = [n for n, marks in sorted(work.marks.items()) if first <= n <= last and one.id in marks.objects]
    if marked:
        raise PromptError(
            f"“{one.name}” is marked on frame {marked[0]}, so it is not gone there; clear that frame first"
        )
    with work.one_step():
        work.absent[one.id] = merged([*work.absent.get(one.id, ()), (first, last)])
        if work.run is not None:
            work.replace_run(work.run.without(one.id, range(first, last + 1)))


def take_back_absent(work: Work, number: int, index: int) -> None:
    """An object is not gone on a frame after all: forget the range around it, whose frames are to be tracked.

    Raises PromptError when it was not marked as gone there.
    """
    one = work.objects[number]
    ranges = work.absent.get(one.id, ())
    found = [two for two in ranges if two[0] <= index <= two[1]]
    if not found:
        raise PromptError(f"“{one.name}” is not marked as gone on this frame; go to a frame where it is")
    with work.one_step(index):
        work.absent[one.id] = tuple(two for two in ranges if two not in found)
        before = found[0][0] - 1
        if work.run is not None and before in work.run.records:
            work.rest = [(before, 1), *(two for two in work.rest if two != (before, 1))]


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges of frames (first, last), sorted, with those joined that overlap or touch."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)


def restored(saved: object, numbers: Iterable[int], inside: range) -> dict[int, Ranges]:
    """The ranges of saved work, by object; what makes no sense is left out."""
    found: dict[int, Ranges] = {}
    for number in numbers:
        ranges = saved.get(str(number)) if isinstance(saved, dict) else None
        pairs = [
            (min(one), max(one))
            for one in (ranges if isinstance(ranges, list) else ())
            if isinstance(one, list) and len(one) == 2 and all(type(n) is int and n in inside for n in one)
        ]
        found |= {number: merged(pairs)} if pairs else {}
    return found
