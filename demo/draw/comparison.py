"""A comparison of runs as a chart and a table: plain values in, SVG and HTML out."""

from collections.abc import Callable, Sequence
from html import escape

from demo.draw.html import faint, number, size

WORDS = (
    "Bank: the most memory that the kept frames took. Lookup: the most that one search of them took. "
    "Agreement: how much the masks overlap with those of the other run, in %. "
)
SCORES = "J: overlap with the true masks, F: the same for their outlines; 100 is perfect. "
WIDTH, HIGH, LEFT, GAP = 440, 100, 58, 30  # drawing units; of one of the two plots


def chart(table: dict, colors: Sequence[str]) -> str:
    """SVG of the runs of `compare.json` over the frames: bytes stored above, J or the agreement below."""
    rows = table["runs"]
    frames = sorted({t for row in rows for t in row["over_time"]["t"]}) or [0]
    scored = any(row["J"] is not None for row in rows)
    below, words = (
        ("J", "J: overlap with the true masks")
        if scored
        else ("agreement", f"agreement with {table['reference']}")
    )
    top = max([1, *(row["bank_bytes"] for row in rows)])
    x = _scale(frames[0], max(frames[-1], frames[0] + 1), LEFT, WIDTH - 8)
    floor = 2 * HIGH + GAP
    above, under = _scale(0, top * 1.08, HIGH, 14), _scale(0, 1, floor, HIGH + GAP)
    parts = [
        _grid(above, [(0, "0"), (top, size(top))]),
        _grid(under, [(0, "0"), (0.5, "50 %"), (1, "100 %")]),
        f'<text class="stm-panel" x="{LEFT}" y="10">bytes stored</text>',
        f'<text class="stm-panel" x="{LEFT}" y="{HIGH + GAP - 6}">{escape(words)}</text>',
        f'<text x="{LEFT}" y="{floor + 14}">frame {number(frames[0])}</text>',
        f'<text x="{WIDTH - 8}" y="{floor + 14}" text-anchor="end">{number(frames[-1])}</text>',
    ]
    for n, (row, color) in enumerate(zip(rows, colors, strict=False)):
        over, dash = row["over_time"], f"{9 - n} {2 * n}" if n else "none"  # told apart without colours too
        for values, y in ((over["bank_bytes"], above), (over[below], under)):
            parts.append(
                _line(over["t"], values or [], x, y, f'style="--line:{color}" stroke-dasharray="{dash}"')
            )
    said = "; ".join(f"{row['name']}: {size(row['bank_bytes'])}" for row in rows)
    return (
        f'<svg class="stm-chart stm-compare-chart" viewBox="0 0 {WIDTH} {floor + 18}" role="img" '
        f'aria-label="Most bytes stored: {escape(said)}. The table says the same in numbers.">'
        f"{''.join(parts)}</svg>"
    )


def table(found: dict, colors: Sequence[str], paper: bool) -> str:
    """HTML of `compare.json`.  paper: with a column of what the paper's network reached."""
    scored = any(row["J"] is not None for row in found["runs"])
    head = ["run", "bank", "lookup", "a frame", *(["J", "F"] if scored else [])]
    head += [f"agreement with {found['reference']}", "differ in frames"]
    head += ["paper: J, DAVIS-17"] if paper else []
    body = []
    for row, color in zip(found["runs"], colors, strict=False):
        swatch = f'<i class="stm-swatch" style="background:{color}"></i>'
        cells = [size(row["bank_bytes"]), size(row["read_peak_bytes"]), f"{row['seconds_per_frame']:.2f} s"]
        cells += [_share(row["J"]), _share(row["F"])] if scored else []
        parts = "".join(_go(a, b) for a, b in row["parts"][:6])
        cells += [_share(row["agreement"]), parts + (" …" if len(row["parts"]) > 6 else "") or "nowhere"]
        if paper:
            cells.append("–" if row["paper_J"] is None else str(row["paper_J"]))
        cells = "".join(f"<td>{cell}</td>" for cell in cells)
        body.append(f'<tr><th scope="row">{swatch}{escape(row["name"])}</th>{cells}</tr>')
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    note = faint(WORDS + (SCORES if scored else ""))
    if paper:
        note += faint(
            "The last column is the paper’s Table 5: its own network and weights on DAVIS-2017, so compare "
            "the order and the gaps, not the numbers."
        )
    return (
        f'<div class="stm-compare-scroll" tabindex="0" role="region" aria-label="The table">'
        f'<table class="stm-compare-table"><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{note}"
    )


def _go(first: int, last: int) -> str:
    words = str(number(first)) if first == last else f"{number(first)}–{number(last)}"
    return f'<button type="button" data-go="{first}">{words}</button>'


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _grid(y: Callable[[float], float], marks: Sequence[tuple[float, str]]) -> str:
    return "".join(
        f'<path class="stm-grid" d="M{LEFT} {y(value):.1f}H{WIDTH - 8}"/>'
        f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{text}</text>'
        for value, text in marks
    )


def _line(frames: Sequence[int], values: Sequence, x: Callable, y: Callable, how: str) -> str:
    points = [f"{x(t):.1f} {y(v):.1f}" for t, v in zip(frames, values, strict=False) if v is not None]
    return f'<path class="stm-compare-line" {how} d="M{"L".join(points)}"/>' if len(points) > 1 else ""
