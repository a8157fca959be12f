"""The memory in words and numbers: what a run will cost, and what the bank holds while it goes.

Plain values in, HTML out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from demo.draw.charts import Point, bank_chart, running_chart
from demo.draw.html import clock, faint, numbers, sizes, table
from stm_core.memory.policy import PRESETS, UNLIMITED, MemoryConfig

NO_PREDICTION = faint("Pick a clip to see the time and memory a run needs.")
UNUSABLE = '<p class="stm-warn">These settings cannot be used; the message above says why.</p>'
NO_READOUT = faint("During a run, a chart here shows how much memory the network uses.")
SIZES = {"240 px: fastest": 240, "360 px": 360, "480 px: finest": 480, "as the clip": 0}
FORMULA = (
    "A kept frame takes at most: positions × (key numbers + objects × value numbers) × bytes per number. "
    "Positions are the cells of a grid, each of 16 × 16 pixels."
)
LOOKUP = "temporary memory while it searches the kept frames for one new frame"
# keeps what is unfolded unfolded when the numbers change
SCRIPT = """let open = false;
element.addEventListener("toggle", (event) => { open = event.target.open; }, true);
watch("value", () => { const more = element.querySelector("details"); if (more) more.open = open; });"""


@dataclass(frozen=True)
class Held:
    """What the memory holds now, and the most that it will hold.

    frames, pinned: indices of the frames held, and of those that are never dropped.
    frame_bytes: bytes of one stored frame.
    most: the most frames that it will hold; 0 before anything is known.
    unbounded: bytes that an unbounded STM would hold at the end of the clip.
    memory: the settings.
    machine: what computes, in words.
    """

    frames: Sequence[int] = ()
    pinned: Sequence[int] = ()
    frame_bytes: int = 0
    most: int = 0
    unbounded: int = 0
    memory: MemoryConfig = MemoryConfig()


def acting(most: int, frame_bytes: int, unbounded: int, memory: MemoryConfig) -> str:
    """Which of the two limits a run that holds up to `most` frames reaches; "" without limits."""
    if memory.bound_bytes is None:
        return ""
    if most * frame_bytes >= unbounded:
        return "neither limit is reached"
    if most >= memory.capacity:
        first = f"the limit of {memory.capacity} frames is reached first, not that of {_megabytes(memory)}"
        return f"{first}; fewer frames are faster"
    return f"the limit of {_megabytes(memory)} is reached first, not that of {memory.capacity} frames"


def prediction(
    found,
    rate: float,
    frames: int,
    memory: MemoryConfig,
    machine: str,
    seen: tuple,
    most_seconds: float,
    marked: int = 0,
) -> str:
    """What a run will cost, before it runs.

    found: Prediction of stm_core.
    rate: seconds a frame.
    memory: the settings.
    seen: (height, width) that the network sees.
    most_seconds: the longest that a run may take here.
    marked: frames that the visitor marked.
    """
    total = rate * frames
    over = f"; a run may take {clock(most_seconds)} here" if total > most_seconds else ""
    pace = f"{1 / rate:.0f} a second" if rate <= 0.5 else f"{rate:.1f} s each"
    bank, read, one, unbounded = sizes(
        (found.bank_bytes, found.read_peak_bytes, found.frame_bytes, found.unbounded_bytes)
    )
    limit = acting(found.frames_held, found.frame_bytes, found.unbounded_bytes, memory)
    held = f"at most {_frames(found.frames_held)} of {one} each{f'; {limit}' if limit else ''}"
    if marked > 1 and memory.strategy.pins:
        held += f"; your {marked} marked frames are among them"
    rows = [
        ("Time", f"about {clock(total)}{over}", f"{frames} frames, {pace}, on {machine}"),
        ("Memory bank", bank, held),
        ("Lookup", read, LOOKUP),
        ("Without a limit", unbounded, "as in the STM paper: every n-th frame of the clip is kept"),
    ]
    advice = f"{PRESETS[memory.preset].advice} The network sees {seen[1]}×{seen[0]} pixels."
    return faint(advice) + table(rows)


def memory(points: Sequence[Point], total: int, held: Held, device: str) -> str:
    """The live memory readout: the main point in a line, the chart, and the same in numbers.

    points: empty before a run of `total` frames.
    """
    if not points and not held.most:
        return NO_READOUT
    lead = _lead_now(points[-1], held) if points else _lead_before(held)
    chart = bank_chart(points, total, held.unbounded, held.memory.bound_bytes)
    rows = _rows(points[-1] if points else None, held)
    return f'<figure class="stm-readout">{lead}{chart}{rows}{_more(points, total, device)}</figure>'


def _lead_before(held: Held) -> str:
    bank, unbounded = sizes((held.most * held.frame_bytes, held.unbounded))
    return _lead(_frames(held.most), bank, unbounded, "what a run over this clip will keep", held)


def _lead_now(last: Point, held: Held) -> str:
    bank, unbounded = sizes((last.bank, last.unbounded))
    return _lead(_frames(len(held.frames)), bank, unbounded, f"in memory after {_frames(last.frames)}", held)


def _lead(frames: str, bank: str, unbounded: str, told: str, held: Held) -> str:
    saved = f" instead of <b>{unbounded}</b>"
    if held.memory.preset == UNLIMITED:
        saved, told = "", f"{told}: this strategy has no limit"
    elif unbounded == bank:
        saved = ", as much as a memory without a limit"
    else:
        told = f"{told}, against a memory without a limit"
    return f'<p class="stm-lead"><b>{frames}, {bank}</b>{saved}</p>{faint(told)}'


def _rows(last: Point | None, held: Held) -> str:
    config, count = held.memory, len(held.frames)
    bank, one, unbounded = sizes(
        (
            last.bank if last else held.most * held.frame_bytes,
            held.frame_bytes,
            last.unbounded if last else held.unbounded,
        )
    )
    kept = "what the network remembers of the frames it keeps: their keys and values"
    frames = f"kept now: {numbers(held.frames)}" if last else "each kept frame takes this much"
    pins = f"; your marks, always kept: {numbers(held.pinned)}" if held.pinned else ""
    rows = [
        ("bank", "Memory bank", bank, kept, ""),
        ("frame", "One kept frame", one, frames + pins, FORMULA),
        ("unbounded", "Without a limit", unbounded, "every n-th frame kept, as in the STM paper", ""),
    ]
    if config.bound_bytes is not None:
        now = acting(held.most, held.frame_bytes, held.unbounded, config)
        used = f"{count} of {config.capacity} frames" if last else _frames(config.capacity)
        rows.insert(1, ("none", "Limits", used, now, ""))
    return _table(rows)


def _more(points: Sequence[Point], total: int, device: str) -> str:
    """What a run takes besides the bank, folded away: it is larger, and says little about the memory."""
    if not points:
        return ""
    last, grown = points[-1], points[-1].process - points[0].process
    peak, process = sizes((last.read_peak, last.process))
    sign = "+" if grown >= 0 else "−"
    name = "GPU memory" if device == "cuda" else "Whole program"
    rows = [
        ("read", "Lookup", peak, LOOKUP, ""),
        (
            "process",
            name,
            process,
            f"including the network itself; {sign}{sizes([abs(grown)])[0]} in this run",
            "",
        ),
    ]
    inside = running_chart(points, total) + _table(rows)
    return f"<details><summary>Other memory during the run</summary>{inside}</details>"


def _table(rows: Sequence[tuple]) -> str:
    body = "".join(
        f'<tr title="{hint}"><th scope="row"><i class="stm-key stm-key-{key}"></i>{name}</th>'
        f"<td>{value}</td><td>{words}</td></tr>"
        for key, name, value, words, hint in rows
    )
    return f"<table>{body}</table>"


def _frames(count: int) -> str:
    return f"{count} frame{'s' * (count != 1)}"


def _megabytes(config: MemoryConfig) -> str:
    return f"{config.budget_bytes / 2**20:g} MB"
