"""What a pointer asks for on one frame: strokes, boxes, clicks, and clicks that change their object.

A visitor's marks may be changed by two events at once.  What takes long (a picture, the network, a file) is
done first; the change itself is made alone (`Visitor.changing`), and a mask that was computed from older
marks is computed again.
"""

from typing import Any

import numpy as np

from demo.engine.device import Engine
from demo.engine.in_turn import InTurn
from demo.guard.process import Guard
from demo.limits import Limits
from demo.work import changes, strokes
from demo.work.pictures import picture
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.errors import PromptError
from stm_core.masks.mask_files import decode_mask

SAME = 0.002  # share of an object's pixels: nobody sees that fewer have changed
AGAIN = 3  # times that a click is computed again because its frame was changed meanwhile
# a click that the network answers within half a second or so on two cores never waits for a larger one
QUICK_SIDE, QUICK_CLICKS = 480, 25


class Marking:
    """Marks frames with one engine, behind one guard."""

    def __init__(self, engine: Engine, guard: Guard, limits: Limits):
        self.engine, self.guard, self.limits = engine, guard, limits
        self.quick, self.large = InTurn(), InTurn()  # one click of each kind at a time

    def stroke(self, visitor: Visitor, index: int, data: dict) -> str:
        """Paint or erase a stroke; returns a sentence if that changed nothing, else ""."""
        with visitor.at_work() as work:
            image = picture(self.guard, visitor, index)
            with visitor.changing(work):
                check_free(work)
                labels = work.to_change(index)
                painted = strokes.paint(labels, data, work.objects.selected)
                if np.array_equal(labels, painted):
                    return "This stroke changed nothing, so it is not counted as a mark."
                work.objects.colour(image, painted)
                changes.draw(work, index, painted, self.limits.max_edits)
        return ""

    def box(self, visitor: Visitor, index: int, data: dict) -> str:
        """Give the selected object the network's mask of what is in a box; returns ""."""
        with visitor.at_work() as work:
            image = picture(self.guard, visitor, index)
            number = work.objects.selected
            with self._turn(image):
                mask = self.engine.box(image, data.get("box", ()))
            if not mask.any():
                return (
                    "The network finds no object in this box; draw it closer around the object, or click it."
                )
            with visitor.changing(work):
                check_free(work)
                labels = work.to_change(index)
                labels = np.where(mask, number, np.where(labels == number, 0, labels)).astype(np.uint8)
                work.objects.colour(image, labels)
                changes.draw(work, index, labels, self.limits.max_edits)
        return ""

    def move(self, visitor: Visitor, index: int, data: dict, size: int) -> str:
        """Give a click to the selected object; returns ""."""
        place = whole(data.get("dot"), "dot")
        with visitor.at_work() as work:
            image = picture(self.guard, visitor, index)
            for _ in range(AGAIN):
                with visitor.changing(work):
                    check_free(work)
                    before, marks = work.seen(index), changes.plan_move(work, index, place)
                labels = self.ask(image, marks.clicks, marks.base, size)
                with visitor.changing(work):
                    check_free(work)
                    if work.seen(index) == before:
                        work.objects.colour(image, labels)
                        changes.put(work, index, marks, labels)
                        return ""
        raise PromptError("this frame was changed while the mask was computed; move the click once more")

    def click(self, visitor: Visitor, index: int, data: dict, size: int) -> str:
        """Add a click and compute the mask; returns a sentence if that changed nothing, else ""."""
        x, y = real(data.get("x"), "x"), real(data.get("y"), "y")
        label, most = int(bool(data.get("label", 1))), self.limits.max_edits
        with visitor.at_work() as work:
            selected = work.objects.selected
            image = picture(self.guard, visitor, index)
            for _ in range(AGAIN):
                with visitor.changing(work):
                    check_free(work)
                    before = work.seen(index)
                    marks = changes.plan_click(work, index, x, y, label, selected, most)
                labels = self.ask(image, marks.clicks, marks.base, size)
                with visitor.changing(work):
                    check_free(work)
                    if work.seen(index) == before:
                        if told := _nothing_new(work, index, labels, (int(x), int(y), label, selected)):
                            return told
                        work.objects.colour(image, labels)
                        changes.put(work, index, marks, labels)
                        return ""
        raise PromptError("this frame was changed while the mask was computed; click once more")

    def ask(self, image: np.ndarray, clicks: tuple, base: bytes | None, size: int | None) -> np.ndarray:
        """Labels uint8 (H, W) of a frame, from clicks that refine `base` (PNG bytes, or None)."""
        with self._turn(image, size, len(clicks)):
            return self.engine.click(image, clicks, None if base is None else decode_mask(base), size)

    def _turn(self, image: np.ndarray, size: int | None = None, clicks: int = 0) -> InTurn:
        """What a request waits for: those before it that take as long."""
        quick = min(size or 10**6, *image.shape[:2]) <= QUICK_SIDE and clicks <= QUICK_CLICKS
        return self.quick if quick else self.large


def check_free(work: Work) -> Work:
    """The work, if it may be marked now; else PromptError.

    To be asked again once a mask is computed, because a run may have begun.
    """
    if work.running:
        raise PromptError("tracking is running; press Stop first (all masks so far are kept)")
    if work.unread:
        raise PromptError(
            "the saved session of this clip is still being opened; wait a moment, or reload the page"
        )
    return work


def _nothing_new(work: Work, index: int, labels: np.ndarray, click: tuple[int, int, int, int]) -> str:
    """The sentence for a click that gave the same mask as before; "" when it changed something."""
    x, y, label, number = click
    before, new = work.labels(index), labels == number
    old = np.zeros_like(new) if before is None else before == number
    if old[y, x] != new[y, x] or (old != new).sum() > SAME * max(old.sum(), new.sum()):
        return ""
    name = work.objects[number].name
    if label and not new[y, x]:
        return f"The network finds nothing of “{name}” there: click its middle, or paint it with the brush."
    state = "is already part of" if label else "is not part of"
    return f"This click changed nothing, so it is not counted: that place {state} “{name}”."


def whole(value: Any, name: str) -> int:
    """A whole number that the browser sent; PromptError if it is none.  name: of the value, for the error."""
    return int(real(value, name))


def real(value: Any, name: str) -> float:
    """A number that the browser sent; PromptError if it is none.  name: of the value, for the error."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise PromptError(f"{name} is {str(value)[:20]!r}, expected a number; reload the page") from error
    if not abs(found) < 1e7:
        raise PromptError(f"{name} is {found:g}, which is no place in a clip; reload the page")
    return found
