"""The drawings of the page, as SVG text: what the memory costs, and each object's size and confidence.

Drawn here rather than by a plotting library: a few kB a picture, sharp at every size, and in the page's
own colours (CSS variables), so that both themes work.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from demo.draw.html import faint, size, spans

WIDTH, HIGH, LOW, LEFT = 440, 142, 66, 58  # drawing units; about pixels in the desk layout
MOST_POINTS = 240
NO_TIMELINE = faint("After tracking, each object’s size and confidence appear here, frame by frame.")

Scale = Callable[[float], float]


@dataclass(frozen=True)
class Point:
    """Memory after `frames` frames of a run, all in bytes."""

    frames: int
    bank: int
    read_peak: int
    unbounded: int
    process: int


@dataclass(frozen=True)
class Row:
    """One object over the clip.

    color: of its mask, CSS.
    areas: pixels by frame, of the frames in which it was looked for.
    confidence: 0 to 1 by frame.
    doubts: frames that deserve a look.
    """

    name: str
    color: str
    areas: Mapping[int, int]
    confidence: Mapping[int, float]
    doubts: Sequence[int]


def thin(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS of them, first and last included."""
    if len(points) <= MOST_POINTS:
        return list(points)
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(i * step)] for i in range(MOST_POINTS)]


def bank_chart(points: Sequence[Point], total: int, unbounded_end: int, budget: int | None) -> str:
    """SVG of what is stored: the bank against an unbounded STM (dashed), and the memory limit if it is near.

    unbounded_end: bytes of the unbounded STM after all `total` frames.
    """
    points = thin(points)
    top = max([unbounded_end, 2**20, *(max(p.bank, p.unbounded) for p in points)]) * 1.08
    x, y = _scale(0, max(total, 1), LEFT, WIDTH - 8), _scale(0, top, HIGH, 16)
    near = budget if budget and budget < top else None
    words = "no run yet"
    if points:
        words = f"bank {size(points[-1].bank)}, without a limit {size(points[-1].unbounded)}"
    drawn = [
        _axis(top, y, 3),
        _caption("Memory bank", 10),
        *_stored(points, (total, unbounded_end), x, y, near),
        *_feet(total, HIGH),
    ]
    return _svg("Memory bank over the frames of the clip", words, HIGH, drawn)


def running_chart(points: Sequence[Point], total: int) -> str:
    """SVG of what else a run takes: the peak of the lookups, and how the process has grown."""
    points = thin(points)
    grown = [max(p.process - points[0].process, 0) for p in points]
    top = max([16 * 2**20, *grown, *(p.read_peak for p in points)]) * 1.08
    x, y = _scale(0, max(total, 1), LEFT, WIDTH - 8), _scale(0, top, LOW, 8)
    drawn = [
        _axis(top, y, 2),
        _line("stm-process", [(p.frames, g) for p, g in zip(points, grown, strict=True)], x, y),
        _line("stm-read", [(p.frames, p.read_peak) for p in points], x, y),
        *_feet(total, LOW),
    ]
    return _svg("Other memory over the frames of the clip", f"{len(points)} points", LOW, drawn)


def _svg(name: str, words: str, high: int, drawn: Sequence[str]) -> str:
    return (
        f'<svg class="stm-chart" viewBox="0 0 {WIDTH} {high + 18}" role="img" '
        f'aria-label="{name}: {escape(words)}">{"".join(drawn)}</svg>'
    )


def _feet(total: int, floor: int) -> list[str]:
    return [
        f'<text x="{LEFT}" y="{floor + 14}">0</text>',
        f'<text x="{WIDTH - 8}" y="{floor + 14}" text-anchor="end">{total} frames done</text>',
    ]


def _stored(points: Sequence[Point], end: tuple, x: Scale, y: Scale, budget: int | None) -> list[str]:
    """The curves of what is stored.  end: (frames, bytes) of an unbounded STM after the last frame."""
    bank = [(p.frames, p.bank) for p in points]
    unbounded = [(p.frames, p.unbounded) for p in points]
    now, parts = unbounded[-1] if unbounded else (0, 0), []
    if budget:
        parts.append(
            f'<path class="stm-budget" d="M{LEFT} {y(budget):.1f}H{WIDTH - 8}"/>'
            f'<text x="{WIDTH - 10}" y="{y(budget) - 4:.1f}" text-anchor="end">memory limit</text>'
        )
    if now[0] < end[0] and now[1] < end[1]:
        parts.append(_line("stm-ahead", [now, end], x, y))
    parts.append(_line("stm-unbounded", unbounded, x, y))
    if len(bank) > 1:
        parts.append(f'<path class="stm-bank-fill" d="{_path(bank, x, y)}V{HIGH}H{x(bank[0][0]):.1f}Z"/>')
    return [*parts, _line("stm-bank", bank, x, y)]


def _caption(text: str, y: float) -> str:
    return f'<text class="stm-panel" x="{LEFT}" y="{y}">{text}</text>'


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _path(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return "M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points) if points else ""


def _line(name: str, points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return f'<path class="{name}" d="{_path(points, x, y)}"/>' if len(points) > 1 else ""


def _axis(top: float, y: Scale, most: int) -> str:
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


# objects over time ------------------------------------------------------------------------------------------


def timeline(start: int, stop: int, rows: Sequence[Row], marked: Sequence[int]) -> str:
    """HTML: a row per object with its area (curve), confidence (band) and the frames to look at; a click
    jumps there.

    start, stop: the frames of the clip, `start` to `stop` - 1.
    marked: frames that the visitor marked.
    """
    drawn = "".join(_row(start, stop, row, marked) for row in rows)
    return (
        f'<div class="stm-timeline" data-start="{start}" data-stop="{stop}">{drawn}'
        + faint(
            "Curve: object size. Strip: confidence (pale = unsure). Dotted lines: frames you marked. "
            "Click anywhere to go to that frame."
        )
        + "</div>"
    )


def _row(start: int, stop: int, row: Row, marked: Sequence[int]) -> str:
    x = _scale(start, max(stop - 1, start + 1), 0, 1000)
    indices, width = sorted(row.areas), 1000 / max(stop - start - 1, 1)
    y = _scale(0, max([*row.areas.values(), 1]), 38, 3)
    curve = _path([(i, row.areas[i]) for i in indices], x, y)
    fill = f'<path class="stm-under" d="{curve}V38H{x(indices[0]):.1f}Z"/>' if indices else ""
    sure = {i: row.confidence.get(i, 1.0) for i in indices if row.areas[i]}
    band = "".join(
        f'<rect x="{x(i) - width / 2:.1f}" y="42" width="{width + 0.4:.1f}" height="8" '
        f'class="stm-sure" opacity="{_shade(value):.2f}"/>'
        for i, value in sure.items()
    )
    flags = "".join(
        f'<rect class="stm-doubt" x="{x(a) - width / 2:.1f}" y="0" '
        f'width="{max(x(b) - x(a) + width, 4):.1f}" height="52"/>'
        for a, b in spans(row.doubts)
    )
    pins = "".join(f'<path class="stm-pin" d="M{x(i):.1f} 0V52"/>' for i in sorted(marked))
    mean = f"mean confidence {sum(sure.values()) / len(sure):.0%}" if sure else ""
    without = len(indices) - len(sure)
    mean += f"{' · ' if mean else ''}not seen in {without} of {len(indices)} frames" if without else ""
    return (
        f'<div class="stm-row" style="--object:{row.color}"><div class="stm-row-head"><i></i>'
        f"<b>{escape(row.name)}</b><span>{mean}</span></div>"
        f'<svg viewBox="0 0 1000 52" preserveAspectRatio="none" role="img" '
        f'aria-label="Size and confidence of {escape(row.name)} over the clip">{flags}{fill}'
        f'<path class="stm-area" d="{curve}"/>{band}{pins}'
        f'<path class="stm-playhead" d="M0 0V52"/></svg></div>'
    )


def _shade(confidence: float) -> float:
    return 0.12 + 0.88 * max(0.0, min(1.0, (confidence - 0.4) / 0.6))
