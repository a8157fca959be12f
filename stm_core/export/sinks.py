"""Where the files of an export go."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from stm_core.media.files import Whole, disk_error, write_whole
from stm_core.media.write import VideoWriter
from stm_core.media.written import Written


class Sink(Protocol):
    """Takes the files of one format, by the names that were planned.

    warnings: what a film could not keep, such as the sound.
    """

    warnings: list[str]

    def add(self, name: str, data: bytes) -> None:
        """Take a file."""

    def film(self, name: str, width: int, height: int, **how: Any) -> VideoWriter:
        """A writer of a film under this name; `how` as VideoWriter takes it."""


class FolderSink:
    """A folder below a folder of results, in which our own files may be replaced."""

    def __init__(self, results: Written, folder: str):
        self._results, self._folder = results, folder
        self.warnings: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        """As Sink.add.  Raises DiskError."""
        self._results.write(self._place(name), data)

    def film(self, name: str, width: int, height: int, **how: Any) -> VideoWriter:
        """As Sink.film."""
        full = self._place(name)
        note = self._results.note
        return VideoWriter(
            self._results.folder / full, width, height, finished=lambda part: note(full, part), **how
        )

    def _place(self, name: str) -> str:
        full = f"{self._folder}/{name}"
        try:
            (self._results.folder / full).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(self._results.folder / full, error) from error
        return full


class FileSink:
    """One file whose place is given, for a format that makes one."""

    def __init__(self, path: Path):
        self._path = path
        self.warnings: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        """As Sink.add."""
        write_whole(self._path, data)

    def film(self, name: str, width: int, height: int, **how: Any) -> VideoWriter:
        """As Sink.film."""
        return VideoWriter(self._path, width, height, **how)


class ZipSink:
    """A ZIP of all files; it appears when it is closed without an error."""

    def __init__(self, path: Path):
        self._whole = Whole(path)
        # its files are compressed already, except for text, which is added with compression
        self._pack = zipfile.ZipFile(self._whole.part, "w", zipfile.ZIP_STORED)
        self._film = path.with_name(f".{path.name}.film")
        self.warnings: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        """As Sink.add."""
        text = name.endswith((".json", ".xml", ".txt", ".yaml"))
        self._pack.writestr(name, data, zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED)

    def film(self, name: str, width: int, height: int, **how: Any) -> VideoWriter:
        """As Sink.film; one at a time."""
        return VideoWriter(
            self._film, width, height, finished=lambda part: self._pack.write(part, name), **how
        )

    def __enter__(self) -> ZipSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._film.unlink(missing_ok=True)
        self._pack.close()
        self._whole.__exit__(kind, error, trace)


@contextmanager
def one_file(path: Path, single: bool) -> Iterator[Sink]:
    """A sink that makes one file: the format's single file, or else a ZIP of its files."""
    if single:
        yield FileSink(path)
        return
    with ZipSink(path) as sink:
        yield sink
