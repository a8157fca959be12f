"""Learn: a lesson that uses the page.  Its text is `learn.md`, which a teacher can edit.

The browser does the clicks of a step: it picks the example's card and presses Track, as a visitor would
(`learn.js`).  The server only chooses the memory, and says how far the page is.  While the panel is closed,
browser and server send each other nothing about it.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from demo.draw import html
from demo.draw.lesson import lesson, parse
from demo.panels.base import SETTINGS, Host, Panel, View, Wires, answers, script
from demo.work.examples import about
from demo.work.visitor import Visitor
from demo.work.work import Work

HERE = Path(__file__)
SHELL = HERE.with_suffix(".html")
LIMITS = [name for name in SETTINGS if name not in ("preset", "size")]  # of the memory


class LearnPanel(Panel):
    """Leads through a lesson."""

    name, wide, step = "learn", True, False

    def __init__(self, host: Host):
        super().__init__(host)
        self.usual: dict[str, Any] = {}  # limits, as they are when the page is opened
        self.steps = parse(HERE.with_suffix(".md").read_text(encoding="utf-8"))

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title("Learn", "how a space-time memory works, in ten minutes"))
        titles = {path.stem: about(path).get("title", "") for path in self.host.examples.glob("*.mp4")}
        shell = SHELL.read_text(encoding="utf-8").replace("<!-- steps -->", lesson(self.steps, titles))
        learn = gr.HTML(
            {},
            html_template=shell,
            elem_id="learn",
            js_on_load=script("learn.js"),
            apply_default_css=False,
        )
        return {"learn": learn}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        self.usual = {name: wires.part(name).value for name in LIMITS}
        for event, handler in (
            (self.parts["learn"].choose, self.choose),
            (self.parts["learn"].peek, self.peek),
        ):
            wires.on(event, handler, sent=True, first=True)

    # events -----------------------------------------------------------------------------------------------

    @answers
    def choose(self, visitor: Visitor, data: dict) -> View:
        """A step is being set up: the memory that it is about, with the usual limits."""
        told = self._told(visitor, data)
        preset = self.steps[told["step"]].preset
        return View(learn=told, **({"preset": preset, **self.usual} if preset else {}))

    @answers
    def peek(self, visitor: Visitor, data: dict) -> View:
        """How far the page is with what a step asks for."""
        return View(learn=self._told(visitor, data))

    def _told(self, visitor: Visitor, data: dict) -> dict:
        """What the browser needs to know to take the next step of setting up."""
        number, asked = data.get("step"), data.get("number")
        number = number if isinstance(number, int) and 0 <= number < len(self.steps) else 0
        work, step = visitor.work, self.steps[number]
        told = {
            "step": number,
            "number": asked if isinstance(asked, int) else None,  # tells one answer from another
        }
        if work is None:
            nothing = dict.fromkeys(("open", "own", "marked", "busy", "masks", "tracked"), False)
            return {**told, **nothing, "clip": "", "coming": bool(visitor.coming)}
        return {
            **told,
            "clip": Path(work.clip.folder).name,
            "coming": bool(visitor.coming),
            "open": work.clip.example == step.example,
            "own": not work.clip.example and bool(work.marks),
            "marked": bool(work.marks),
            "busy": work.busy,
            "masks": work.tracked,
            "tracked": bool(step.preset) and self._tracked(work, step.preset),
        }

    def _tracked(self, work: Work, preset: str) -> bool:
        """Whether all frames have the masks that this memory, with the usual limits, makes of the marks."""
        run = work.run
        if run is None or run.job is None or run.state != "done" or work.busy or work.changed:
            return False
        whole = len(run.records) == work.clip.frames
        return whole and run.job.plan.memory == self.host.runner.memory(preset, *self.usual.values())
