"""The memory in words and numbers: what a run will cost, how far it is, what the bank holds.

Plain values in, HTML out.
"""

import time
from collections.abc import Sequence
from html import escape

from demo.draw import charts
from demo.draw.charts import Point, size
from stm_core.memory.policy import PRESETS

NO_PREDICTION = '<p class="stm-faint">Here stands what a run would take, before it runs.</p>'
SIZES = {"240 – fastest": 240, "360": 360, "480 – finest": 480, "as it is": 0}


def prediction(
    found,
    rate: float,
    frames: int,
    budget: int | None,
    preset: str,
    device: str,
    seen: tuple[int, int],
    most_seconds: float,
) -> str:
    """What a run will cost, before it runs.

    found: stm_core Prediction; rate: seconds a frame; seen: (H, W); most_seconds: that a run may take here.
    """
    total = rate * frames
    rows = [
        (
            "Time",
            f"about {clock(total)}"
            + (f"; a run may take {clock(most_seconds)} here" if total > most_seconds else ""),
            f"{frames} frames at {_pace(rate)}, on this {device.upper()} at {seen[1]}×{seen[0]}",
        ),
        (
            "Bank at most",
            size(found.bank_bytes),
            f"{found.frames_held} frames × {size(found.frame_bytes)} stored"
            + (f"; budget {size(budget)}" if budget else ""),
        ),
        (
            "Read at most",
            size(found.read_peak_bytes),
            "working memory of one look into the bank, freed at once",
        ),
        (
            "Unbounded STM",
            size(found.unbounded_bytes),
            "the same network keeping every n-th frame of this clip",
        ),
    ]
    return f'<p class="stm-faint">{PRESETS[preset].advice}</p>{_table(rows)}'


def progress(done: int, total: int, began: float, queue: str = "", finished: str = "") -> str:
    """A bar, frames a second, and the time left.  began: time.perf_counter() of the start."""
    spent = max(time.perf_counter() - began, 1e-6)
    speed = done / spent
    left = (total - done) / speed if done else 0.0
    words = (
        finished
        or queue
        or (f"frame {done} of {total} · {speed:.1f} frames/s · {clock(left)} left" if done else "starting…")
    )
    share = 100 * done / max(total, 1)
    return (
        f'<div class="stm-progress" role="progressbar" aria-valuemin="0" aria-valuemax="{total}" '
        f'aria-valuenow="{done}" '
        f'aria-label="Tracking"><i style="width:{share:.1f}%"></i></div><p '
        f'class="stm-count">{escape(words)}</p>'
    )


def memory(
    points: Sequence[Point],
    total: int,
    held: Sequence[int],
    pinned: Sequence[int],
    frame_bytes: int,
    budget: int | None,
    unbounded_end: int,
    device: str,
) -> str:
    """The live memory readout: the chart, and below it the same in words and numbers.

    No points: before a run.
    """
    chart = charts.memory_chart(points, total, unbounded_end, budget)
    last = points[-1] if points else None
    used = (
        f"{last.bank / budget:.0%} of the {size(budget)} budget"
        if last and budget
        else "no budget in this preset"
    )
    pins = f"; pinned: {_list(pinned)}" if pinned else ""
    grown = last.process - points[0].process if last else 0
    rows = [
        (
            "bank",
            "Bank",
            last and last.bank,
            f"{len(held)} frame{'s' * (len(held) != 1)} held of {last.frames} seen; {used}"
            if last
            else "keys and values of the frames held",
        ),
        (
            "frame",
            "One stored frame",
            frame_bytes,
            f"held: {_list(held)}{pins}" if last else "positions × (key + objects × value) × bytes",
        ),
        (
            "unbounded",
            "Unbounded STM",
            last.unbounded if last else unbounded_end,
            "keeping every n-th frame, " + ("by now" if last else "at the end of this clip"),
        ),
        ("read", "Read peak", last and last.read_peak, "working memory of one look into the bank"),
        (
            "process",
            "GPU memory" if device == "cuda" else "This process",
            last and last.process,
            f"{'+' if grown >= 0 else '−'}{size(abs(grown))} since the start"
            if last
            else "drawn as growth since the start",
        ),
    ]
    legend = "".join(
        f'<tr><th scope="row"><i class="stm-key '
        f'stm-key-{key}"></i>{name}</th><td>{size(value) if value else "–"}</td>'
        f"<td>{words}</td></tr>"
        for key, name, value, words in rows
    )
    return f'<figure class="stm-readout">{chart}<table>{legend}</table></figure>'


def _list(frames: Sequence[int]) -> str:
    shown = [str(n) for n in frames]
    return ", ".join(shown) if len(shown) <= 9 else f"{', '.join(shown[:4])} … {', '.join(shown[-3:])}"


def _table(rows) -> str:
    body = "".join(f'<tr><th scope="row">{a}</th><td>{b}</td><td>{c}</td></tr>' for a, b, c in rows)
    return f'<table class="stm-table">{body}</table>'


def _pace(rate: float) -> str:
    return f"{1 / rate:.0f} a second" if rate <= 0.5 else f"{rate:.1f} s each"


def clock(seconds: float) -> str:
    """Seconds in words: 4 s, 1 min 20 s."""
    seconds = max(round(seconds), 1)
    return f"{seconds} s" if seconds < 90 else f"{seconds // 60} min {seconds % 60} s"
