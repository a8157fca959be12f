"""The stage: look at a frame, click, paint, bring a mask, objects, undo."""

from pathlib import Path
from typing import Any

import gradio as gr

from demo.draw import html
from demo.engine.choosing import Choosing
from demo.engine.marking import Marking, check_free, whole
from demo.panels.base import Change, Host, Panel, View, Wires, answers, script
from demo.work import changes
from demo.work.absence import say_absent, take_back_absent
from demo.work.examples import about
from demo.work.marks import Marks
from demo.work.pictures import picture
from demo.work.shown import WELCOME, called, stage_state
from demo.work.visitor import Overtaken, Visitor
from demo.work.work import Work

STAGE = Path(__file__).with_name("stage")
FRAME = "(key, file) => [key, file, Number(document.body.dataset.maskFrame)]"  # see clip.js
# one script, in this order
SCRIPTS = (
    "shared.js",
    "pending.js",
    "pictures.js",
    "moving.js",
    "pointer.js",
    "zoom.js",
    "tools.js",
    "choices.js",
    "state.js",
)


class MarkPanel(Panel):
    """Shows frames and takes marks."""

    name, wide, live = "mark", True, ("stage", "mask_file")

    def __init__(self, host: Host):
        super().__init__(host)
        how = host.engine, host.guard, host.limits
        self.marking, self.choosing = Marking(*how), Choosing(*how)

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title("Mark", "click or paint the object on any frame", number))
        stage = gr.HTML(
            {"clip": None, "welcome": WELCOME},
            html_template=(STAGE / "stage.html").read_text(),
            elem_id="stage",
            js_on_load=script("frames.js", "turns.js", *(f"stage/{name}" for name in SCRIPTS)),
            apply_default_css=False,
        )
        with gr.Accordion("Use a mask file instead", open=False, elem_id="own-mask"):
            mask_file = gr.File(
                label="A mask for the frame above: PNG in palette colours, or black and white",
                height=84,
                elem_id="mask",
            )
        # the frame that was looked at when the file was chosen: the browser fills it in (FRAME)
        return {"stage": stage, "mask_file": mask_file, "mask_frame": gr.Number(visible=False, precision=0)}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        stage = self.parts["stage"]
        wires.on(stage.edit, self.edit, ["size"], sent=True, lane="own", leads_to="marked")
        wires.on(stage.order, self.order, sent=True, lane="own", leads_to="marked objects")
        wires.on(stage.seek, self.seek, sent=True, lane="own", line="look", newest=True)
        wires.on(
            self.parts["mask_file"].upload,
            self.import_mask,
            ["mask_file", "mask_frame"],
            lane="own",
            leads_to="marked",
            js=FRAME,
        )
        wires.on(stage.choose, self.choose, sent=True, lane="own", leads_to="marked")
        aside = {"lane": "own", "line": "choices", "trigger_mode": "always_last"}
        wires.on("marked", self.offer, ["size"], **aside)
        wires.on("picked", self.mark_example, lane="own", leads_to="opened")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        if change == Change.STAGE:
            return {"stage": stage_state(visitor, live=True)}
        emptied = {"mask_file": None} if change == Change.CLIP else {}
        return {"stage": stage_state(visitor), **emptied}

    # events -----------------------------------------------------------------------------------------------

    @answers
    def mark_example(self, visitor: Visitor) -> View:
        """Add the marks that come with an example, as if clicked, unless the visitor has marked something."""
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
            labels = self.marking.ask(image, clicks, None, None)
            with visitor.changing(work):
                check_free(work)
                if work.marks:
                    return View()
                work.objects.restart(dict(enumerate(known["objects"], 1)))
                work.objects.colour(image, labels)
                work.intro = known["sentence"]
                work.go(index)
                work.jump += 1
                changes.put(work, index, Marks(clicks=clicks, dots=clicks), labels)
        return self._marked(visitor)

    @answers
    def seek(self, visitor: Visitor, data: dict) -> View:
        """Look at a frame: its lossless picture, its mask, its dots.

        Where the browser is led to another frame meanwhile, as by an undo, that one stays.
        """
        work = visitor.need_work()
        if data.get("jump", work.jump) == work.jump:
            work.go(whole(data.get("frame"), "frame"))
        if work.frame not in work.sharp:
            picture(self.host.guard, visitor, work.frame)
        return View(stage=stage_state(visitor))

    @answers
    def edit(self, visitor: Visitor, data: dict, size: int) -> View:
        """Do one edit on the frame that is shown: a click or a box, which the network turns into a mask; a
        brush stroke; or an old click that is given to the selected object.
        """
        work = check_free(_meant(visitor, data))
        index = work.go(whole(data.get("frame"), "frame"))
        seen = self.host.runner.side(*work.clip.size, size)
        kinds = {"stroke": self.marking.stroke, "box": self.marking.box}
        kind = str(data.get("kind"))
        if kind in kinds:
            told = kinds[kind](visitor, index, data)
        elif kind == "move":
            told = self.marking.move(visitor, index, data, seen)
        else:
            told = self.marking.click(visitor, index, data, seen)
        return self._marked(visitor, html.notice(told, "info"))

    @answers
    def offer(self, visitor: Visitor, size: int) -> View:
        """The masks that the last click may mean, if it is an object's first and they differ."""
        work = visitor.work
        seen = self.host.runner.side(*work.clip.size, size) if work else 0
        return View(Change.STAGE if seen and self.choosing.offer(visitor, seen) else Change.NOTHING)

    @answers
    def choose(self, visitor: Visitor, data: dict) -> View:
        """The chosen mask instead of the click's own."""
        frame = check_free(_meant(visitor, data)).go(whole(data.get("frame"), "frame"))
        self.choosing.choose(visitor, frame, data.get("number"))
        return self._marked(visitor)

    @answers
    def import_mask(self, visitor: Visitor, path: str, index: int) -> View:
        """An uploaded mask becomes a frame's marks; objects that it brings are added."""
        if not path:
            return View()
        with visitor.at_work() as work:
            check_free(work)
            index, (height, width) = work.go(whole(index, "frame")), work.clip.size
            image = picture(self.host.guard, visitor, index)
            labels = self.host.guard.pixels("mask", path=path, height=height, width=width)
            with visitor.changing(work):
                check_free(work)
                changes.import_labels(work, index, labels, self.host.limits)
                work.objects.colour(image, labels)
        return self._marked(visitor, mask_file=None)

    @answers
    def order(self, visitor: Visitor, data: dict) -> View:
        """Objects and history: add, select, rename, delete, gone or not, undo, redo, clear."""
        work, kind = _meant(visitor, data), data.get("kind")
        notice, change = "", Change.MARKS
        with visitor.changing(work):
            check_free(work)
            frame = data.get("frame")
            index = work.frame if frame is None else work.go(whole(frame, "frame"))
            if kind == "add":
                with work.one_step():
                    work.objects.add(self.host.limits.max_objects)
            elif kind == "select":
                work.objects.select(_meant_object(work, data))
            elif kind == "rename":
                with work.one_step():
                    work.objects.rename(_meant_object(work, data), str(data.get("name", "")))
                change = Change.RESULTS  # the results name the objects
            elif kind == "delete":
                work.delete_object(_meant_object(work, data))
                change = Change.RESULTS
            elif kind == "clear":
                changes.clear(work, index)
            elif kind in ("absent", "present"):
                notice, change = _absence(work, data), Change.RESULTS
            elif kind in ("undo", "redo") and (work.undo() if kind == "undo" else work.redo()):
                change = Change.RESULTS
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


def _meant(visitor: Visitor, data: dict) -> Work:
    """The work that the browser meant.  Overtaken when another clip was opened since; PromptError."""
    work = visitor.need_work()
    if data.get("clip", called(work)) != called(work):
        raise Overtaken
    return work


def _meant_object(work: Work, data: dict) -> int:
    """The number that the browser named, else that of the selected object.  Raises PromptError."""
    number = data.get("object")
    return work.objects.selected if number is None else work.objects[whole(number, "object")].id


def _absence(work: Work, data: dict) -> str:
    """Mark an object as gone for a while, or undo that; returns the notice, or ""."""
    number, frame = _meant_object(work, data), whole(data.get("frame"), "frame")
    if data["kind"] == "absent":
        say_absent(work, number, whole(data.get("first"), "frame"), frame)
        return ""
    take_back_absent(work, number, frame)
    return html.notice("Those frames have no mask of it yet: press Resume to track it there.", "info")
