"""The stage: look at a frame, click, paint, bring a mask, objects, undo.

A visitor's marks may be changed by two events at once.  What takes long (a picture, the network, a file) is
done first; the change itself is made alone (`Visitor.changing`), and a mask that was computed from older
marks is computed again.
"""

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from demo.draw import html
from demo.engine.in_turn import InTurn
from demo.panels.base import Change, Host, Panel, View, Wires, answers, script
from demo.work import strokes
from demo.work.absence import say_absent, take_back_absent
from demo.work.examples import about
from demo.work.marks import Marks
from demo.work.pictures import picture
from demo.work.shown import WELCOME, stage_state
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.engine.boxes import BoxPrompt
from stm_core.errors import PromptError
from stm_core.masks.mask_files import decode_mask

SAME = 0.002  # share of an object's pixels: nobody sees that fewer have changed
AGAIN = 3  # times that a click is computed while its frame is changed under it
# a click that the network answers within half a second or so on two cores never waits for a larger one
QUICK_SIDE, QUICK_CLICKS = 480, 25
STAGE = Path(__file__).with_name("stage")
# one script, in this order
SCRIPTS = ("shared.js", "pictures.js", "moving.js", "pointer.js", "zoom.js", "tools.js", "state.js")


class MarkPanel(Panel):
    """Shows frames and takes marks."""

    name, wide, live = "mark", True, ("stage", "mask_file")

    def __init__(self, host: Host):
        super().__init__(host)
        self.quick, self.large = InTurn(), InTurn()  # one click of each kind at a time

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title("Mark", "click or paint the object on any frame", number))
        stage = gr.HTML(
            {"clip": None, "welcome": WELCOME},
            html_template=(STAGE / "stage.html").read_text(),
            elem_id="stage",
            js_on_load=script(*(STAGE / name for name in SCRIPTS)),
            apply_default_css=False,
        )
        with gr.Accordion("Use a mask file instead", open=False, elem_id="own-mask"):
            mask_file = gr.File(
                label="A mask for the frame above: PNG in palette colours, or black and white",
                height=84,
                elem_id="mask",
            )
        return {"stage": stage, "mask_file": mask_file}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        stage, every = self.parts["stage"], {"lane": "own", "trigger_mode": "multiple"}  # no click is lost
        wires.on(stage.edit, self.edit, ["size"], sent=True, leads_to="marked", **every)
        wires.on(stage.order, self.order, sent=True, leads_to="marked objects", **every)
        wires.on(stage.seek, self.seek, sent="frame", lane="own", line="look", trigger_mode="always_last")
        wires.on(
            self.parts["mask_file"].upload, self.import_mask, ["mask_file"], lane="own", leads_to="marked"
        )
        wires.on("picked", self.mark_example, lane="own", leads_to="opened")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        if change == Change.STAGE:
            return {"stage": stage_state(visitor, live=True)}
        visitor.answer += 1
        emptied = {"mask_file": None} if change == Change.CLIP else {}
        return {"stage": stage_state(visitor), **emptied}

    # events -----------------------------------------------------------------------------------------------

    @answers
    def mark_example(self, visitor: Visitor) -> View:
        """The marks that an example brings, as if they had been clicked; what a visitor marked stays."""
        work = visitor.work
        if work is None or not work.clip.example or work.marks or work.running:
            return View()
        known = about(self.host.examples / f"{work.clip.example}.mp4")
        clicks = tuple((x, y, label, number) for _, x, y, label, number in known.get("clicks", ()))
        if not clicks:
            return View()
        index = work.go(known["clicks"][0][0])
        with visitor.at_work():
            image = picture(self.host.guard, visitor, index)
            labels = self._ask(image, clicks, None, None)
            with visitor.changing(work):
                _check_free(work)
                if work.marks:
                    return View()
                work.objects.restart(dict(enumerate(known["objects"], 1)))
                work.objects.colour(image, labels)
                work.intro = known["sentence"]
                work.go(index)
                work.jump += 1
                work.put(index, Marks(clicks=clicks, dots=clicks), labels)
        return self._marked(visitor)

    @answers
    def seek(self, visitor: Visitor, index: int) -> View:
        """Look at a frame: its lossless picture, its mask, its dots."""
        work = visitor.need_work()
        index = work.go(_whole(index, "frame"))
        if index not in work.sharp:
            picture(self.host.guard, visitor, index)
        return View(stage=stage_state(visitor))

    @answers
    def edit(self, visitor: Visitor, data: dict, size: int) -> View:
        """A click or a box (masks answered by the network), a brush stroke, or a click that moves to the
        selected object: on the frame that is shown.
        """
        work = _check_free(visitor.need_work())
        index = work.go(_whole(data.get("frame"), "frame"))
        kinds = {"stroke": self._stroke, "box": self._box}
        if data.get("kind") in kinds:
            told = kinds[data["kind"]](visitor, index, data)
        elif data.get("kind") == "move":
            told = self._move(visitor, index, data, size)
        else:
            told = self._click(visitor, index, data, size)
        return self._marked(visitor, html.notice(told, "info"))

    def _stroke(self, visitor: Visitor, index: int, data: dict) -> str:
        """Paint; what comes back says why nothing changed."""
        with visitor.at_work() as work:
            image = picture(self.host.guard, visitor, index)
            with visitor.changing(work):
                _check_free(work)
                labels = work.labels(index)
                labels = np.zeros(work.clip.size, np.uint8) if labels is None else labels
                painted = strokes.paint(labels, data, work.objects.selected)
                if np.array_equal(labels, painted):
                    return "This stroke changed nothing, so it is not counted as a mark."
                work.objects.colour(image, painted)
                work.draw(index, painted, self.host.limits.max_edits)
        return ""

    def _box(self, visitor: Visitor, index: int, data: dict) -> str:
        """The network's mask of what is in a box becomes the selected object's; "" comes back."""
        with visitor.at_work() as work:
            image = picture(self.host.guard, visitor, index)
            box = BoxPrompt.of(data.get("box", ()), *work.clip.size)
            number = work.objects.selected
            mask = box.pasted(self._ask(box.cut(image), tuple(box.clicks), None, None) == 1)
            if not mask.any():
                return (
                    "The network finds no object in this box; draw it closer around the object, or click it."
                )
            with visitor.changing(work):
                _check_free(work)
                labels = work.labels(index)
                labels = np.zeros(work.clip.size, np.uint8) if labels is None else labels
                labels = np.where(mask, number, np.where(labels == number, 0, labels)).astype(np.uint8)
                work.objects.colour(image, labels)
                work.draw(index, labels, self.host.limits.max_edits)
        return ""

    def _move(self, visitor: Visitor, index: int, data: dict, size: int) -> str:
        """Give a click to the selected object; "" comes back."""
        place = _whole(data.get("dot"), "dot")
        with visitor.at_work() as work:
            image = picture(self.host.guard, visitor, index)
            for _ in range(AGAIN):
                with visitor.changing(work):
                    _check_free(work)
                    before, marks = work.seen(index), work.plan_move(index, place)
                labels = self._ask(image, marks.clicks, marks.base, size or None)
                with visitor.changing(work):
                    _check_free(work)
                    if work.seen(index) == before:
                        work.objects.colour(image, labels)
                        work.put(index, marks, labels)
                        return ""
        raise PromptError("this frame was changed while the mask was computed; move the click once more")

    def _click(self, visitor: Visitor, index: int, data: dict, size: int) -> str:
        """Ask the network; what comes back says why nothing changed."""
        x, y = _number(data.get("x"), "x"), _number(data.get("y"), "y")
        label, most = int(bool(data.get("label", 1))), self.host.limits.max_edits
        with visitor.at_work() as work:
            selected = work.objects.selected
            image = picture(self.host.guard, visitor, index)
            for _ in range(AGAIN):
                with visitor.changing(work):
                    _check_free(work)
                    before = work.seen(index)
                    marks = work.plan_click(index, x, y, label, selected, most)
                labels = self._ask(image, marks.clicks, marks.base, size or None)
                with visitor.changing(work):
                    _check_free(work)
                    if work.seen(index) == before:
                        if told := _nothing_new(work, index, labels, (int(x), int(y), label, selected)):
                            return told
                        work.objects.colour(image, labels)
                        work.put(index, marks, labels)
                        return ""
        raise PromptError("this frame was changed while the mask was computed; click once more")

    def _ask(self, image: np.ndarray, clicks: tuple, base: bytes | None, size: int | None) -> np.ndarray:
        """The network's mask of a frame from clicks that refine `base`."""
        side = min(size or 10**6, *image.shape[:2])
        quick = side <= QUICK_SIDE and len(clicks) <= QUICK_CLICKS
        with self.quick if quick else self.large:
            return self.host.engine.click(image, clicks, None if base is None else decode_mask(base), size)

    @answers
    def import_mask(self, visitor: Visitor, path: str) -> View:
        """An uploaded mask becomes this frame's marks; objects that it brings are added."""
        if not path:
            return View()
        with visitor.at_work() as work:
            _check_free(work)
            index, (height, width) = work.frame, work.clip.size
            image = picture(self.host.guard, visitor, index)
            labels = self.host.guard.pixels("mask", path=path, height=height, width=width)
            with visitor.changing(work):
                _check_free(work)
                work.import_labels(index, labels, self.host.limits)
                work.objects.colour(image, labels)
        return self._marked(visitor, mask_file=None)

    @answers
    def order(self, visitor: Visitor, data: dict) -> View:
        """Objects and history: add, select, rename, delete, gone or not, undo, redo, clear."""
        work, kind, number = visitor.need_work(), data.get("kind"), data.get("object")
        notice, change = "", Change.MARKS
        with visitor.changing(work):
            _check_free(work)
            if data.get("frame") is not None:
                work.go(_whole(data["frame"], "frame"))
            if kind == "add":
                with work.one_step():
                    work.objects.add(self.host.limits.max_objects)
            elif kind == "select":
                work.objects.select(_whole(number, "object"))
            elif kind == "rename":
                with work.one_step():
                    work.objects.rename(_whole(number, "object"), str(data.get("name", "")))
                change = Change.RESULTS  # which speak of the objects
            elif kind == "delete":
                work.delete_object(_whole(number, "object"))
                change = Change.RESULTS
            elif kind == "clear":
                work.clear()
            elif kind in ("absent", "present"):
                notice, change = _absence(work, data), Change.RESULTS
            elif kind in ("undo", "redo") and (work.undo() if kind == "undo" else work.redo()):
                work.jump, change = work.jump + 1, Change.RESULTS
            elif kind in ("undo", "redo"):
                notice = html.notice(f"There is nothing to {kind}.", "info")
        return self._marked(visitor, notice, change)

    def _marked(
        self, visitor: Visitor, notice: str = "", change: Change = Change.MARKS, **parts: Any
    ) -> View:
        work = visitor.need_work()
        if work.frame not in work.sharp:
            picture(self.host.guard, visitor, work.frame)
        return View(change, notice=notice, **parts)


def _check_free(work: Work) -> Work:
    """The work, if it may be marked now.  To be asked again once a mask is computed: a run may have begun."""
    if work.running:
        raise PromptError("tracking is running; press Stop first, all masks so far are kept")
    if work.unread:
        raise PromptError(
            "the saved session of this clip is still being opened; wait a moment, or reload the page"
        )
    return work


def _absence(work: Work, data: dict) -> str:
    """Say that the selected object is gone for a while, or take it back; what to tell comes back."""
    number, frame = work.objects.selected, _whole(data.get("frame"), "frame")
    if data["kind"] == "absent":
        say_absent(work, number, _whole(data.get("first"), "frame"), frame)
        return ""
    take_back_absent(work, number, frame)
    return html.notice("Those frames have no mask of it yet: press Resume to track it there.", "info")


def _nothing_new(work: Work, index: int, labels: np.ndarray, click: tuple[int, int, int, int]) -> str:
    """What to tell when a click gave the mask that was there already; empty when it changed something."""
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


def _whole(value: Any, name: str) -> int:
    return int(_number(value, name))


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} is {str(value)[:20]!r}, expected a number; reload the page") from error
    if not abs(number) < 1e7:
        raise PromptError(f"{name} is {number:g}, which is no place in a clip; reload the page")
    return number
