"""Where the files of an export go."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
    """A ZIP of all files.

    pack: open for writing.
    film: where a film lies until it is finished.
    """

    def __init__(self, pack: zipfile.ZipFile, film: Path):
        self._pack, self._film = pack, film
        self.warnings: list[str] = []

    def add(self, name: str, data: bytes) -> None:
        """As Sink.add.  Text is compressed; everything else is already."""
        text = name.endswith((".json", ".xml", ".txt", ".yaml"))
        self._pack.writestr(name, data, zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED)

    def film(self, name: str, width: int, height: int, **how: Any) -> VideoWriter:
        """As Sink.film; one at a time."""
        return VideoWriter(
            self._film, width, height, finished=lambda part: self._pack.write(part, name), **how
        )


@contextmanager
def one_file(path: Path, single: bool) -> Iterator[Sink]:
    """A sink that makes one file: the format's single file, or else a ZIP of its files.

    The file is whole or not there.  Raises DiskError.
    """
    if single:
        yield FileSink(path)
        return
    film = path.with_name(f".{path.name}.film")
    try:
        with Whole(path) as part, zipfile.ZipFile(part, "w") as pack:
            yield ZipSink(pack, film)
    finally:
        film.unlink(missing_ok=True)
