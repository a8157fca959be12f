"""A clip comes in: its folder, its report, and the work that the ZIP of a full session brings with it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.guard.process import Guard
from demo.limits import Limits
from demo.work.opened import Clip
from demo.work.quotas import Quotas
from demo.work.retention import adopt, check_room
from demo.work.saved import clip_name, first_frame
from demo.work.visitor import Visitor
from stm_core.errors import StmError, VideoError


@dataclass(frozen=True)
class Opener:
    """Reads clips, each behind the guard.  visitors: the folder of all visitors."""

    guard: Guard
    limits: Limits
    quotas: Quotas
    visitors: Path

    def whole(self, visitor: Visitor, path: str) -> tuple[Path, dict]:
        """A clip of the web API in a visitor's folder: (the clip's path, its report).

        LimitError when it is too long, or when the disk is full.
        """
        folder = self._folder(visitor)
        source = adopt(path, folder)
        return source, self._inspect(source, 0, self.limits.max_frames, self.limits.max_seconds)

    def part(
        self, visitor: Visitor, path: str, name: str, start: int, example: str
    ) -> tuple[Clip, dict | None]:
        """A clip of the page: (clip, saved work or None).

        start: the first frame of the part that is worked on, which is as long as the limits allow.
        Raises StmError, and then leaves no file.
        """
        folder = self._folder(visitor)
        try:
            with _cleared(folder, path):
                source, saved = self._unpacked(adopt(path, folder), folder)
                info = self._inspect(source, first_frame(saved) if saved else start)
            first, stop = self._extent(info, first_frame(saved) if saved else start)
            name = name or (clip_name(saved) if saved else "") or Path(path).name[:60]
            warnings = tuple(info.get("warnings") or ())
            clip = Clip(str(source), name, str(folder), info, first, stop, warnings=warnings, example=example)
        except BaseException:
            visitor.give_up(folder)
            raise
        return clip, saved

    def check_space(self, caller: str) -> None:
        """Raise LimitError when the disk is nearly full, or when a caller's files have reached the quota."""
        check_room(self.visitors, self.limits.free_mb)
        self.quotas.check(caller)

    def _folder(self, visitor: Visitor) -> Path:
        self.check_space(visitor.caller)
        return visitor.new_folder()

    def _inspect(
        self, source: Path, start: int, max_frames: int | None = None, max_seconds: float | None = None
    ) -> dict:
        most = {
            "max_bytes": self.limits.upload_mb * 2**20,
            "max_pixels": self.limits.max_pixels,
            "max_frames": max_frames,
            "max_seconds": max_seconds,
        }
        folder = str(source.parent)
        return self.guard.call("inspect", path=str(source), folder=folder, start=start, limits=most)["info"]

    def _unpacked(self, source: Path, folder: Path) -> tuple[Path, dict | None]:
        """(clip, saved work or None) of an upload: the ZIP of a full session holds both."""
        if source.suffix != ".zip":
            return source, None
        most = 2 * self.limits.upload_mb * 2**20
        found = self.guard.call("unpack_session", path=str(source), folder=str(folder), most_bytes=most)
        if "session" not in found:
            return source, None
        if not re.fullmatch(r"resumed\.[a-z0-9]{2,4}", str(found.get("source"))):  # a path elsewhere
            raise VideoError("this ZIP is damaged; download or pack it again")
        source.unlink()
        return folder / found["source"], found["session"]

    def _extent(self, info: dict, start: int) -> tuple[int, int]:
        """The frames that will be worked on: as many as the limits allow, from `start`."""
        frames = max(int(info["frames"]), 1)
        most = min(self.limits.max_frames, max(int(self.limits.max_seconds * (info["fps"] or 25)), 1))
        start = min(max(start, 0), max(frames - 1, 0))
        return start, min(start + most, frames)


@contextmanager
def _cleared(folder: Path, path: str) -> Iterator[None]:
    """After an error inside, remove the folder, and name the file in the error as the visitor calls it."""
    try:
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, StmError):
            told = re.sub(r"\b(source|resumed)\.\w+", lambda _: Path(path).name[:60], str(error))
            raise type(error)(told) from error
        raise
