"""A session as JSON, and back: what an “Everything” ZIP carries so that the work can be taken up on
another day.
"""

from pathlib import Path

import numpy as np

from demo.limits import Limits
from demo.work.visitor import Session
from demo.work.work import Marks, Record, unpack
from stm_core.masks import files as masks


def to_json(session: Session) -> dict:
    """What is needed to go on another day: objects, prompts (masks lie beside it), per-frame figures,
    report.
    """
    return {
        "version": 1,
        "name": session.clip.name,
        "start": session.clip.start,
        "frame": session.frame,
        "objects": [{"id": s.id, "name": s.name} for s in session.subjects],
        "marks": {
            str(n): {"clicks": m.clicks, "dots": m.dots, "drawn": m.base is not None, "tracked": _tracked(m)}
            for n, m in session.marks.items()
        },
        "records": {
            str(n): {"areas": r.areas, "confidence": r.confidence, "prompted": r.prompted}
            for n, r in session.records.items()
        },
        "pinned": list(session.pinned),
        "report": session.report,
    }


def restore(session: Session, saved: dict, kept: dict[str, list[int]], limits: Limits) -> None:
    """Take up saved work (see to_json) on the open clip; what does not make sense is left out."""
    clip = session.need_clip()
    inside = range(clip.start, clip.stop)
    if not all(isinstance(saved.get(name), dict) for name in ("marks", "records")):
        raise ValueError("no marks and no records")
    objects = [o for o in _list(saved, "objects") if isinstance(o, dict) and _is(o.get("id"), 1, 254)]
    subjects = {o["id"]: o.get("name", "") for o in objects[: limits.max_objects]}
    if subjects:
        session.subjects.restart(subjects)
    for index in [n for n in kept["prompts"] if n in inside]:
        _restore_marks(session, index, saved.get("marks", {}).get(str(index), {}), limits.max_edits)
    for index in [n for n in kept["masks"] if n in inside]:
        labels = unpack(session.mask_path(index).read_bytes())
        counts = np.bincount(labels.ravel(), minlength=256)
        old = saved.get("records", {}).get(str(index), {})
        sure = {int(k): float(v) for k, v in old.get("confidence", {}).items() if int(k) in subjects}
        session.records[index] = Record(
            {n: int(counts[n]) for n in subjects}, sure, bool(old.get("prompted"))
        )
    session.pinned = tuple(n for n in session.marks if n in set(_list(saved, "pinned")))
    session.dirty = set(session.marks) - set(session.pinned)
    session.report = saved.get("report") if isinstance(saved.get("report"), dict) else None
    session.go(saved.get("frame") if _is(saved.get("frame"), 0, 10**6) else clip.start)


def first_frame(saved: dict) -> int:
    """Where saved work begins in its clip; 0 when that makes no sense."""
    return saved["start"] if _is(saved.get("start"), 0, 10**6) else 0


def clip_name(saved: dict) -> str:
    """What the clip of saved work was called; "" when that makes no sense."""
    name = saved.get("name")
    return "".join(c for c in name[:60] if c.isprintable()) if isinstance(name, str) else ""


def _restore_marks(session: Session, index: int, saved: dict, most: int) -> None:
    path = Path(session.need_clip().folder) / "prompts" / f"{index:05d}.png"
    packed, (height, width) = path.read_bytes(), session.need_clip().size
    known = {s.id for s in session.subjects}

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

    # more clicks than the host allows: the mask that came of them stays, they are not read again
    drawn = bool(saved.get("drawn", True)) or not 0 < len(clicks("clicks")) <= most
    session.marks[index] = Marks(
        clicks=() if drawn else clicks("clicks"),
        base=packed if drawn else None,
        mask=packed,
        dots=clicks("dots")[:most],
        tracked=tuple(n for n in _list(saved, "tracked") if n in known),
    )


def _tracked(marks: Marks) -> list[int]:
    """Objects that the frame had before the marks; their base is not kept."""
    return sorted({*marks.tracked, *(masks.object_ids(unpack(marks.base)) if marks.base else ())})


def _list(saved: dict, key: str) -> list:
    value = saved.get(key)
    return value if isinstance(value, list) else []


def _is(value, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
