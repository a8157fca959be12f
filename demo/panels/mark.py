"""Marking frames: look at one, click, paint, bring a mask, objects, undo.

A visitor's marks may be changed by two events at once.  What takes long (a picture, the network, a file) is
done first; the change itself is made alone (`Session.alone`), and a mask that was computed from older marks
is computed again.
"""

import threading
from pathlib import Path

import numpy as np
from PIL import Image

from demo.draw import charts
from demo.engine.device import Engine
from demo.guard.process import Guard
from demo.limits import Limits
from demo.panels import examples, views
from demo.panels import stage_state as render
from demo.panels.views import View, answers
from demo.work import strokes
from demo.work.visitor import Session
from demo.work.work import Clip, Marks
from stm_core.errors import PromptError

AGAIN = 3  # times that a click is computed while its frame is changed under it
# a click that the network answers within half a second or so on two cores never waits for a larger one
QUICK_SIDE, QUICK_CLICKS = 480, 25
SHARP_KEPT = 24  # lossless pictures kept on disk per visitor: about as many frames as one marks


def picture(guard: Guard, session: Session, index: int) -> np.ndarray:
    """A frame of the open clip, uint8 (H, W, 3), lossless; kept on disk for the browser.

    views.Overtaken if another clip was opened meanwhile.
    """
    with views.of_this_clip(session):
        clip = session.clip
        path = Path(clip.folder) / "sharp" / f"{index:05d}.png"
        if not path.exists():
            guard.call("sharp", path=clip.path, folder=clip.folder, index=index)
        image = np.array(Image.open(path).convert("RGB"))
    session.sharp[index] = None
    for old in list(session.sharp)[:-SHARP_KEPT]:
        session.sharp.pop(old)
        (path.parent / f"{old:05d}.png").unlink(missing_ok=True)
    return image


class Marking:
    """The page's events about marks, over one engine for all visitors."""

    def __init__(self, engine: Engine, guard: Guard, limits: Limits, examples_folder: Path):
        self.engine, self.guard, self.limits, self.examples = engine, guard, limits, examples_folder
        self.quick, self.large = threading.Lock(), threading.Lock()  # one click of each kind at a time

    @answers
    def mark_example(self, session: Session) -> View:
        """The marks that an example brings, as if they had been clicked; what a visitor marked stays."""
        if session.clip is None or not session.clip.example or session.marks or session.running:
            return {}
        known = examples.about(self.examples / f"{session.clip.example}.mp4")
        clicks = tuple((x, y, label, number) for _, x, y, label, number in known.get("clicks", ()))
        if not clicks:
            return {}
        index = session.go(known["clicks"][0][0])
        with views.of_this_clip(session) as folder:
            labels = self._ask(picture(self.guard, session, index), clicks, None, None)
            with views.changing(session, folder):
                self._may_mark(session)
                if session.marks:
                    return {}
                session.subjects.restart(dict(enumerate(known["objects"], 1)))
                session.go(index)
                session.jump += 1
                session.put(index, Marks(clicks=clicks, dots=clicks), labels)
        return {
            **self._marked(session),
            "notice": render.notice(f"{known['sentence']} It is marked already: press Track.", "info"),
        }

    @answers
    def seek(self, session: Session, index: int) -> View:
        """Look at a frame: its lossless picture, its mask, its dots."""
        index = session.go(_whole(index, "frame"))
        if index not in session.sharp:
            picture(self.guard, session, index)
        return {"stage": render.stage(session)}

    @answers
    def edit(self, session: Session, data: dict, size: int) -> View:
        """A click (mask answered by the network) or a brush stroke on the frame that is shown."""
        clip = self._may_mark(session)
        index = session.go(_whole(data.get("frame"), "frame"))
        if data.get("kind") == "stroke":
            with views.changing(session, clip.folder):
                self._may_mark(session)
                labels = session.labels(index)
                if labels is None:
                    labels = np.zeros(session.clip.size, np.uint8)
                painted = strokes.paint(labels, data, session.subjects.selected)
                session.draw(index, painted, self.limits.max_edits)
        else:
            self._click(session, index, data, size)
        return self._marked(session)

    def _click(self, session: Session, index: int, data: dict, size: int) -> None:
        x, y = _number(data.get("x"), "x"), _number(data.get("y"), "y")
        label, selected = int(bool(data.get("label", 1))), session.subjects.selected
        with views.of_this_clip(session) as folder:
            image = picture(self.guard, session, index)
            for _ in range(AGAIN):
                with views.changing(session, folder):
                    self._may_mark(session)
                    before = session.seen(index)
                    marks = session.plan_click(index, x, y, label, selected, self.limits.max_edits)
                labels = self._ask(image, marks.clicks, session.unpacked(marks.base), size or None)
                with views.changing(session, folder):
                    self._may_mark(session)
                    if session.seen(index) == before:
                        session.put(index, marks, labels)
                        return
        raise PromptError("this frame was changed again and again meanwhile; click once more")

    def _ask(self, image: np.ndarray, clicks: tuple, base: np.ndarray | None, size: int | None) -> np.ndarray:
        """The network's mask of a frame from clicks."""
        side = min(size or 10**6, *image.shape[:2])
        quick = side <= QUICK_SIDE and len(clicks) <= QUICK_CLICKS
        with self.quick if quick else self.large:
            return self.engine.click(image, clicks, base, size)

    @answers
    def import_mask(self, session: Session, path: str) -> View:
        """An uploaded mask becomes this frame's marks; objects that it brings are added."""
        if not path:
            return {}
        clip, index = self._may_mark(session), session.frame
        height, width = clip.size
        with views.of_this_clip(session) as folder:
            labels = self.guard.pixels("mask", path=path, height=height, width=width)
            with views.changing(session, folder):
                self._may_mark(session)
                session.import_labels(index, labels, self.limits)
        return {**self._marked(session), "mask_file": None}

    @answers
    def order(self, session: Session, data: dict) -> View:
        """Objects and history: add, select, rename, delete, undo, clear."""
        kind, number = data.get("kind"), data.get("object")
        with views.changing(session, session.need_clip().folder):
            self._may_mark(session)
            if data.get("frame") is not None:
                session.go(_whole(data["frame"], "frame"))
            if kind == "add":
                session.subjects.add(self.limits.max_objects)
            elif kind == "select":
                session.subjects.select(_whole(number, "object"))
            elif kind == "rename":
                session.subjects.rename(_whole(number, "object"), str(data.get("name", "")))
            elif kind == "delete":
                session.delete_subject(_whole(number, "object"))
            elif kind == "clear":
                session.clear()
            undone = session.undo() if kind == "undo" else None
            session.jump += bool(undone)
        if kind in ("rename", "delete"):
            return self._renamed(session)
        nothing = {"notice": render.notice("There is nothing to undo.", "info")} if undone is False else {}
        return {**self._marked(session), **nothing}

    def _marked(self, session: Session) -> View:
        if session.frame not in session.sharp:
            picture(self.guard, session, session.frame)
        return views.marked(session)

    def _renamed(self, session: Session) -> View:
        """The objects are others now: the results speak of them too."""
        emptied = {} if session.records else {"player": None, "progress": ""}
        return {**self._marked(session), "timeline": charts.timeline(session), **emptied}

    def _may_mark(self, session: Session) -> Clip:
        """The clip to mark; asked again once a mask is computed: a run may have begun meanwhile."""
        clip = session.need_clip()
        if session.running:
            raise PromptError("tracking is running; press Stop first, what is done will be kept")
        if session.unread:
            raise PromptError(
                "the saved work of this clip is being taken up; wait a moment, or reload the page"
            )
        return clip


def _whole(value, name: str) -> int:
    return int(_number(value, name))


def _number(value, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} is {str(value)[:20]!r}, expected a number; reload the page") from error
    if not abs(number) < 1e7:
        raise PromptError(f"{name} is {number:g}, which is no place in a clip; reload the page")
    return number
