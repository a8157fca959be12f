"""Look inside: click a pixel of a tracked frame, and see where it looked in memory.

While the panel is closed, nothing is sent for it during a run.  It has a picture of its own, and its answers
change no other part of the page.
"""

import io
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demo.draw import html
from demo.engine.looking import look_at
from demo.panels.base import Change, Panel, View, Wires, answers, script
from demo.work.pictures import picture
from demo.work.shown import pictured
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.engine.look import Look
from stm_core.errors import StmError, for_visitors
from stm_core.runs.look_picture import look_tile, look_words, looked_at, seen_words

MOST_TILES = 16  # stored frames that are shown: the ones with the largest shares
TILE, QUALITY = 320, 80  # pixels of a tile's width; of its JPEG
HERE = Path(__file__)
NOTHING = {"clip": None}


class LookPanel(Panel):
    """Answers where a pixel looked."""

    name, wide, below, step = "look", True, True, False

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title("Look inside", "where in memory a pixel looked"))
        inside = gr.HTML(
            NOTHING,
            html_template=HERE.with_suffix(".html").read_text(),
            elem_id="inside",
            js_on_load=script("frames.js", "look.js"),
            apply_default_css=False,
        )
        return {"inside": inside}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        wires.on(self.parts["inside"].peek, self.look, sent=True, lane="own", line="inside", newest=True)
        for event in ("ran", "objects"):
            wires.on(event, self.show, trigger_mode="always_last")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        return self.show(visitor) if change == Change.CLIP else {}

    @answers
    def show(self, visitor: Visitor) -> View:
        """What can be looked at now: after a run, or when the panel was opened."""
        return View(inside=inside_state(visitor.work) if visitor.work else NOTHING)

    @answers
    def look(self, visitor: Visitor, data: dict) -> View:
        """Where a pixel looked; without a pixel, what can be looked at.  A refusal is told in the panel."""
        work = visitor.work
        if work is None or work.run is None or data.get("x") is None:
            return self.show(visitor)
        try:
            index, x, y = (int(float(data.get(name))) for name in ("frame", "x", "y"))
        except (TypeError, ValueError, OverflowError):
            return self.show(visitor)
        try:
            with visitor.at_work():
                read = partial(picture, self.host.guard, visitor)
                found, images = look_at(self.host.engine, work.run, index, (x, y), read)
            told = look_state(found, images, {one.id: one.name for one in work.objects})
        except StmError as error:
            told = {"frame": index, "at": [x, y], "note": html.from_one(html.sentence(for_visitors(error)))}
        number = data.get("number")  # the browser counts its questions, to tell two equal answers apart
        told["number"] = number if isinstance(number, int) else None
        return View(inside={**inside_state(work), "look": told})


def inside_state(work: Work) -> dict:
    """What the panel's picture is drawn from."""
    run = work.run
    return {
        **pictured(work),
        "run": f"{Path(run.folder).name}/masks" if run else "",
        "masked": html.ranges(run.records) if run else [],
        "frame": work.frame,
    }


def look_state(look: Look, images: dict[int, np.ndarray], names: dict[int, str]) -> dict:
    """A look as the browser shows it: `look.json`, with words and a picture of each stored frame."""
    strongest = sorted(look.stored, key=lambda one: one.share, reverse=True)[:MOST_TILES]
    shown = {one.t for one in strongest}
    rest = [one.t for one in look.stored if one.t not in shown]
    first, number = html.number(0), html.number
    notes = [f"Frame {number(t)} was dropped at frame {number(at)}." for t, at in look.gone.items()]
    if rest:
        notes.append(f"Also in memory, but counted less: {', '.join(f'frame {number(t)}' for t in rest)}.")
    tiles = [
        {
            "t": one.t,
            "kind": one.kind,
            "share": one.share,
            "words": seen_words(one, first).capitalize(),
            "seen": looked_at(one),
            "src": html.data_url(_jpeg(look_tile(look, one, images[one.t], TILE)), "jpeg"),
        }
        for one in look.stored
        if one.t in shown
    ]
    return {**look.as_dict(), "words": look_words(look, names, first), "tiles": tiles, "notes": notes}


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
