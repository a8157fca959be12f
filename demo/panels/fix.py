"""Check and fix: which frames to look at and why, and size and confidence of each object over the clip."""

from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr

from demo.draw import charts, html
from demo.panels.base import Change, Panel, View, Wires, answers, script
from demo.work import reviewing
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.errors import PromptError
from stm_core.runs.record import Record

KEYS = "Keys: [.] next, [,] previous, [Y] looks right, [F] flag this frame."


class FixPanel(Panel):
    """The review queue and the timeline; what continues from a correction is a run (see `track`)."""

    name, live = "fix", ("review", "timeline")

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title("Check and fix", "find a wrong frame, correct it, continue", number))
        review = gr.HTML(
            "", elem_id="review", js_on_load=script("turns.js", "review.js"), apply_default_css=False
        )
        timeline = gr.HTML(
            charts.NO_TIMELINE, elem_id="timeline", js_on_load=script("timeline.js"), apply_default_css=False
        )
        return {"review": review, "timeline": timeline}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        review = self.parts["review"]
        wires.on(review.review, self.review, sent=True, lane="own")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        work, view = visitor.work, {}
        tracked = work is not None and work.tracked
        if change >= Change.MARKS:  # a marked frame leaves the queue, and stands on the timeline
            view["review"] = queue(work) if work is not None and tracked else ""
            view["timeline"] = timeline(work) if work is not None and tracked else charts.NO_TIMELINE
        return view

    @answers
    def review(self, visitor: Visitor, data: dict) -> View:
        """A frame was found right, or flagged."""
        work = visitor.need_work()
        frame, number = data.get("frame"), data.get("object")
        if type(frame) is not int or not work.clip.start <= frame < work.clip.stop:
            raise PromptError(f"there is no frame {str(frame)[:20]!r} in this clip; reload the page")
        with visitor.changing(work):
            if data.get("kind") == "right" and type(number) is int:
                reviewing.approve(work, frame, number)
            elif data.get("kind") == "flag":
                reviewing.flag(work, frame)
        return View(Change.MARKS)


def queue(work: Work) -> str:
    """HTML of the list of frames to look at, the most doubtful first."""
    names = {one.id: one for one in work.objects}
    items = "".join(
        f'<li data-look="{one.frame}" data-object="{one.obj}">'
        f'<button type="button" data-do="go">Frame {html.number(one.frame)}</button>'
        f'<span><i style="background:{names[one.obj].color}"></i>'
        f"{escape(names[one.obj].name) + ': ' if len(names) > 1 else ''}{escape(one.sentence)}</span>"
        '<button type="button" data-do="right" title="Take it off the list (Y)">Looks right</button></li>'
        for one in reviewing.queue(work)
    )
    told = "No frame looks doubtful. Step through the clip to check it yourself."
    return (
        f'<ol class="stm-queue" aria-label="Frames to look at, the most doubtful first">{items}</ol>'
        + html.faint(
            ("" if items else told + " ")
            + f'<span class="stm-by-keys">{KEYS} </span>'
            + '<button type="button" data-do="flag">Flag this frame</button>'
        )
    )


def _areas(work: Work, records: Mapping[int, Record], number: int) -> dict[int, int]:
    """Pixels of an object by frame, from its first mark on: before it, a run does not know the object.

    A run that continues from a frame without the object may not know it either: it has no pixel there.
    """
    first = min((n for n, marks in work.marks.items() if number in marks.objects), default=work.clip.stop)
    return {
        n: record.areas.get(number, 0) for n, record in records.items() if number in record.areas or n > first
    }


def timeline(work: Work) -> str:
    """The drawing of a tracked clip's objects."""
    if work.run is None:
        return charts.NO_TIMELINE
    records, found = dict(work.run.records), reviewing.queue(work)  # the run may be under way
    rows = [
        charts.Row(
            one.name,
            one.color,
            _areas(work, records, one.id),
            {index: record.confidence.get(one.id, 1.0) for index, record in records.items()},
            sorted(two.frame for two in found if two.obj == one.id),
        )
        for one in work.objects
    ]
    return charts.timeline(work.clip.start, work.clip.stop, rows, sorted(work.marks))
