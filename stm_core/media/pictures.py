"""Clips made of pictures: a folder, a ZIP (read in place, never unpacked), an animated WebP.

All three answer alike: `len()`, `times` (seconds), `frame(n)` -> uint8 (H, W, 3) RGB upright.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from stm_core.errors import VideoError
from stm_core.media.limits import VideoLimits
from stm_core.media.still import PICTURE_ERRORS, open_picture, to_rgb
from stm_core.media.upright import WINDOW_BYTES
from stm_core.media.webp import AnimatedWebP

FOLDER_FPS = 24  # pictures carry no clock; DAVIS is shown at 24
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


class PictureList:
    """Frames of a folder or ZIP, in the natural order of their names (2 before 10)."""

    def __init__(self, path: Path, limits: VideoLimits):
        self.path, self.limits = path, limits
        self.warnings: list[str] = []
        self._zip = None if path.is_dir() else _open_zip(path)
        try:
            self.names = self._list_zip() if self._zip else self._list_folder()
            if not self.names:
                raise VideoError(
                    f"{path.name!r} holds no pictures; expected {', '.join(sorted(SUFFIXES))} files"
                )
            limits.check_frames(len(self.names), path.name)
            limits.check_seconds(len(self.names) / FOLDER_FPS, path.name)
            self.height, self.width = self._read(0).shape[:2]
        except BaseException:
            self.close()
            raise
        self.times = [n / FOLDER_FPS for n in range(len(self.names))]

    def __len__(self) -> int:
        return len(self.names)

    def close(self) -> None:
        """Let go of the ZIP."""
        if self._zip:
            self._zip.close()

    def frame(self, n: int) -> np.ndarray:
        """uint8 (H, W, 3) of picture n.  Raises VideoError if it is damaged, or not as large as the first."""
        rgb = self._read(n)
        if rgb.shape[:2] != (self.height, self.width):
            raise VideoError(
                f"{self.names[n]!r} is {rgb.shape[1]}x{rgb.shape[0]}, the first picture is "
                f"{self.width}x{self.height}; give all pictures of a clip one size"
            )
        return rgb

    def _read(self, n: int) -> np.ndarray:
        name = self.names[n]
        try:
            data = self._zip.read(name) if self._zip else (self.path / name).read_bytes()
        except (zipfile.BadZipFile, RuntimeError, OSError, EOFError, ValueError) as error:
            raise VideoError(
                f"{name!r} in {self.path.name!r} cannot be read ({_reason(error)}); copy or pack it again"
            ) from error
        except Exception as error:  # zlib.error, lzma.LZMAError: only damaged data raises them
            raise VideoError(f"{name!r} in {self.path.name!r} is damaged; pack it again") from error
        with open_picture(io.BytesIO(data), name, self.limits) as image:
            try:
                return to_rgb(image)
            except PICTURE_ERRORS as error:
                raise VideoError(f"{name!r} is a damaged picture; export it again") from error

    def _list_folder(self) -> list[str]:
        files = [f for f in self.path.iterdir() if _is_picture(f.name) and f.is_file()]
        self.limits.check_frames(len(files), self.path.name)
        self.limits.check_bytes(sum(f.stat().st_size for f in files), self.path.name)
        return sorted((f.name for f in files), key=natural)

    def _list_zip(self) -> list[str]:
        entries = [e for e in self._zip.infolist() if not e.is_dir() and _is_picture(e.filename)]
        self.limits.check_frames(len(entries), self.path.name)
        # zipfile stops at the stated size and raises if an entry holds anything else
        self.limits.check_bytes(sum(e.file_size for e in entries), f"{self.path.name} (unpacked)")
        for entry in self._zip.infolist():
            parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
            if ".." in parts or entry.filename.startswith(("/", "\\")) or (parts and ":" in parts[0]):
                raise VideoError(
                    f"{self.path.name!r} has an entry that points outside ({entry.filename!r}); pack it again"
                )
            if entry.flag_bits & 1:
                raise VideoError(f"{self.path.name!r} is locked with a password; pack it without one")
        folders = {PurePosixPath(e.filename).parent for e in entries}
        if len(folders) > 1:
            raise VideoError(
                f"{self.path.name!r} has pictures in {len(folders)} folders; pack the frames of one clip only"
            )
        return sorted((e.filename for e in entries), key=natural)


def natural(name: str) -> list:
    """Sort key: runs of digits count as numbers, so frame2 comes before frame10."""

    def key(part: str) -> tuple[int, int, str]:
        digits = part.lstrip("0")  # compared without int(), which refuses thousands of digits
        return (0, len(digits), digits) if part.isascii() and part.isdigit() else (1, 0, part)

    return [key(part) for part in re.split(r"([0-9]+)", name)]


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise VideoError(f"{path.name!r} is a damaged ZIP file ({_reason(error)}); pack it again") from error


def _reason(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error) if str(error) else type(error).__name__
    return text.splitlines()[0][:80]


def open_pictures(path: Path, kind: str, limits: VideoLimits) -> PictureList | AnimatedWebP:
    """The pictures of a "folder", "zip" or "webp".  Raises VideoError, LimitError."""
    return AnimatedWebP(path, limits) if kind == "webp" else PictureList(path, limits)


def numbered(
    pictures: PictureList | AnimatedWebP, start: int, stop: int | None, reverse: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """(number, rgb) of pictures `start` to `stop` - 1, or the same from the end."""
    stop = len(pictures) if stop is None else min(stop, len(pictures))
    if not reverse:
        yield from ((n, pictures.frame(n)) for n in range(start, stop))
        return
    # a WebP can only be decoded forwards: each step back would begin at the first frame again
    window = 1
    if isinstance(pictures, AnimatedWebP):
        window = max(4, WINDOW_BYTES // (pictures.width * pictures.height * 3))
    while stop > start:
        low = max(start, stop - window)
        held = [(n, pictures.frame(n)) for n in range(low, stop)]
        yield from reversed(held)
        stop = low
