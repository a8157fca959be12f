"""What the stage in the browser shows of a visitor's work: one state object, and the hint above the tools."""

from pathlib import Path

from demo.draw import html
from demo.work.reviewing import queue
from demo.work.visitor import Visitor
from demo.work.work import Work

WELCOME = "Upload a clip or pick an example. Then click the object and press Track."


def stage_state(visitor: Visitor, live: bool = False) -> dict:
    """The state that the stage in the browser draws from.  live: with the picture of the run that goes."""
    work = visitor.work
    if work is None:
        return {"clip": None, "welcome": WELCOME, "answer": visitor.answer}
    clip, run, marks = work.clip, work.run, work.marks.get(work.frame)
    colors = {one.id: one.color for one in work.objects}
    step = work.current.last if live and work.current is not None and work.running else None
    preview = step.preview if step else None
    return {
        "clip": f"{Path(clip.folder).parent.name}/{Path(clip.folder).name}",
        "folder": Path(clip.folder).as_posix(),
        "height": clip.size[0],
        "width": clip.size[1],
        "start": clip.start,
        "stop": clip.stop,
        "total": max(clip.stop, clip.info.get("frames") or 0),
        "fps": clip.fps,
        "times": None if preview else [round(t, 3) for t in clip.times],
        "frame": work.frame,
        "jump": work.jump,
        "answer": visitor.answer,
        "sharp": [[i, i + 1] for i in sorted(work.sharp)],
        "proxies": [[clip.start, clip.start + work.proxies]],
        # a picture that was asked for while the run was under way may be of the run that it continues
        "run": f"{Path(run.folder).name}/masks" if run else "",
        "run_state": run.state if run else "",
        "masked": html.ranges(run.records) if run else [],
        "marks": html.data_url(marks.mask, "png") if marks and marks.mask else None,
        "dots": [[x, y, label, colors.get(n, "#888")] for x, y, label, n in marks.dots] if marks else [],
        "objects": work.objects.shown(),
        "selected": work.objects.selected,
        "prompted": sorted(work.marks),
        "absent": [[number, *one] for number, ranges in work.absent.items() for one in ranges],
        "pinned": list(work.pinned),
        "doubtful": {} if preview else {str(one.frame): one.sentence for one in reversed(queue(work))},
        "running": work.running,
        "live": html.data_url(preview, "jpeg") if preview else None,
        "at": step.index if step and preview else None,
        "hint": _hint(work),
    }


def _hint(work: Work) -> str:
    """The next thing to do, in a few words."""
    if work.running:
        return "Tracking… Stop keeps what is done."
    if not work.marks:
        return "Click the object in the picture, on any frame."
    if fixes := work.fixes():
        word = "Frames" if len(fixes) > 1 else "Frame"
        return f"{word} {html.numbers(fixes)} corrected: press Continue."
    if work.tracked and work.rest:
        return "Not all frames have a mask yet: press Resume."
    if work.tracked:
        return "Is a mask wrong? Go to that frame, click or paint it right, and press Continue."
    if work.intro:
        return f"{work.intro} The object is marked already: press Track."
    return "Is the mask right? Press Track. If not, add clicks: on the object, or where it is not."
