"""What each event of the page does: event -> session -> view.

Here: coming and going, the clip, the marks; runs and results are in demo.runs.  Handlers take plain values
and know no Gradio, so that each can be tested by calling it; what they return is a view (demo.views).
"""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from demo import examples, render, strokes, views
from demo.engine import Engine
from demo.guard import Guard
from demo.limits import Limits
from demo.saved import restore
from demo.session import Clip, Marks, Session, Subject
from demo.views import Props, View, answers
from stm_core.errors import OptionError, PromptError, StmError, VideoError

SHARP_KEPT = 24  # lossless pictures kept on disk per visitor: about as many frames as one marks


class Handlers:
    """The page's events, over one engine; everything about a visitor is in the session that comes first."""

    def __init__(self, engine: Engine, guard: Guard, limits: Limits, examples_folder: Path):
        self.engine, self.guard, self.limits, self.examples = engine, guard, limits, examples_folder

    # coming and going -------------------------------------------------------------------------------------

    def arrive(self) -> Session:
        """A page was opened: a session of its own; on the way, folders past their lifetime are removed."""
        self.sweep()
        return Session.new(self.limits.root)

    def leave(self, session: Session | None) -> None:
        """A page was closed or forgotten: stop its work, remove its files."""
        if isinstance(session, Session):
            session.stop, session.run = True, session.run + 1
            shutil.rmtree(session.folder, ignore_errors=True)

    def sweep(self, now: float | None = None) -> int:
        """Remove visitors' folders that nobody has used for the lifetime; how many."""
        oldest, gone = (now or time.time()) - 60 * self.limits.lifetime_minutes, 0
        for folder in self.limits.root.glob("*"):
            if folder.is_dir() and _last_use(folder) < oldest:
                shutil.rmtree(folder, ignore_errors=True)
                gone += 1
        return gone

    # the clip ---------------------------------------------------------------------------------------------

    @answers
    def open_clip(
        self, session: Session, path: str, name: str = "", start: int = 0, example: str = ""
    ) -> Iterator[View]:
        """Show the first frame and the report at once, then count the frames and prepare pictures for
        scrubbing.
        """
        if not path:
            raise PromptError("no file arrived; choose a clip, or pick an example")
        folder = session.new_folder()
        own = session.clips_opened
        try:
            source, saved = self._unpacked(_adopt(path, folder), folder)
            start = int(saved.get("start", 0)) if saved else start
            found = self.guard.call(
                "inspect", path=str(source), folder=str(folder), start=start, limits=self._clip_limits()
            )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, StmError):  # it knows the file by our name, the visitor by another
                told = re.sub(r"\bsource\.\w+", lambda _: Path(path).name[:60], str(error))
                raise type(error)(told) from error
            raise
        if session.clips_opened != own:  # another clip came in meanwhile
            return
        info = found["info"]
        start, stop = self._part(info, start)
        session.take_clip(
            Clip(
                str(source),
                name or Path(path).name[:60],
                str(folder),
                info,
                start,
                stop,
                warnings=tuple(info.get("warnings") or ()),
                example=example,
            )
        )
        yield {
            **views.everything(session, self.limits, self.engine.device),
            "part": self._part_slider(session),
        }
        yield from self._check(session, own)
        if saved and session.clips_opened == own:
            yield self._restored(session, saved)

    def _unpacked(self, source: Path, folder: Path) -> tuple[Path, dict | None]:
        """(clip, saved work or None) of an upload: an “Everything” ZIP holds both."""
        if source.suffix != ".zip":
            return source, None
        found = self.guard.call(
            "unpack_session",
            path=str(source),
            folder=str(folder),
            most_bytes=2 * self.limits.upload_mb * 2**20,
        )
        if "session" not in found:
            return source, None
        source.unlink()
        return folder / found["source"], found["session"]

    def _restored(self, session: Session, saved: dict) -> View:
        """Saved work is taken up: marks, masks, figures."""
        height, width = session.clip.size
        kept = self.guard.call("adopt_masks", folder=session.clip.folder, height=height, width=width)
        try:
            restore(session, saved, kept, self.limits)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise VideoError("the saved work in this ZIP is damaged; only its clip was opened") from error
        session.jump, session.revision = session.jump + 1, session.revision + 1
        self._picture(session)
        return {
            **views.everything(session, self.limits, self.engine.device),
            "notice": render.notice(
                f"Taken up where it was left: {len(session.records)} masks, "
                f"{len(session.marks)} marked frames.",
                "info",
            ),
        }

    def open_for_api(self, path: str) -> tuple[Session, Path, dict]:
        """A clip of the web API: (session that owns the files, the clip's path, its report).

        LimitError when too long.
        """
        session = Session.new(self.limits.root)
        folder = session.new_folder()
        source = _adopt(path, folder)
        limits = {
            **self._clip_limits(),
            "max_frames": self.limits.max_frames,
            "max_seconds": self.limits.max_seconds,
        }
        found = self.guard.call("inspect", path=str(source), folder=str(folder), start=0, limits=limits)
        return session, source, found["info"]

    def _check(self, session: Session, own: int) -> Iterator[View]:
        clip = session.clip
        last = time.monotonic()
        for found, _ in self.guard.stream(
            "check",
            cpu_seconds=4 * self.limits.decode_seconds,
            path=clip.path,
            folder=clip.folder,
            start=clip.start,
            stop=clip.stop,
            side=self.limits.preview_side,
        ):
            if session.clips_opened != own:
                return
            session.proxies = found.get("done", session.proxies)
            if "frames" in found:
                session.proxies = found["frames"]
                session.clip = _checked(clip, found)
                session.go(session.frame)
                break
            if time.monotonic() - last > 0.4:
                last = time.monotonic()
                yield {"stage": render.stage(session)}
        yield {"stage": render.stage(session), "report": render.clip_report(session.clip, self.limits)}

    def _clip_limits(self) -> dict:
        return {
            "max_bytes": self.limits.upload_mb * 2**20,
            "max_pixels": self.limits.max_pixels,
            "max_frames": None,
            "max_seconds": None,
        }

    def _part(self, info: dict, start: int) -> tuple[int, int]:
        """The frames that will be worked on: as many as the limits allow, from `start`."""
        frames = max(int(info["frames"]), 1)
        most = min(self.limits.max_frames, max(int(self.limits.max_seconds * (info["fps"] or 25)), 1))
        start = min(max(start, 0), max(frames - 1, 0))
        return start, min(start + most, frames)

    def _part_slider(self, session: Session) -> Props:
        info, clip = session.clip.info, session.clip
        too_long = info["frames"] > clip.stop - clip.start
        seconds = round((info.get("seconds") or 0), 1)
        return Props(
            visible=bool(too_long), maximum=max(seconds, 1), value=round(clip.start / (info["fps"] or 25), 1)
        )

    @answers
    def choose_part(self, session: Session, seconds: float) -> Iterator[View]:
        """Work on another part of a long clip."""
        clip = session.need_clip()
        start = int(float(seconds) * (clip.info["fps"] or 25))
        yield from self.open_clip(session, clip.path, clip.name, start)

    @answers
    def pick_example(self, session: Session, name: str) -> Iterator[View]:
        """Open a bundled clip."""
        known = {path.stem: path for path in self.examples.glob("*.mp4")}
        if name not in known:
            raise PromptError(f"there is no example called {str(name)[:40]!r}; choose one that is shown")
        yield from self.open_clip(session, str(known[name]), f"{name}.mp4", 0, name)

    @answers
    def mark_example(self, session: Session) -> View:
        """The marks that an example brings, as if they had been clicked; what a visitor marked stays."""
        if session.clip is None or not session.clip.example or session.marks or session.running:
            return {}
        known = examples.about(self.examples / f"{session.clip.example}.mp4")
        clicks = tuple((x, y, label, number) for _, x, y, label, number in known.get("clicks", ()))
        if not clicks:
            return {}
        session.subjects = [Subject(n, name) for n, name in enumerate(known["objects"], 1)]
        session.go(known["clicks"][0][0])
        session.jump += 1
        labels = self.engine.click(self._picture(session), clicks, None, None)
        session.put(Marks(clicks=clicks, dots=clicks), labels)
        return {
            **self._marked(session),
            "notice": render.notice(f"{known['sentence']} It is marked already: press Track.", "info"),
        }

    @answers
    def seek(self, session: Session, index: int) -> View:
        """Look at a frame: its lossless picture, its mask, its dots."""
        clip = session.need_clip()
        index = session.go(_whole(index, "frame"))
        if index not in session.sharp:
            self.guard.call("sharp", path=clip.path, folder=clip.folder, index=index)
            self._note_sharp(session, index)
        return {"stage": render.stage(session)}

    def _note_sharp(self, session: Session, index: int) -> None:
        session.sharp[index] = None
        for old in list(session.sharp)[:-SHARP_KEPT]:
            session.sharp.pop(old)
            (Path(session.clip.folder) / "sharp" / f"{old:05d}.png").unlink(missing_ok=True)

    def _picture(self, session: Session) -> np.ndarray:
        path = Path(session.clip.folder) / "sharp" / f"{session.frame:05d}.png"
        if not path.exists():
            self.guard.call("sharp", path=session.clip.path, folder=session.clip.folder, index=session.frame)
            self._note_sharp(session, session.frame)
        return np.array(Image.open(path).convert("RGB"))

    # marks ------------------------------------------------------------------------------------------------

    @answers
    def edit(self, session: Session, data: dict, size: int) -> View:
        """A click (mask answered by the network) or a brush stroke on the frame that is shown."""
        self._may_mark(session)
        session.go(_whole(data.get("frame"), "frame"))
        if data.get("kind") == "stroke":
            labels = session.labels(session.frame)
            if labels is None:
                labels = np.zeros(session.clip.size, np.uint8)
            session.draw(strokes.paint(labels, data, session.selected), self.limits.max_edits)
        else:
            x, y = _number(data.get("x"), "x"), _number(data.get("y"), "y")
            marks = session.plan_click(x, y, int(bool(data.get("label", 1))), self.limits.max_edits)
            base = session.unpacked(marks.base)
            labels = self.engine.click(self._picture(session), marks.clicks, base, size or None)
            session.put(marks, labels)
        return self._marked(session)

    @answers
    def import_mask(self, session: Session, path: str) -> View:
        """An uploaded mask becomes this frame's marks; objects that it brings are added."""
        if not path:
            return {}
        self._may_mark(session)
        height, width = session.clip.size
        labels = self.guard.pixels("mask", path=path, height=height, width=width)
        session.import_labels(labels, self.limits)
        return {**self._marked(session), "mask_file": None}

    @answers
    def order(self, session: Session, data: dict) -> View:
        """Objects and history: add, select, rename, delete, undo, clear."""
        self._may_mark(session)
        kind, number = data.get("kind"), data.get("object")
        if data.get("frame") is not None:
            session.go(_whole(data["frame"], "frame"))
        if kind == "add":
            session.add_subject(self.limits.max_objects)
        elif kind == "select":
            session.select(_whole(number, "object"))
        elif kind == "rename":
            session.rename(_whole(number, "object"), str(data.get("name", "")))
        elif kind == "delete":
            session.delete_subject(_whole(number, "object"))
        elif kind == "clear":
            session.clear()
        elif kind == "undo":
            if not session.undo():
                return {**self._marked(session), "notice": render.notice("There is nothing to undo.", "info")}
            session.jump += 1
        return self._marked(session)

    def _marked(self, session: Session) -> View:
        if session.frame not in session.sharp:
            self._picture(session)
        return views.marked(session)

    def _may_mark(self, session: Session) -> None:
        session.need_clip()
        if session.running:
            raise PromptError("tracking is running; press Stop first, what is done will be kept")


def _checked(clip: Clip, found: dict) -> Clip:
    """The clip after every frame of the part was decoded once."""
    warnings = tuple(dict.fromkeys([*clip.warnings, *found["warnings"]]))
    if not found["frames"]:
        raise OptionError("not one frame of this part could be decoded; choose another part or file")
    stop = clip.start + found["frames"]
    whole = stop >= clip.info["frames"] or stop < clip.stop
    info = {**clip.info, "frames": stop if whole else clip.info["frames"], "frames_exact": whole}
    return replace(clip, info=info, stop=stop, times=tuple(found["times"]), checked=True, warnings=warnings)


def _adopt(path: str, folder: Path) -> Path:
    """The upload as a file of ours: its name is ours too, only the suffix says what it claimed to be."""
    source = Path(path)
    suffix = (
        source.suffix.lower()
        if source.suffix.lower().lstrip(".").isalnum() and len(source.suffix) < 6
        else ""
    )
    target = folder / f"source{suffix}"
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _last_use(folder: Path) -> float:
    try:
        return max(p.stat().st_mtime for p in (folder, *folder.glob("*"), *folder.glob("*/*")))
    except (OSError, ValueError):
        return time.time()


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
