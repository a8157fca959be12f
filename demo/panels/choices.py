"""What else a click may mean: up to three masks under the stage, when the network is unsure.

They are computed after the click's own mask is shown, so no click waits for them.
"""

import io
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demo.draw import html
from demo.engine.in_turn import InTurn
from demo.panels.base import Change, Host, Panel, Props, View, Wires, answers
from demo.work.offered import Choices, open_click
from demo.work.pictures import picture
from demo.work.shown import offered
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.errors import PromptError
from stm_core.masks.overlay import overlay
from stm_core.masks.palette import on_screen

WIDTH, QUALITY = 176, 80  # pixels of a small picture; of its JPEG
WORDS = {2: ("smaller", "larger"), 3: ("small", "medium", "large")}
NONE: dict[str, Any] = {"masks": []}
HERE = Path(__file__)


class ChoicesPanel(Panel):
    """Offers the masks that a first click may mean, and takes one of them."""

    name, wide, seen, step, live = "choices", True, False, False, ("choosing",)

    def __init__(self, host: Host):
        super().__init__(host)
        self.turn = InTurn()  # one at a time, beside the clicks themselves

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout; the card is a part, seen while there is a choice."""
        strip = gr.HTML(
            NONE,
            html_template=HERE.with_suffix(".html").read_text(),
            elem_id="choices",
            js_on_load=HERE.with_suffix(".js").read_text(),
            apply_default_css=False,
        )
        return {"choosing": self.card, "choices": strip}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        alone = {"lane": "own", "line": "choices", "trigger_mode": "always_last"}
        wires.on("marked", self.offer, ["size"], **alone)
        wires.on(self.parts["choices"].choose, self.choose, sent=True, lane="own", leads_to="marked")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        if change < Change.MARKS:
            return {}
        return {} if visitor.work and offered(visitor.work) else {"choosing": Props(visible=False)}

    @answers
    def offer(self, visitor: Visitor, size: int) -> View:
        """The masks that the last click may mean, if it is an object's first and they differ."""
        work = visitor.work
        if work is None or work.running or offered(work):
            return View()
        index, number = work.frame, work.objects.selected
        marks = work.marks.get(index)
        click = open_click(marks, number)
        if marks is None or click is None:
            return View()
        with visitor.at_work():
            image = picture(self.host.guard, visitor, index)
            with self.turn:
                masks = self.host.engine.choices(image, click, size or None)
        with visitor.changing(work):
            if len(masks) < 2 or work.marks.get(index) is not marks:
                return View()
            work.choices = Choices.of(index, number, marks, masks)
        return self._shown(work, image)

    @answers
    def choose(self, visitor: Visitor, data: dict) -> View:
        """The chosen mask instead of the click's own."""
        work = visitor.need_work()
        n = data.get("number")
        with visitor.at_work():
            image = picture(self.host.guard, visitor, work.frame)
            with visitor.changing(work):
                choices = offered(work)
                if choices is None or not isinstance(n, int) or not 0 <= n < len(choices.masks):
                    raise PromptError("these masks are of an earlier click; click the object again")
                if work.running:
                    raise PromptError("tracking is running; press Stop first, all masks so far are kept")
                before = work.labels(choices.frame)
                labels = choices.labels(n, np.zeros(work.clip.size, np.uint8) if before is None else before)
                work.draw(choices.frame, labels, self.host.limits.max_edits)
                work.objects.colour(image, labels)
                work.choices = Choices(
                    choices.frame, choices.number, work.marks[choices.frame], choices.masks
                )
        return self._shown(work, image, Change.MARKS)

    def _shown(self, work: Work, image: np.ndarray, change: Change = Change.STAGE) -> View:
        choices = offered(work)
        if choices is None:
            return View(change, choosing=Props(visible=False))
        colours = on_screen(work.objects.colours)
        nothing = np.zeros(work.clip.size, np.uint8)
        shown = work.labels(choices.frame)
        masks = []
        for n, words in enumerate(WORDS.get(len(choices.masks), WORDS[3])):
            alone = choices.labels(n, nothing)
            own = shown is not None and bool(np.array_equal(alone > 0, shown == choices.number))
            masks.append({"src": small(overlay(image, alone, colours=colours)), "words": words, "on": own})
        state = {"name": work.objects[choices.number].name, "masks": masks}
        return View(change, choosing=Props(visible=True), choices=state)


def small(pixels: np.ndarray) -> str:
    """A picture uint8 (H, W, 3) as an address for the browser, WIDTH pixels wide."""
    image = Image.fromarray(pixels)
    image.thumbnail((WIDTH * 2, WIDTH * 2))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return html.data_url(buffer.getvalue(), "jpeg")
