"""Line charts for the pictures of the model card, drawn with Pillow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import ImageDraw

INK, PAPER, GRID = (40, 40, 40), (255, 255, 255), (220, 220, 220)
DASH = 7  # pixels of a dash, and of the gap after it
DOT = 4  # pixels, its radius

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One curve.

    points: (x, y), sorted by x.
    dashed: worked out, not measured.
    dots: on the points.
    """

    name: str
    colour: Colour
    points: Sequence[Point]
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Axes:
    """Where a chart lies in its picture, and what its axes show.

    box: left, top, right, bottom in pixels.
    x, y: the marks, as label by value; each axis goes from its least mark to its greatest.
    below: what x is.
    above: what y is.
    font: height of the letters, in pixels.
    logarithmic: the x axis.
    """

    box: tuple[int, int, int, int]
    x: Mapping[float, str]
    y: Mapping[float, str]
    below: str
    above: str = ""
    font: float = 10
    logarithmic: bool = False

    def place(self, x: float, y: float) -> Point:
        """The pixel of a value."""
        left, top, right, bottom = self.box
        first, last, value = min(self.x), max(self.x), x
        if self.logarithmic:
            first, last, value = math.log(first), math.log(last), math.log(x)
        low, high = min(self.y), max(self.y)
        across, up = (value - first) / (last - first), (y - low) / (high - low)
        return left + (right - left) * across, bottom - (bottom - top) * up


def round_marks(top: float, most: int = 4) -> dict[float, str]:
    """Marks from 0 to a round number that is at least `top`, `most` steps or fewer between them."""
    unit = 10 ** math.floor(math.log10(top / most))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n * most >= top)
    return {step * n: f"{step * n:,.10g}" for n in range(math.ceil(top / step) + 1)}


def draw_chart(draw: ImageDraw.ImageDraw, axes: Axes, lines: Sequence[Line], legend: Point) -> None:
    """Draw the axes, the lines, and their names in their colours from `legend` (x, y) downwards."""
    left, top, right, bottom = axes.box
    for value, label in axes.y.items():
        _, y = axes.place(max(axes.x), value)
        draw.line([(left, y), (right, y)], GRID)
        draw.text((left - 6, y), label, INK, anchor="rm", font_size=axes.font)
    for value, label in axes.x.items():
        x, _ = axes.place(value, max(axes.y))
        draw.text((x, bottom + 6), label, INK, anchor="ma", font_size=axes.font)
    middle = (left + right) / 2
    draw.text((middle, bottom + 2 * axes.font), axes.below, INK, anchor="ma", font_size=axes.font)
    draw.text((left, top - axes.font), axes.above, INK, anchor="ls", font_size=axes.font)
    for number, line in enumerate(lines):
        _draw_line(draw, [axes.place(*point) for point in line.points], line)
        place = legend[0], legend[1] + 1.4 * axes.font * number
        draw.text(place, line.name, line.colour, font_size=axes.font)


def _draw_line(draw: ImageDraw.ImageDraw, places: Sequence[Point], line: Line) -> None:
    if line.dots:
        for place in places:
            draw.circle(place, DOT, line.colour)
    if not line.dashed:
        draw.line(places, line.colour, 2)
        return
    for (x, y), (to_x, to_y) in pairwise(places):
        length = math.hypot(to_x - x, to_y - y)
        for start in range(0, int(length), 2 * DASH):
            ends = [part / length for part in (start, min(start + DASH, length))]
            draw.line([(x + (to_x - x) * part, y + (to_y - y) * part) for part in ends], line.colour, 2)
