"""Check and fix: how each object fares over the clip, and the button that continues from a correction."""

from pathlib import Path
from typing import Any

import gradio as gr

from demo.draw import charts, html
from demo.panels.base import Change, Panel, Props
from demo.work.visitor import Visitor
from demo.work.work import Work

SCRIPT = Path(__file__).with_name("timeline.js")


class FixPanel(Panel):
    """The timeline; Continue is an event of the run (see `track`)."""

    name, wide, live = "fix", True, ("timeline", "fixing", "fix")

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title(number, "Check and fix", "go to a doubtful frame, mark it right, continue"))
        timeline = gr.HTML(
            charts.NO_TIMELINE, elem_id="timeline", js_on_load=SCRIPT.read_text(), apply_default_css=False
        )
        with gr.Group(visible=False, elem_classes="stm-plain") as fixing:
            direction = gr.Radio(
                ["forward", "backward", "both"],
                value="forward",
                label="From the corrected frame, go on",
                info="Click or paint a wrong frame right first; only what follows is computed again.",
                elem_id="direction",
            )
            fix = gr.Button("Continue", interactive=False, elem_id="fix")
        return {"timeline": timeline, "fixing": fixing, "direction": direction, "fix": fix}

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        work, view = visitor.work, {}
        tracked = work is not None and work.tracked
        if change >= Change.MARKS:
            view["fixing"] = Props(visible=tracked)
            view["fix"] = Props(interactive=tracked and bool(work.fixes()) and not work.busy)
        if change >= Change.RESULTS:
            view["timeline"] = timeline(work) if tracked else charts.NO_TIMELINE
        return view


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
