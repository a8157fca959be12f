"""What else a click may mean: up to three masks in the stage's hint, when the network is unsure.

They are computed after the click's own mask is shown, so no click waits for them.
"""

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from demo.draw import html
from demo.engine.device import Engine
from demo.engine.in_turn import InTurn
from demo.engine.marking import check_free
from demo.guard.process import Guard
from demo.limits import Limits
from demo.work import changes
from demo.work.offered import Choices, open_click
from demo.work.pictures import picture
from demo.work.shown import offered
from demo.work.visitor import Visitor
from stm_core.errors import PromptError
from stm_core.masks.overlay import overlay
from stm_core.masks.palette import on_screen

HIGH, QUALITY = 128, 80  # height of a small picture in pixels, twice that on the page; quality of its JPEG
AROUND = 0.12  # share of the largest mask's longer side that is shown around it
RATIO = 4 / 3  # least width of a small picture over its height: it stands in one line with the hint


class Choosing:
    """Offers the masks that a first click may mean, and takes one of them."""

    def __init__(self, engine: Engine, guard: Guard, limits: Limits):
        self.engine, self.guard, self.limits = engine, guard, limits
        self.turn = InTurn()  # one at a time; the clicks themselves do not wait for it

    def offer(self, visitor: Visitor, size: int) -> bool:
        """Find the masks that the last click may mean.

        Returns False when there is only one, or the click is not the first of its object.
        """
        work = visitor.work
        if work is None or work.running or offered(work):
            return False
        index, number = work.frame, work.objects.selected
        marks = work.marks.get(index)
        click = open_click(marks, number)
        if marks is None or click is None:
            return False
        with visitor.at_work():
            image = picture(self.guard, visitor, index)
            with self.turn:
                masks = self.engine.choices(image, click, size)
        found = Choices.of(index, number, marks, masks)
        pictures = _pictures(image, found, work.objects.colours)
        with visitor.changing(work):
            if len(masks) < 2 or work.marks.get(index) is not marks:
                return False
            work.choices = replace(found, pictures=pictures)
        return True

    def choose(self, visitor: Visitor, frame: int, n: object) -> None:
        """Take the n-th mask instead of the one of the click on a frame.

        Raises PromptError if it is no longer offered.
        """
        with visitor.at_work() as work:
            image = picture(self.guard, visitor, frame)
            with visitor.changing(work):
                choices = offered(work, frame)
                if choices is None or not isinstance(n, int) or not 0 <= n < len(choices.masks):
                    raise PromptError("these masks are of an earlier click; click the object again")
                check_free(work)
                labels = choices.labels(n, work.to_change(choices.frame))
                changes.draw(work, choices.frame, labels, self.limits.max_edits)
                work.objects.colour(image, labels)
                work.choices = replace(choices, marks=work.marks[choices.frame])


def _pictures(image: np.ndarray, choices: Choices, colours: dict) -> tuple[str, ...]:
    """The masks as addresses for the browser, each over the same part of the frame."""
    nothing = np.zeros(image.shape[:2], np.uint8)
    alone = [choices.labels(n, nothing) for n in range(len(choices.masks))]
    if not alone:
        return ()
    rows, columns = around(np.logical_or.reduce([labels > 0 for labels in alone]))
    return tuple(small(overlay(image, one, colours=on_screen(colours))[rows, columns]) for one in alone)


def around(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a part that shows a mask bool (H, W) and something around it, RATIO wide where the
    frame allows.
    """
    ys, xs = np.nonzero(mask)
    if not len(ys):
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    high, wide = int(np.ptp(ys)) + 1, int(np.ptp(xs)) + 1
    more = 2 * AROUND * max(high, wide)
    length = max(high + more, (wide + more) / RATIO)
    return _span(ys, length, mask.shape[0]), _span(xs, length * RATIO, mask.shape[1])


def _span(places: np.ndarray, length: float, most: int) -> slice:
    """A stretch of that length around the middle of these places, inside 0 to most."""
    length = min(round(length), most)
    first = min(max((int(places.min()) + int(places.max()) + 1 - length) // 2, 0), most - length)
    return slice(first, first + length)


def small(pixels: np.ndarray) -> str:
    """A picture uint8 (H, W, 3) as an address for the browser, HIGH pixels high."""
    image = Image.fromarray(pixels)
    image = image.resize((max(1, round(HIGH * image.width / image.height)), HIGH), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return html.data_url(buffer.getvalue(), "jpeg")
