"""How the cost of a frame grows: one picture for the model card.

    python assets/render_cost.py                            # measures everything anew, then draws
    python assets/render_cost.py --measure frames limits    # these charts anew, the others from cost.json
    python assets/render_cost.py --measure                  # draws only

Each case runs in a process of its own, as in `bench`. The figures are in assets/card/cost.json, the picture
is assets/card/cost.png.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parent.parent))
from assets.line_chart import INK, PAPER, Axes, Line, draw_chart, round_marks
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.bench import bench
from stm_core.runs.bench_case import AROUND, Case, expected, model_of
from stm_core.runs.machine import in_words

CARD = Path(__file__).parent / "card"
BLUE, ORANGE = (31, 119, 180), (214, 90, 20)
CHART, LETTERS = (330, 200), 15  # pixels: width and height of a chart, height of letters
LEFT, TOP, ACROSS, DOWN = 60, 80, 90, 110  # pixels: before the first chart, above it, between charts
MIB = 2**20


@dataclass(frozen=True)
class Growth:
    """One column of the picture: what grows, and the cases that show it.

    values: of what grows; logarithmic: they are shown so.
    memories: a line for each, by its name.
    case: the case of a value with a memory.
    too_long: memory and value of a case that is not measured; only the closed form of its bank is drawn.
    """

    title: str
    below: str
    values: tuple[int, ...]
    memories: Mapping[str, MemoryConfig]
    case: Callable[[int, MemoryConfig], Case]
    logarithmic: bool = False
    too_long: tuple[str, int] | None = None


def case(
    memory: MemoryConfig, size: tuple[int, int] = (480, 854), frames: int = 60, objects: int = 1
) -> Case:
    """A case whose time is that of the last frames of its clip."""
    marks = (frames - AROUND,)
    return Case("compact", size, "auto", memory, frames, objects, device="cpu", marks=marks)


def limited(mib: int, memory: MemoryConfig) -> Case:
    """A case under a memory limit."""
    memory = MemoryConfig(budget_bytes=mib * MIB, capacity=memory.capacity)
    return case(memory, size=(270, 480), frames=200)


BOUNDED = MemoryConfig()
GROWTHS = {
    "frames": Growth(
        "Longer clips (96x160)",
        "frames of the clip",
        (50, 1_000, 10_000),
        {"bounded": BOUNDED, "every-5": MemoryConfig(preset="every-5")},
        lambda frames, memory: case(memory, size=(96, 160), frames=frames),
        logarithmic=True,
        too_long=("every-5", 10_000),  # some ten minutes
    ),
    "objects": Growth(
        "More objects (480x854)",
        "objects",
        (1, 2, 4, 8),
        {"bounded": BOUNDED},
        lambda objects, memory: case(memory, objects=objects),
    ),
    "lines": Growth(
        "Larger frames (16:9)",
        "lines",
        (270, 360, 480, 720, 1080),
        {"bounded": BOUNDED},
        lambda lines, memory: case(memory, size=(lines, round(lines * 16 / 9))),
    ),
    "limits": Growth(
        "More memory (270x480, 200 frames)",
        "memory limit, MiB",
        (2, 4, 8, 16),
        {"at most 8 frames (default)": BOUNDED, "at most 64": MemoryConfig(capacity=64)},
        limited,
        logarithmic=True,
    ),
}


def measured(name: str) -> Iterator[dict]:
    """The rows of one chart: those of `bench`, with `memory`, the line, and `value`, the place on x."""
    growth = GROWTHS[name]
    places = [(memory, value) for memory in growth.memories for value in growth.values]
    cases = {place: growth.case(place[1], growth.memories[place[0]]) for place in places}
    long = cases.pop(growth.too_long) if growth.too_long else None
    for (memory, value), row in zip(cases, bench(list(cases.values())), strict=True):
        yield {**row, "memory": memory, "value": value}
        print(name, memory, value, row.get("error", "done"), flush=True)
    if long:
        memory, value = growth.too_long
        needed = expected(model_of(long), long)
        yield {"memory": memory, "value": value, "predicted_bank_bytes": needed.bank_bytes}


def lines_of(rows: list[dict], figure: Callable[[dict], float]) -> list[Line]:
    """A line for each memory in the rows, with what `figure` says of each row."""
    names = list(dict.fromkeys(row["memory"] for row in rows))
    return [
        Line(name, colour, [(row["value"], figure(row)) for row in rows if row["memory"] == name], dots=True)
        for name, colour in zip(names, (BLUE, ORANGE), strict=False)
    ]


def milliseconds(row: dict) -> float:
    """Median of the last frames of the clip."""
    (found,) = row["at"].values()
    return 1000 * found["median"]


def draw_column(draw: ImageDraw.ImageDraw, number: int, growth: Growth, rows: list[dict]) -> None:
    """The time of a frame above, the bank below it."""
    rows = [row for row in rows if "error" not in row]
    done = [row for row in rows if "bank_bytes" in row]
    bank = lines_of(done, lambda row: row["bank_bytes"] / MIB)
    formula = lines_of(rows, lambda row: row["predicted_bank_bytes"] / MIB)
    dashed = [Line("", line.colour, line.points, dashed=True) for line in formula]
    left = LEFT + number * (CHART[0] + ACROSS)
    draw.text((left, TOP - 2.6 * LETTERS), growth.title, INK, anchor="ls", font_size=1.2 * LETTERS)
    for down, above, lines in (
        (0, "ms a frame", lines_of(done, milliseconds)),
        (1, "bank, MiB", [*bank, *dashed]),
    ):
        top = TOP + down * (CHART[1] + DOWN)
        axes = Axes(
            box=(left, top, left + CHART[0], top + CHART[1]),
            x={value: f"{value:,}" for value in sorted({row["value"] for row in rows})},
            y=round_marks(max(y for line in lines for _, y in line.points)),
            below=growth.below,
            above=above,
            font=LETTERS,
            logarithmic=growth.logarithmic,
        )
        draw_chart(draw, axes, lines, legend=(left + 8, top + 4))


def draw_cost(rows: dict[str, list[dict]], out: Path) -> None:
    """The picture of the rows of each chart."""
    width = LEFT + len(rows) * (CHART[0] + ACROSS)
    picture = Image.new("RGB", (width, TOP + 2 * (CHART[1] + DOWN)), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, (name, found) in enumerate(rows.items()):
        draw_column(draw, number, GROWTHS[name], found)
    words = "Dots and solid lines: measured; dashed: the closed form, before the run."
    first = next(row for found in rows.values() for row in found if "cpu" in row)
    draw.text((LEFT, picture.height - 2 * LETTERS), f"{words} {in_words(first)}", INK, font_size=LETTERS)
    picture.quantize(32).save(out, optimize=True)


def main() -> None:
    """Measure, keep the figures, draw."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--measure", nargs="*", choices=GROWTHS, default=list(GROWTHS), metavar="CHART")
    args = parser.parse_args()
    figures = CARD / "cost.json"
    rows = json.loads(figures.read_text()) if figures.exists() else {}
    for name in args.measure:
        rows[name] = list(measured(name))
        rows = {one: rows[one] for one in GROWTHS if one in rows}
        figures.write_text(json.dumps(rows, indent=1) + "\n")
    draw_cost(rows, CARD / "cost.png")


if __name__ == "__main__":
    main()
