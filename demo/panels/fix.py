"""Check and fix: how each object fares over the clip, and which frames deserve a look."""

from pathlib import Path
from typing import Any

import gradio as gr

from demo.draw import charts, html
from demo.panels.base import Change, Panel
from demo.work.visitor import Visitor
from demo.work.work import Work

SCRIPT = Path(__file__).with_name("timeline.js")


class FixPanel(Panel):
    """The timeline; what continues from a correction is a run (see `track`)."""

    name, live = "fix", ("timeline",)

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title(number, "Check and fix", "find a wrong frame, correct it, continue"))
        timeline = gr.HTML(
            charts.NO_TIMELINE, elem_id="timeline", js_on_load=SCRIPT.read_text(), apply_default_css=False
        )
        return {"timeline": timeline}

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        work = visitor.work
        if change < Change.RESULTS:
            return {}
        return {"timeline": timeline(work) if work is not None and work.tracked else charts.NO_TIMELINE}


def timeline(work: Work) -> str:
    """The drawing of a tracked clip's objects."""
    records = work.run.records
    rows = [
        charts.Row(
            one.name,
            one.color,
            {index: record.areas.get(one.id, 0) for index, record in records.items()},
            {index: record.confidence.get(one.id, 1.0) for index, record in records.items()},
            work.run.doubts(one.id),
        )
        for one in work.objects
    ]
    return charts.timeline(work.clip.start, work.clip.stop, rows, sorted(work.marks))
