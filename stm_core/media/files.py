"""Files that are whole or not there, and the sentence for a disk that refuses."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from stm_core.errors import DiskError

_making: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # a lock for each file being made
_making_lock = threading.Lock()


class Whole:
    """A file that appears under its name only when it is finished: `with Whole(path) as part: ...`.

    part: the name to write to until then, in the same folder.
    lasting: wait until the data is on the disk itself before it gets its name, for what took hours.
    After an error inside the block nothing is left of it, and what `path` held before stays.
    Without `with`, call `keep` or `drop`.
    Raises DiskError when the disk refuses.
    """

    def __init__(self, path: Path, lasting: bool = False):
        self.path, self.lasting = path, lasting
        self.part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")

    def __enter__(self) -> Path:
        return self.part

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.keep()
            return
        self.drop()
        if isinstance(error, OSError):
            raise disk_error(self.path, error) from error

    def keep(self) -> None:
        """Give the finished file its name.  Raises DiskError."""
        try:
            if self.lasting:
                _to_disk(self.part)
            self.part.replace(self.path)
        except OSError as error:
            raise disk_error(self.path, error) from error
        finally:
            self.drop()

    def drop(self) -> None:
        """Remove what was written; a finished file stays."""
        with contextlib.suppress(OSError):
            self.part.unlink()


class WholeFolder(Whole):
    """The same for a folder, which replaces the one before it.

    Files that only the old folder has are moved into the new one.
    """

    def __init__(self, path: Path, lasting: bool = False):
        super().__init__(path, lasting)
        self.before = set_aside(path)

    def __enter__(self) -> Path:
        try:
            self.part.mkdir(parents=True)
        except OSError as error:
            raise disk_error(self.path, error) from error
        return self.part

    def keep(self) -> None:
        """Give the finished folder its name.  Raises DiskError."""
        try:
            if self.lasting:
                for file in self.part.iterdir():
                    _to_disk(file)
            if self.path.exists():
                _merge(self.before, self.path)  # of a run that was killed here
                self.path.rename(self.before)
            self.part.rename(self.path)
            _merge(self.before, self.path)
        except OSError as error:
            raise disk_error(self.path, error) from error
        finally:
            self.drop()

    def drop(self) -> None:
        """Remove what was written; a finished folder stays."""
        shutil.rmtree(self.part, ignore_errors=True)


def leftovers(folder: Path) -> list[tuple[Path, Path]]:
    """What killed writers left in a folder: each with the path that it was to have."""
    named = [(path, re.fullmatch(r"\.(.+)\.[0-9a-f]{8}\.part", path.name)) for path in folder.glob(".*.part")]
    return [(path, path.with_name(found[1])) for path, found in named if found]


def sweep(path: Path) -> None:
    """Remove what killed writers left of one file or folder."""
    for part, whole in leftovers(path.parent):
        if whole == path:
            shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Where the folder before lies between the two renames of a WholeFolder."""
    return path.with_name(f".{path.name}.old")


def _merge(before: Path, folder: Path) -> None:
    """Remove a folder. Files that only it has are not ours and move into the other folder."""
    for file in before.iterdir() if before.exists() else ():
        if not (folder / file.name).exists():
            file.rename(folder / file.name)
    shutil.rmtree(before, ignore_errors=True)


def write_whole(path: Path, data: bytes, lasting: bool = False) -> None:
    """Write a file that is whole or not there.  Raises DiskError when the disk refuses."""
    with Whole(path, lasting) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """One thread at a time makes this file; the others wait, and find it there."""
    with _making_lock:
        lock = _making.setdefault(os.path.abspath(path), threading.Lock())
    with lock:
        yield


def disk_error(path: Path, error: OSError) -> DiskError:
    """The sentence for a refused write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(
            f"the disk is full while writing {path}; finished files are kept, free some space and run again"
        )
    return DiskError(f"cannot write {path}: {error.strerror or error}; check its folder")


def _to_disk(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
