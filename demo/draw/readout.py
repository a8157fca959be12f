"""The memory in words and numbers: what a run will cost, and what the bank holds while it goes.

Plain values in, HTML out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from demo.draw.charts import Point, memory_chart
from demo.draw.html import clock, faint, size, table
from stm_core.memory.policy import PRESETS

NO_PREDICTION = faint("Here stands what a run would take, before it runs.")
SIZES = {"240 – fastest": 240, "360": 360, "480 – finest": 480, "as it is": 0}


@dataclass(frozen=True)
class Held:
    """What the memory holds now, and what it may come to hold.

    frames, pinned: numbers of the frames held, and of those that never go.
    frame_bytes: of one stored frame.
    budget: bytes, None without one.
    unbounded: bytes that an unbounded STM would hold at the end of the clip.
    """

    frames: Sequence[int] = ()
    pinned: Sequence[int] = ()
    frame_bytes: int = 0
    budget: int | None = None
    unbounded: int = 0


def prediction(
    found,
    rate: float,
    frames: int,
    budget: int | None,
    preset: str,
    machine: str,
    seen: tuple,
    most_seconds: float,
) -> str:
    """What a run will cost, before it runs.

    found: Prediction of stm_core.
    rate: seconds a frame.
    machine: what computes, in words.
    seen: (height, width) that the network sees.
    most_seconds: that a run may take here.
    """
    total = rate * frames
    over = f"; a run may take {clock(most_seconds)} here" if total > most_seconds else ""
    within = f"; budget {size(budget)}" if budget else ""
    pace = f"{1 / rate:.0f} a second" if rate <= 0.5 else f"{rate:.1f} s each"
    rows = [
        (
            "Time",
            f"about {clock(total)}{over}",
            f"{frames} frames at {pace}, on {machine} at {seen[1]}×{seen[0]}",
        ),
        (
            "Bank at most",
            size(found.bank_bytes),
            f"{found.frames_held} frames × {size(found.frame_bytes)} stored{within}",
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
    return faint(PRESETS[preset].advice) + table(rows)


def memory(points: Sequence[Point], total: int, held: Held, device: str) -> str:
    """The live memory readout: the chart, and below it the same in words and numbers.  No points: before a
    run of `total` frames.
    """
    rows = _now(points, held, device) if points else _before(held, device)
    legend = "".join(
        f'<tr><th scope="row"><i class="stm-key stm-key-{key}"></i>{name}</th>'
        f"<td>{size(value) if value else '–'}</td><td>{words}</td></tr>"
        for key, name, value, words in rows
    )
    chart = memory_chart(points, total, held.unbounded, held.budget)
    return f'<figure class="stm-readout">{chart}<table>{legend}</table></figure>'


def _before(held: Held, device: str) -> list[tuple]:
    return [
        ("bank", "Bank", None, "keys and values of the frames held"),
        ("frame", "One stored frame", held.frame_bytes, "positions × (key + objects × value) × bytes"),
        ("unbounded", "Unbounded STM", held.unbounded, "keeping every n-th frame, at the end of this clip"),
        ("read", "Read peak", None, "working memory of one look into the bank"),
        ("process", _process(device), None, "drawn as growth since the start"),
    ]


def _now(points: Sequence[Point], held: Held, device: str) -> list[tuple]:
    last, count = points[-1], len(held.frames)
    used = "no budget in this preset"
    if held.budget:
        used = f"{last.bank / held.budget:.0%} of the {size(held.budget)} budget"
    bank = f"{count} frame{'s' * (count != 1)} held of {last.frames} seen; {used}"
    pins = f"; pinned: {_list(held.pinned)}" if held.pinned else ""
    grown = last.process - points[0].process
    sign = "+" if grown >= 0 else "−"
    return [
        ("bank", "Bank", last.bank, bank),
        ("frame", "One stored frame", held.frame_bytes, f"held: {_list(held.frames)}{pins}"),
        ("unbounded", "Unbounded STM", last.unbounded, "keeping every n-th frame, by now"),
        ("read", "Read peak", last.read_peak, "working memory of one look into the bank"),
        ("process", _process(device), last.process, f"{sign}{size(abs(grown))} since the start"),
    ]


def _process(device: str) -> str:
    return "GPU memory" if device == "cuda" else "This process"


def _list(frames: Sequence[int]) -> str:
    shown = [str(n) for n in frames]
    return ", ".join(shown) if len(shown) <= 9 else f"{', '.join(shown[:4])} … {', '.join(shown[-3:])}"
