"""The work on a clip as JSON, and back: part of the ZIP of a full session, to continue on another day."""

from pathlib import Path
from typing import TypeGuard

from demo.limits import Limits
from demo.work.absence import restored
from demo.work.history import Moment
from demo.work.marks import Marks
from demo.work.run import Run
from demo.work.work import Work
from stm_core.masks.mask_files import decode_mask, object_ids
from stm_core.masks.palette import SCREEN
from stm_core.runs.record import record_from


def to_json(work: Work) -> dict:
    """Objects, prompts (their masks are files in the ZIP), numbers of each frame, and the report."""
    run = work.run or Run(work.clip.folder)
    return {
        "version": 1,
        "name": work.clip.name,
        "start": work.clip.start,
        "frame": work.frame,
        "objects": [{"id": one.id, "name": one.name, "tint": one.tint} for one in work.objects],
        "marks": {
            str(n): {
                "clicks": marks.clicks,
                "dots": marks.dots,
                "drawn": marks.base is not None,
                "tracked": sorted(marks.before),  # `base` is not kept
            }
            for n, marks in work.marks.items()
        },
        "records": {
            str(n): {"areas": one.areas, "confidence": one.confidence, "prompted": one.prompted}
            for n, one in run.records.items()
        },
        "pinned": list(work.pinned),
        "absent": {str(number): ranges for number, ranges in work.absent.items()},
        "report": run.report,
    }


def restore(work: Work, saved: dict, kept: dict[str, list[int]], limits: Limits) -> None:
    """Restore saved work (see `to_json`) on the open clip; what makes no sense is left out.

    kept: frames whose masks and prompts lie in the clip's folder.  Raises ValueError, TypeError,
    AttributeError or KeyError, and restores nothing, when it makes no sense as a whole.
    """
    found = Work.begin(work.clip)
    _fill(found, saved, kept, limits)
    Moment.of(found, found.frame).restore(work)
    work.go(found.frame)


def _fill(work: Work, saved: dict, kept: dict[str, list[int]], limits: Limits) -> None:
    clip = work.clip
    inside = range(clip.start, clip.stop)
    if not all(isinstance(saved.get(name), dict) for name in ("marks", "records")):
        raise ValueError("no marks and no records")
    objects = [o for o in _list(saved, "objects") if isinstance(o, dict) and _is(o.get("id"), 1, 254)]
    names = {o["id"]: o.get("name", "") for o in objects[: limits.max_objects]}
    if names:
        tints = {o["id"]: o["tint"] for o in objects if _is(o.get("tint"), 0, len(SCREEN) - 1)}
        work.objects.restart(names, tints)
    for index in [n for n in kept["prompts"] if n in inside]:
        _restore_marks(work, index, saved["marks"].get(str(index), {}), limits.max_edits)
    run = _restored_run(work, saved, [n for n in kept["masks"] if n in inside], names)
    work.run = run if run.records else None
    work.absent = restored(saved.get("absent"), names, inside)
    work.pinned = tuple(n for n in work.marks if n in set(_list(saved, "pinned")))
    work.changed = set(work.marks) - set(work.pinned)
    work.corrected = sorted(work.changed)
    if run.records:
        ends = ((max(run.records), 1), (min(run.records), -1))
        work.rest = [end for end in ends if end[0] + end[1] in inside]
    frame = saved.get("frame")
    work.go(frame if _is(frame, 0, 10**6) else clip.start)


def _restored_run(work: Work, saved: dict, indices: list[int], names: dict[int, str]) -> Run:
    """An ended run with the masks from the ZIP; it takes over their folder."""
    run = Run.new(work.clip.folder)
    run.state = "done"
    run.report = saved.get("report") if isinstance(saved.get("report"), dict) else None
    if indices:
        Path(run.folder).mkdir()
        (Path(work.clip.folder) / "masks").rename(Path(run.folder) / "masks")
    for index in indices:
        labels = decode_mask(run.mask_path(index).read_bytes())
        old = saved["records"].get(str(index), {})
        told = old.get("confidence", {}).items()
        sure = {int(n): value for n, value in told if int(n) in names and _is_share(value)}
        known = {int(n) for n in old.get("areas", {})}.union(object_ids(labels)).intersection(names)
        run.records[index] = record_from(labels, sorted(known), sure, prompted=bool(old.get("prompted")))
    return run


def first_frame(saved: dict) -> int:
    """The clip's first frame that saved work used; 0 when that makes no sense."""
    return saved["start"] if _is(saved.get("start"), 0, 10**6) else 0


def clip_name(saved: dict) -> str:
    """The name of the clip of saved work; "" when that makes no sense."""
    name = saved.get("name")
    return "".join(c for c in name[:60] if c.isprintable()) if isinstance(name, str) else ""


def _restore_marks(work: Work, index: int, saved: dict, most: int) -> None:
    path = Path(work.clip.folder) / "prompts" / f"{index:05d}.png"
    packed, (height, width) = path.read_bytes(), work.clip.size
    known = {one.id for one in work.objects}

    def clicks(name: str) -> tuple:
        return tuple(
            tuple(row)
            for row in _list(saved, name)
            if isinstance(row, list)
            and len(row) == 4
            and _is(row[0], 0, width - 1)
            and _is(row[1], 0, height - 1)
            and row[2] in (0, 1)
            and row[3] in known
        )

    # more clicks than this host allows: keep the mask that they gave, but not the clicks
    drawn = bool(saved.get("drawn", True)) or not 0 < len(clicks("clicks")) <= most
    work.marks[index] = Marks(
        clicks=() if drawn else clicks("clicks"),
        base=packed if drawn else None,
        mask=packed,
        dots=clicks("dots")[:most],
        tracked=tuple(n for n in _list(saved, "tracked") if n in known),
    )


def _list(saved: dict, key: str) -> list:
    value = saved.get(key)
    return value if isinstance(value, list) else []


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= 1  # which no NaN is


def _is(value: object, low: int, high: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
