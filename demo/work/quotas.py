"""How much of the server's disk one caller may use, and when the files of an API call are removed.

A caller is a network address. The login does not tell visitors apart, because all of them share one.
"""

import ipaddress
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from demo.limits import Limits
from stm_core.errors import LimitError

MB = 2**20
LEAST = 2**17  # bytes that an upload counts at least: a disk, and a look at it, are full of small files too
SPARE = 2  # largest uploads over the quota that are still received, so that a sentence can refuse them


@dataclass
class _Held:
    """A file or folder that counts for a caller.  size: bytes of a copy that Gradio keeps, else None."""

    until: float = float("inf")
    size: int | None = None
    upload: bool = False  # remove it after `until`


class Quotas:
    """Which files count for which caller, and the folder of finished answers."""

    def __init__(self, limits: Limits):
        self.limits, self.answers = limits, answers_folder(limits)
        self._held: dict[str, dict[Path, _Held]] = {}
        self._coming: dict[str, int] = {}  # bytes of uploads under way
        self._lock = Lock()

    def hold(self, caller: str, path: str | Path) -> None:
        """Count a file or folder for a caller as long as it is there."""
        self._note(caller, path, _Held())

    def uploaded(self, caller: str, path: str | Path) -> None:
        """Count an upload."""
        until = time.time() + 60 * self.limits.lifetime_minutes
        self._note(caller, path, _Held(until, upload=True))

    def used(self, caller: str, path: str | Path | None) -> None:
        """Keep this upload a few more minutes for another call: the API call that read it has ended."""
        with self._lock:
            entry = self._held.get(caller, {}).get(Path(path)) if path else None
            if entry is not None:
                entry.until = time.time() + 60 * self.limits.answer_minutes

    def copied(self, caller: str, path: str | Path) -> None:
        """Count the copy that Gradio makes of a file it sends, which is kept as long as other files."""
        until, size = time.time() + 60 * self.limits.lifetime_minutes, Path(path).stat().st_size
        self._note(caller, f"copy of {path}", _Held(until, size))

    def new_answer(self, caller: str) -> Path:
        """A folder for the files of one answer, which `sweep` removes a few minutes later."""
        folder = self.answers / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        self.hold(caller, folder)
        return folder

    @contextmanager
    def receiving(self, caller: str, size: int) -> Iterator[None]:
        """Count an upload of `size` bytes while it is under way."""
        with self._lock:
            self._coming[caller] = self._coming.get(caller, 0) + size
        try:
            yield
        finally:
            with self._lock:
                self._coming[caller] -= size
                if not self._coming[caller]:
                    del self._coming[caller]

    def receives(self, caller: str) -> bool:
        """Whether a caller may upload more.  Uploads that are under way count."""
        return self.disk(caller) <= (self.limits.caller_mb + SPARE * self.limits.upload_mb) * MB

    def disk(self, caller: str) -> int:
        """Bytes that a caller's files take; a file with two names counts once."""
        with self._lock:
            entries, total = list(self._held.get(caller, {}).items()), self._coming.get(caller, 0)
        sizes: dict[tuple[int, int], int] = {}
        for path, entry in entries:
            total += (entry.size or 0) if entry.until > time.time() else 0
            for found in _files(path) if entry.size is None else ():
                same, least = (found.st_dev, found.st_ino), LEAST if entry.upload else 0
                sizes[same] = max(sizes.get(same, 0), found.st_size, least)
        return total + sum(sizes.values())

    def check(self, caller: str) -> None:
        """Raise LimitError when a caller's files have reached the quota."""
        used, most = self.disk(caller) // MB, self.limits.caller_mb
        if used >= most:
            raise LimitError(
                f"the files from your address take {used} MB on this server, {most} are allowed; try again "
                f"later: files of an API call are removed after {self.limits.answer_minutes} minutes, those "
                f"of a page after {self.limits.lifetime_minutes} minutes without use"
            )

    def drop(self, caller: str, paths: Collection[str]) -> None:
        """Remove the uploads of a refused request, except those that another caller uses too."""
        for path in map(Path, paths):
            with self._lock:
                entry = self._held.get(caller, {}).get(path)
                if entry is None or not entry.upload:
                    continue
                del self._held[caller][path]
                shared = any(path in entries for entries in self._held.values())
            if not shared:
                _remove(path)

    def sweep(self, in_use: Collection[str] = (), now: float | None = None) -> None:
        """Remove answers and uploads whose time is over, but no upload that a waiting request needs."""
        now = now or time.time()
        for folder in self.answers.glob("*"):
            with suppress(OSError):
                if folder.stat().st_mtime < now - 60 * self.limits.answer_minutes:
                    shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            over = set()
            for caller, entries in list(self._held.items()):
                for path, entry in list(entries.items()):
                    gone = entry.size is None and not path.exists()
                    if gone or (entry.until < now and str(path) not in in_use):
                        del entries[path]
                        over |= {path} if entry.upload else set()
                if not entries:
                    del self._held[caller]
            kept = {path for entries in self._held.values() for path in entries}
        for path in over - kept:
            _remove(path)

    def _note(self, caller: str, path: str | Path, entry: _Held) -> None:
        with self._lock:
            self._held.setdefault(caller, {})[Path(path)] = entry


def answers_folder(limits: Limits) -> Path:
    """Where the files of finished API calls lie, apart from what they were made of."""
    return limits.root / "stm_answers"


def caller_of(host: str | None, headers: Mapping[str, str]) -> str:
    """The address that a request comes from.

    On a Space every request comes through the host's proxy, which appends the address that it saw to the
    header; earlier entries were written by the client.  Elsewhere the web server has read the header already.
    """
    if os.environ.get("SPACE_ID"):
        for word in reversed(headers.get("x-forwarded-for", "").split(",")):
            with suppress(ValueError):
                if ipaddress.ip_address(word.strip()).is_global:
                    return word.strip()
    return host or ""


def _files(path: Path) -> Iterator[os.stat_result]:
    """The stat of a file, or of all files in a folder; files that vanish meanwhile are left out."""
    found: Iterable[Path] = [path]
    if path.is_dir():
        found = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    for one in found:
        with suppress(OSError):
            yield one.stat()


def _remove(path: Path) -> None:
    """Remove an upload and the folder that Gradio made for it."""
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()
