"""What each event of the page does: event -> session -> view.

Here: coming and going, and the clip; marks are in demo.marking, runs and results in demo.runs.  Handlers
take plain values and know no Gradio, so that each can be tested by calling it; what they return is a view
(demo.views).
"""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from demo.engine.device import Engine
from demo.guard.process import Guard
from demo.limits import Limits
from demo.panels import stage_state as render
from demo.panels import views
from demo.panels.mark import picture
from demo.panels.views import Props, View, answers
from demo.work.quotas import Quotas
from demo.work.retention import adopt, check_room, sweep, visitors_folder
from demo.work.saved import clip_name, first_frame, restore
from demo.work.visitor import Session
from demo.work.work import Clip
from stm_core.errors import PromptError, StmError, VideoError


class Handlers:
    """The page's events, over one engine; everything about a visitor is in the session that comes first."""

    def __init__(self, engine: Engine, guard: Guard, limits: Limits, examples_folder: Path):
        self.engine, self.guard, self.limits, self.examples = engine, guard, limits, examples_folder
        self.visitors, self.quotas = visitors_folder(limits), Quotas(limits)

    # coming and going -------------------------------------------------------------------------------------

    def arrive(self, caller: str = "") -> Session:
        """A page was opened: a session of its own; on the way, folders past their lifetime are removed."""
        self.sweep()
        return self.new_session(caller)

    def new_session(self, caller: str) -> Session:
        """A session whose files count for the address that it came from."""
        session = Session.new(self.visitors)
        session.caller = caller
        self.quotas.hold(caller, session.folder)
        return session

    def leave(self, session: Session) -> None:
        """Nobody watches a page any more: its run ends, what it made stays until `sweep`."""
        session.stop, session.waiting = True, False

    @answers
    def come_back(self, session: Session) -> Iterator[View]:
        """The page was loaded again: a run ends with the page that watched it, the work is shown as it is,
        and what opening the clip had not done yet goes on.
        """
        clip = session.clip
        if clip is None:
            yield {}
            return
        self.leave(session)
        late = time.monotonic() + self.limits.stall_seconds
        while session.running and time.monotonic() < late:  # the run ends after the frame that it is at
            time.sleep(0.05)
        session.jump, session.filmed = session.jump + 1, -1
        ready = "Your work is here again, as far as it went."
        yield {
            **views.everything(session, self.limits, self.engine.device),
            "part": self._part_slider(session),
            "notice": render.notice(ready, "info"),
        }
        yield from self._go_on(session, clip.folder)

    def sweep(self, now: float | None = None) -> int:
        """Remove visitors' folders that nobody has used for the lifetime; how many."""
        return sweep(self.visitors, (now or time.time()) - 60 * self.limits.lifetime_minutes)

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
        check_room(self.visitors, self.limits.free_mb)
        self.quotas.check(session.caller)
        folder = session.new_folder()
        own = session.clips_opened
        try:
            source, saved = self._unpacked(adopt(path, folder), folder)
            start = first_frame(saved) if saved else start
            found = self.guard.call(
                "inspect", path=str(source), folder=str(folder), start=start, limits=self._clip_limits()
            )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, StmError):  # it knows the file by our name, the visitor by another
                told = re.sub(r"\b(source|resumed)\.\w+", lambda _: Path(path).name[:60], str(error))
                raise type(error)(told) from error
            raise
        if session.clips_opened != own:  # another clip came in meanwhile
            shutil.rmtree(folder, ignore_errors=True)
            return
        info = found["info"]
        start, stop = self._part(info, start)
        ended = _ended(session, same=str(session.clip and session.clip.path) == str(path))
        session.take_clip(
            Clip(
                str(source),
                name or (clip_name(saved) if saved else "") or Path(path).name[:60],
                str(folder),
                info,
                start,
                stop,
                warnings=tuple(info.get("warnings") or ()),
                example=example,
            )
        )
        session.unread = saved
        yield {
            **views.everything(session, self.limits, self.engine.device),
            "part": self._part_slider(session),
            "notice": render.notice(ended, "info"),
        }
        yield from self._go_on(session, str(folder))

    def _go_on(self, session: Session, folder: str) -> Iterator[View]:
        """After the first frame of the clip in `folder` was shown: count all frames, take up the work that
        came with it.  What was done already is not done again.
        """
        try:
            if session.shows(folder) and not session.clip.checked:
                yield from self._check(session, folder)
        except StmError:
            if not session.shows(folder):
                return
            yield self._unreadable(session)
            raise
        if session.shows(folder) and session.unread:
            try:
                view = self._restored(session, session.unread)
            finally:
                if session.shows(folder):
                    session.unread = None  # only now may it be marked
            yield view

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
        if not re.fullmatch(r"resumed\.[a-z0-9]{2,4}", str(found.get("source"))):  # a path elsewhere
            raise VideoError("this ZIP is damaged; download or pack it again")
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
        picture(self.guard, session, session.frame)
        return {
            **views.everything(session, self.limits, self.engine.device),
            "notice": render.notice(
                f"Taken up where it was left: {len(session.records)} masks, "
                f"{len(session.marks)} marked frames.",
                "info",
            ),
        }

    def open_for_api(self, session: Session, path: str) -> tuple[Path, dict]:
        """A clip of the web API, in a session's folder: (the clip's path, its report).

        LimitError when too long, or when the disk is full.
        """
        check_room(self.visitors, self.limits.free_mb)
        self.quotas.check(session.caller)
        folder = session.new_folder()
        source = adopt(path, folder)
        limits = {
            **self._clip_limits(),
            "max_frames": self.limits.max_frames,
            "max_seconds": self.limits.max_seconds,
        }
        found = self.guard.call("inspect", path=str(source), folder=str(folder), start=0, limits=limits)
        return source, found["info"]

    def _check(self, session: Session, folder: str) -> Iterator[View]:
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
            if not session.shows(folder):
                return
            session.proxies = found.get("done", session.proxies)
            if "frames" in found:
                session.proxies = found["frames"]
                session.clip = clip.checked_by(found)
                session.go(session.frame)
                break
            if time.monotonic() - last > 0.4:
                last = time.monotonic()
                yield {"stage": render.stage(session)}
        yield {"stage": render.stage(session), "report": render.clip_report(session.clip, self.limits)}

    def _unreadable(self, session: Session) -> View:
        """What remains of a clip that fails on the way: a long one may have another part that is sound."""
        if session.clip.start:
            return {"report": render.clip_report(session.clip, self.limits, "This part cannot be read.")}
        session.close_clip()
        return {"report": render.clip_report(None, self.limits), "part": Props(visible=False)}

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
        span = (clip.stop - clip.start) / (info["fps"] or 25)
        last = max(round(seconds - span, 1), clip.start / (info["fps"] or 25), 0.1)
        return Props(visible=bool(too_long), maximum=last, value=clip.second)

    @answers
    def choose_part(self, session: Session, seconds: float) -> Iterator[View]:
        """Work on another part of a long clip."""
        clip = session.need_clip()
        if float(seconds) == clip.second:  # the slider only says where we are
            yield {}
            return
        start = int(float(seconds) * (clip.info["fps"] or 25))
        yield from self.open_clip(session, clip.path, clip.name, start)

    @answers
    def pick_example(self, session: Session, name: str) -> Iterator[View]:
        """Open a bundled clip."""
        known = {path.stem: path for path in self.examples.glob("*.mp4")}
        if name not in known:
            raise PromptError(f"there is no example called {str(name)[:40]!r}; choose one that is shown")
        yield from self.open_clip(session, str(known[name]), f"{name}.mp4", 0, name)


def _ended(session: Session, same: bool) -> str:
    """What is lost when another clip, or another part of the same one, takes the place of this one."""
    if session.running or session.waiting:
        return f"The run of {session.clip.name} was ended: another clip was opened."
    if same and session.marks:
        return "This is another part of the clip: what was marked and tracked in the part before is gone."
    return ""
