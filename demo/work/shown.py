"""What the stage in the browser shows of a visitor's work: one state object, and the hint."""

import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from demo.draw import html
from demo.work.offered import Choices
from demo.work.reviewing import queue
from demo.work.visitor import Visitor
from demo.work.work import Work

made = count(time.time_ns() // 10**6)  # numbers of states, which grow, also after a restart of the server
WELCOME = "Upload a clip or pick an example. Then click the object that you want to follow, and press Track."

GONE = (
    "Your files are no longer on the server: it was restarted, or you were away too long. Reload the page "
    "and open your clip again."
)


def called(work: Work) -> str:
    """What the browser calls the open clip, and sends back with what it wants to be done to it."""
    folder = Path(work.clip.folder)
    return f"{folder.parent.name}/{folder.name}"


def pictured(work: Work) -> dict:
    """What a script goes by that draws small pictures of frames with masks (`panels/frames.js`)."""
    clip = work.clip
    return {
        "clip": Path(clip.folder).as_posix(),
        "height": clip.size[0],
        "width": clip.size[1],
        "proxies": [[clip.start, clip.start + work.proxies]],
        "first": html.number(0),
        "objects": work.objects.shown(),
    }


def empty_state(welcome: str = WELCOME, answered: Sequence[int] = ()) -> dict:
    """The state of a stage without a clip."""
    return {"made": next(made), "clip": None, "welcome": welcome, "answered": list(answered)}


def stage_state(visitor: Visitor, live: bool = False) -> dict:
    """The state that the stage in the browser draws from.  live: with the picture of the current run."""
    work, order = visitor.work, next(made)
    if work is None:
        return empty_state(answered=visitor.answered)
    clip, run, marks = work.clip, work.run, work.marks.get(work.frame)
    marked = work.marked(work.frame)
    colors = {one.id: one.color for one in work.objects}
    step = work.current.last if live and work.current is not None and work.running else None
    preview = step.preview if step else None
    return {
        "made": order,
        "clip": called(work),
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
        "answered": list(visitor.answered),
        "sharp": [[i, i + 1] for i in sorted(work.sharp)],
        "proxies": [[clip.start, clip.start + work.proxies]],
        # a picture that was asked for while the run was under way may be of the run that it continues
        "run": f"{Path(run.folder).name}/masks" if run else "",
        "run_state": run.state if run else "",
        "masked": html.ranges(run.records) if run else [],
        "marks": html.data_url(marked, "png") if marked else None,
        "dots": [[x, y, label, colors.get(n, "#888")] for x, y, label, n in marks.dots] if marks else [],
        "objects": work.objects.shown(),
        "selected": work.objects.selected,
        "prompted": sorted(work.marks),
        "absent": [[number, *one] for number, ranges in list(work.absent.items()) for one in ranges],
        "pinned": list(work.pinned),
        "doubtful": {} if preview else {str(one.frame): one.sentence for one in reversed(queue(work))},
        "running": work.running,
        "live": html.data_url(preview, "jpeg") if preview else None,
        "at": step.index if step and preview else None,
        "hint": _hint(work),
        "choices": _choices(work),
    }


def offered(work: Work, frame: int | None = None) -> Choices | None:
    """The masks that the click on a frame (None: the one shown) may mean, until the frame is marked again or
    tracked.
    """
    found, frame = work.choices, work.frame if frame is None else frame
    if found is None or found.frame != frame or work.marks.get(found.frame) is not found.marks:
        return None
    return None if work.busy or found.frame not in work.changed else found


def _choices(work: Work) -> list[dict]:
    found, labels = offered(work), work.labels(work.frame)
    return [] if found is None or labels is None else found.shown(labels)


def _hint(work: Work) -> str:
    """The next thing to do, in a few words."""
    if work.running:
        what = "Comparing" if work.current and work.current.trial else "Tracking"
        return f"{what}… Stop keeps the masks so far."
    if work.busy:
        return "Waiting to start… Press Stop to cancel."
    if not work.marks and not work.tracked and len(work.objects) == 1:
        return "Click the object in the picture, on any frame."
    if not work.spoken_of(work.objects.selected):
        return f"Click “{work.objects[work.objects.selected].name}” in the picture, on any frame."
    if offered(work):
        word = "Continue" if work.tracked else "Track"
        return f"Is the mask right? Press {word}. If not, choose another."
    if fixes := work.fixes():
        told = f"{_frames(fixes)} corrected: press Continue."
        if others := [index for index in sorted(work.marks) if index not in fixes]:
            told += f" Your marks on {_frames(others).lower()} are used too."
        return told
    if work.tracked and work.rest and work.marks:
        return "Not all frames have a mask yet: press Resume."
    if work.tracked:
        return (
            "Is a mask wrong? Go to that frame and correct it by clicks or brush. Then continue from there."
        )
    if work.intro and all(work.spoken_of(one.id) for one in work.objects):
        what = "object is" if len(work.objects) == 1 else "objects are"
        return f"{work.intro} The {what} marked already: press Track."
    return "Is the mask right? Press Track. If not: click + Add on a missing part, − Remove on a wrong part."


def _frames(indices: Sequence[int]) -> str:
    return f"Frame{'s' * (len(indices) > 1)} {html.numbers(indices)}"
