"""Which files earlier runs of ours wrote, so that nothing else is ever replaced.

A run notes every file with a checksum of its content before the file gets its name. A file that somebody else
put there, or changed since, does not match its note. While a run writes, and after it was killed, the notes
are in a file beside the results. At the end they go into `report.json`, under "files". A JSON file of ours
ends with a seal, a checksum of its own content.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from stm_core.errors import OptionError
from stm_core.media.files import disk_error, leftovers, write_whole

FILES, SEAL = "files", "seal"
SHORT = 16  # hex digits of a checksum: enough against accidents


class Written:
    """The files that our runs wrote into a folder.

    notes: name of the file of notes.
    report: name of the JSON report that takes over the notes at the end, if there is one.
    begun: whether this run has begun to write.
    """

    def __init__(self, folder: Path, notes: str, report: str | None = None):
        self.folder, self._notes = folder, folder / notes
        self._report = None if report is None else folder / report
        self.begun = False
        self._lock = threading.Lock()
        self._known: dict[str, list[str]] = {}  # the newest last
        for name, digest in [*self._reported(), *self._noted()]:
            if isinstance(name, str) and ".." not in Path(name).parts and not Path(name).is_absolute():
                self._known.setdefault(name, []).append(digest)
        self._folders = {folder, *((folder / name).parent for name in self._known)}

    @property
    def names(self) -> list[str]:
        """The files that were noted, relative to the folder."""
        return list(self._known)

    def owns(self, name: str) -> bool:
        """Whether the file has not changed since a run of ours wrote it."""
        return name in self._known and digest_of(self.folder / name) in self._known[name]

    def check(self, names: Iterable[str]) -> None:
        """Raises OptionError when one of these files exists and is not ours.  Changes nothing."""
        if self._report is not None:
            check_sealed(self._report)
        for name in names:
            if os.path.lexists(self.folder / name) and not self.owns(name):
                raise not_ours(self.folder / name)

    def begin(self, clear: Callable[[str], bool]) -> None:
        """Begin to write: remove the report of an earlier run, and its files for which `clear(name)` is true.

        Raises DiskError.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._known = {name: [digest_of(self.folder / name)] for name in self.names if self.owns(name)}
            lines = [_line(name, digest) for name, (digest,) in self._known.items()]
            write_whole(self._notes, "".join(lines).encode())  # the next run's, if this is killed
            if self._report is not None:
                self._report.unlink(missing_ok=True)
            self.begun = True
        except OSError as error:
            raise disk_error(self.folder, error) from error
        self.clear(clear)

    def clear(self, which: Callable[[str], bool]) -> None:
        """Remove the files of earlier runs for which `which(name)` is true, unfinished ones too.

        Raises DiskError.
        """
        try:
            for name in filter(which, self.names):
                if self.owns(name):
                    (self.folder / name).unlink()
                del self._known[name]
            for part, path in (pair for folder in self._folders for pair in leftovers(folder)):
                if which(path.relative_to(self.folder).as_posix()):
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(self.folder, error) from error

    def note(self, name: str, content: bytes | Path) -> None:
        """Note a file of ours before it gets its name.  content: its bytes, or where they lie now."""
        digest = digest_of(content) if isinstance(content, Path) else _short(content)
        with self._lock:
            self._known.setdefault(name, []).append(digest)
            try:
                with self._notes.open("a", encoding="utf-8") as file:
                    file.write(_line(name, digest))
            except OSError as error:
                raise disk_error(self._notes, error) from error

    def write(self, name: str, data: bytes) -> None:
        """Note a file and write it whole.  Raises DiskError."""
        self.note(name, data)
        write_whole(self.folder / name, data)

    def report(self, content: dict) -> dict:
        """The report as written, with the files that are there now. It replaces the notes."""
        with self._lock:
            files = {
                name: digests[-1]
                for name, digests in sorted(self._known.items())
                if os.path.lexists(self.folder / name)
            }
        content = _with_seal({**content, FILES: files})
        assert self._report is not None, "made without a report"
        write_whole(self._report, as_json(content), lasting=True)
        self._notes.unlink(missing_ok=True)
        return content

    def _reported(self) -> list[tuple[str, str]]:
        found = None if self._report is None else _read(self._report)
        files = found.get(FILES) if isinstance(found, dict) and is_sealed(found) else None
        return list(files.items()) if isinstance(files, dict) else []

    def _noted(self) -> list[tuple[str, str]]:
        pairs = []
        try:
            lines = self._notes.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        for line in lines:
            try:
                name, digest = json.loads(line)
            except (ValueError, TypeError):  # cut short by a kill
                continue
            pairs.append((name, digest))
        return pairs


def check_sealed(path: Path) -> None:
    """Raises OptionError when the file exists and is not JSON of ours, or was changed since."""
    if os.path.lexists(path) and not (path.is_file() and is_sealed(_read(path))):
        raise not_ours(path)


def check_absent(path: Path) -> None:
    """Raises OptionError when the file exists already."""
    if os.path.lexists(path):
        raise OptionError(f"{path} exists and would be replaced; choose another name, or remove it first")


def not_ours(path: Path) -> OptionError:
    """The error for a file that must not be replaced."""
    return OptionError(
        f"{path} would be replaced, but no earlier run wrote it, or it was changed since; choose another "
        "place for the results, or move it away"
    )


def sealed(content: dict | list) -> dict | list:
    """The content with a checksum of itself; a list has one in every row."""
    if isinstance(content, list):
        return [_with_seal(row) for row in content]
    return _with_seal(content)


def _with_seal(content: dict) -> dict:
    bare = {key: value for key, value in content.items() if key != SEAL}
    return {**bare, SEAL: _short(json.dumps(bare).encode())}


def is_sealed(content: object) -> bool:
    """Whether the content has the seal that `sealed` gave it."""
    if isinstance(content, list):
        return bool(content) and all(isinstance(row, dict) and is_sealed(row) for row in content)
    return isinstance(content, dict) and content.get(SEAL) == _with_seal(content)[SEAL]


def as_json(content: dict | list) -> bytes:
    """Indented JSON."""
    return (json.dumps(content, indent=2) + "\n").encode()


def digest_of(path: Path) -> str:
    """A short checksum of a file's content; "" when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:SHORT]
    except OSError:
        return ""


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:SHORT]


def _line(name: str, digest: str) -> str:
    return json.dumps([name, digest]) + "\n"


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
