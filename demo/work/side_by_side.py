"""What the browser shows of a comparison: the runs side by side, their chart and their table."""

from pathlib import Path

from demo.draw import comparison as draw
from demo.draw import html
from demo.work.compared import TABLE_5, Compared
from demo.work.shown import pictured
from demo.work.work import Work
from stm_core.masks.difference import RUN_COLOURS

COLORS = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in RUN_COLOURS.tolist()]


def compared_state(work: Work, progress: str = "") -> dict:
    """What the browser draws a comparison from.  progress: HTML, while it goes."""
    found = work.compared or Compared()
    runs = [
        {
            "name": name,
            "color": color,
            "folder": f"{Path(run.folder).name}/masks",
            "masked": html.ranges(run.records),
        }
        for (name, run), color in zip(found.runs.items(), COLORS, strict=False)
        if run.state not in ("running", "waiting")
    ]
    made = found.table if not progress else None
    paper = made is not None and [row["name"] for row in made["runs"]] == TABLE_5
    return {
        **pictured(work),
        "runs": runs,
        "progress": progress,
        "chart": draw.chart(made, COLORS) if made else "",
        "table": draw.table(made, COLORS, paper) if made else "",
    }
