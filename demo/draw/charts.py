"""The two drawings of the page, as SVG text: what the memory costs, and how each object fares over the clip.

Drawn here rather than by a plotting library: a few kB a picture, sharp at every size, and in the page's
own colours (CSS variables), so that both themes work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from demo.work.visitor import Session
from demo.work.work import Record

WIDTH, HIGH, LOW, LEFT, GAP = 440, 142, 58, 58, 34  # drawing units; about pixels in the desk layout
DOUBT = 0.6  # confidence below this is worth a look
JUMP = 2.5  # so is an area that changes by this factor from one frame to the next
MOST_POINTS = 240
NO_TIMELINE = (
    '<p class="stm-faint">After tracking, each object’s area and confidence appear here, frame by frame.</p>'
)


@dataclass(frozen=True)
class Point:
    """Memory after `frames` frames of a run, all in bytes."""

    frames: int
    bank: int
    read_peak: int
    unbounded: int
    process: int


def size(number: float) -> str:
    """Bytes in words: 812 B, 3.1 MB, 1.24 GB."""
    for unit, scale in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if abs(number) >= scale:
            value = number / scale
            return f"{value:.2f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{number:.0f} B"


def thin(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS of them, first and last included."""
    if len(points) <= MOST_POINTS:
        return list(points)
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(i * step)] for i in range(MOST_POINTS)]


def memory_chart(points: Sequence[Point], total: int, unbounded_end: int, budget: int | None) -> str:
    """SVG.  Above, what is stored: the bank against an unbounded STM (dashed).  Below, what running takes:
    the read's
    peak and the growth of the process since the start."""
    points = thin(points)
    top = max([unbounded_end, 2**20, *(max(p.bank, p.unbounded) for p in points)]) * 1.08
    base = points[0].process if points else 0
    grown = [max(p.process - base, 0) for p in points]
    ceiling = max([16 * 2**20, *grown, *(p.read_peak for p in points)]) * 1.08
    floor = HIGH + GAP + LOW
    x = _scale(0, max(total, 1), LEFT, WIDTH - 8)
    y, z = _scale(0, top, HIGH, 16), _scale(0, ceiling, floor, HIGH + GAP)
    bank = [(p.frames, p.bank) for p in points]
    unbounded = [(p.frames, p.unbounded) for p in points]
    parts = [
        _axis(top, y, 3),
        _axis(ceiling, z, 2),
        _caption("stored", 10),
        _caption("while running", HIGH + GAP - 6),
    ]
    if budget is not None and budget < top:
        parts.append(
            f'<path class="stm-budget" d="M{LEFT} {y(budget):.1f}H{WIDTH - 8}"/>'
            f'<text x="{WIDTH - 10}" y="{y(budget) - 4:.1f}" text-anchor="end">budget</text>'
        )
    now = unbounded[-1] if unbounded else (0, 0)
    if now[0] < total and now[1] < unbounded_end:
        parts.append(_line("stm-ahead", [now, (total, unbounded_end)], x, y))
    parts.append(_line("stm-unbounded", unbounded, x, y))
    if len(bank) > 1:
        parts.append(f'<path class="stm-bank-fill" d="{_path(bank, x, y)}V{HIGH}H{x(bank[0][0]):.1f}Z"/>')
    parts.append(_line("stm-bank", bank, x, y))
    parts.append(_line("stm-process", [(p.frames, g) for p, g in zip(points, grown, strict=True)], x, z))
    parts.append(_line("stm-read", [(p.frames, p.read_peak) for p in points], x, z))
    parts.append(
        f'<text x="{LEFT}" y="{floor + 14}">0</text>'
        f'<text x="{WIDTH - 8}" y="{floor + 14}" text-anchor="end">{total} frames done</text>'
    )
    words = "Memory over the frames of the clip: " + (
        f"bank {size(points[-1].bank)}, an unbounded STM {size(points[-1].unbounded)}"
        if points
        else "no run yet"
    )
    return (
        f'<svg class="stm-chart" viewBox="0 0 {WIDTH} {floor + 18}" role="img" aria-label="{escape(words)}">'
        f"{''.join(parts)}</svg>"
    )


def _caption(text: str, y: float) -> str:
    return f'<text class="stm-panel" x="{LEFT}" y="{y}">{text}</text>'


def _scale(low: float, high: float, start: float, end: float):
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _path(points: Sequence[tuple[float, float]], x, y) -> str:
    return "M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)


def _line(name: str, points: Sequence[tuple[float, float]], x, y) -> str:
    return f'<path class="{name}" d="{_path(points, x, y)}"/>' if len(points) > 1 else ""


def _axis(top: float, y, most: int) -> str:
    """Grid lines and labels at whole numbers of one unit, at most `most` above zero."""
    unit = next(scale for scale in (2**30, 2**20, 2**10) if top >= 2 * scale)
    name = {2**30: "GB", 2**20: "MB", 2**10: "kB"}[unit]
    step = 1
    while top / unit / step > most + 0.9:
        step = {"1": 2, "2": 5, "5": 10}[str(step)[0]] * 10 ** (len(str(step)) - 1)
    marks = range(0, int(top / unit) + 1, step)
    return "".join(
        f'<path class="stm-grid" d="M{LEFT} {y(m * unit):.1f}H{WIDTH - 8}"/>'
        f'<text x="{LEFT - 6}" y="{y(m * unit) + 4:.1f}" '
        f'text-anchor="end">{f"{m:,} {name}" if m else "0"}</text>'
        for m in marks
    )


# objects over time
# -------------------------------------------------------------------------------------------


def doubts(records: dict[int, Record], number: int) -> list[int]:
    """Frames where an object deserves a look: low confidence, a sudden change of area, or the frame it
    vanishes on.
    """
    found, before = [], None
    for index in sorted(records):
        record = records[index]
        area, sure = record.areas.get(number, 0), record.confidence.get(number, 1.0)
        adjacent = before is not None and before[0] == index - 1
        vanished = adjacent and before[1] > 0 and area == 0
        jumped = adjacent and min(area, before[1]) > 0 and not 1 / JUMP < area / before[1] < JUMP
        if not record.prompted and ((area and sure < DOUBT) or vanished or jumped):
            found.append(index)
        before = index, area
    return found


def spans(frames: Sequence[int], gap: int = 2) -> list[tuple[int, int]]:
    """Runs of neighbouring frames, both ends included; a hole of up to `gap` does not break one."""
    runs: list[list[int]] = []
    for index in frames:
        if runs and index - runs[-1][1] <= gap:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return [(a, b) for a, b in runs]


def timeline(session: Session) -> str:
    """HTML: a row per object with its area (curve), confidence (band) and doubtful frames; a click jumps
    there.
    """
    clip = session.clip
    if clip is None or not session.records:
        return NO_TIMELINE
    rows = "".join(_row(session, subject) for subject in session.subjects)
    return (
        f'<div class="stm-timeline" data-start="{clip.start}" data-stop="{clip.stop}">{rows}'
        '<p class="stm-faint">Curve: area. Band below: confidence, pale where low. Click anywhere to go '
        "there; "
        "dotted lines are frames you marked.</p></div>"
    )


def _row(session: Session, subject) -> str:
    clip, records = session.clip, session.records
    x = _scale(clip.start, max(clip.stop - 1, clip.start + 1), 0, 1000)
    indices = sorted(records)
    areas = [records[i].areas.get(subject.id, 0) for i in indices]
    y = _scale(0, max(max(areas), 1), 38, 3)
    curve = _path([(i, a) for i, a in zip(indices, areas, strict=True)], x, y)
    fill = f'<path d="{curve}V38H{x(indices[0]):.1f}Z" fill="{subject.bright}" opacity=".3"/>'
    width = 1000 / max(clip.stop - clip.start - 1, 1)
    band = "".join(
        f'<rect x="{x(i) - width / 2:.1f}" y="42" width="{width + 0.4:.1f}" height="8" '
        f'fill="{subject.color}" '
        f'opacity="{_shade(records[i].confidence.get(subject.id, 1.0)):.2f}"/>'
        for i in indices
        if records[i].areas.get(subject.id)
    )
    doubtful = spans(doubts(records, subject.id))
    flags = "".join(
        f'<rect class="stm-doubt" x="{x(a) - width / 2:.1f}" y="0" width="{max(x(b) - x(a) + width, 4):.1f}" '
        f'height="52"/>'
        for a, b in doubtful
    )
    pins = "".join(f'<path class="stm-pin" d="M{x(i):.1f} 0V52"/>' for i in sorted(session.marks))
    buttons = "".join(
        f'<button type="button" data-go="{a}">{a if a == b else f"{a}–{b}"}</button>'
        for a, b in doubtful[:12]
    )
    more = f" and {len(doubtful) - 12} more" if len(doubtful) > 12 else ""
    words = f"check {buttons}{more}" if doubtful else "no doubtful frames"
    sure = [records[i].confidence.get(subject.id, 0.0) for i in indices if records[i].areas.get(subject.id)]
    mean = f"mean confidence {sum(sure) / len(sure):.0%} · " if sure else ""
    return (
        f'<div class="stm-row"><div class="stm-row-head"><i style="background:{subject.color}"></i>'
        f"<b>{escape(subject.name)}</b><span>{mean}{words}</span></div>"
        f'<svg viewBox="0 0 1000 52" preserveAspectRatio="none" role="img" '
        f'aria-label="Area and confidence of {escape(subject.name)} over the clip">{flags}{fill}'
        f'<path class="stm-area" d="{curve}" stroke="{subject.bright}"/>{band}{pins}'
        f'<path class="stm-playhead" d="M0 0V52"/></svg></div>'
    )


def _shade(confidence: float) -> float:
    return 0.12 + 0.88 * max(0.0, min(1.0, (confidence - 0.4) / 0.6))
