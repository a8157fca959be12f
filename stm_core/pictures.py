"""Clips made of pictures: a folder, a ZIP (read in place, never unpacked), an animated WebP.

All three answer alike: `len()`, `times` (seconds), `frame(n)` -> uint8 (H, W, 3) RGB upright.
"""

import io
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stm_core.errors import LimitError, VideoError
from stm_core.limits import VideoLimits
from stm_core.upright import WINDOW_BYTES, over_background

FOLDER_FPS = 24  # pictures carry no clock; DAVIS is shown at 24
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # the decoders that may look at a stranger's picture
PICTURE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    struct.error,
    UnidentifiedImageError,
    EOFError,
    IndexError,
    MemoryError,
)


def open_picture(data, name: str, limits: VideoLimits, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """A Pillow image (not decoded yet) of a path or binary file, its size checked first.

    Raises VideoError if it is no picture, LimitError if it is too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit comes next
            image = Image.open(data, formats=formats)
    except Image.DecompressionBombError as error:
        raise LimitError(f"{name!r} is far too large a picture; scale it down first") from error
    except PICTURE_ERRORS as error:
        raise VideoError(
            f"{name!r} is not a picture that can be read; expected {', '.join(formats)}"
        ) from error
    limits.check_pixels(*image.size, repr(name))
    return image


def to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3) of any Pillow image: EXIF orientation applied, 16 bit scaled, no transparency."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip at 255
        grey = np.asarray(image).astype(np.int64)
        grey = (np.clip(grey, 0, 65535) / 257 + 0.5).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return over_background(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


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
        """uint8 (H, W, 3) of picture n; all have the size of the first.  Raises VideoError otherwise."""
        rgb = self._read(n)
        if rgb.shape[:2] != (self.height, self.width):
            raise VideoError(
                f"{self.names[n]!r} is {rgb.shape[1]}x{rgb.shape[0]}, the first picture is "
                f"{self.width}x{self.height}; all frames of a clip need one size"
            )
        return rgb

    def _read(self, n: int) -> np.ndarray:
        name = self.names[n]
        try:
            data = self._zip.read(name) if self._zip else (self.path / name).read_bytes()
        except (
            zipfile.BadZipFile,
            RuntimeError,
            NotImplementedError,
            OSError,
            EOFError,
            ValueError,
        ) as error:
            raise VideoError(
                f"{name!r} in {self.path.name!r} cannot be read ({_reason(error)}); pack or copy it again"
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
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise VideoError(f"{path.name!r} is a damaged ZIP file ({_reason(error)}); pack it again") from error


def _reason(error: Exception) -> str:
    return (
        str(getattr(error, "strerror", None) or error).splitlines()[0][:80]
        if str(error)
        else type(error).__name__
    )


class AnimatedWebP:
    """Frames of an animated WebP through Pillow (FFmpeg does not read them)."""

    def __init__(self, path: Path, limits: VideoLimits):
        self.path = path
        data, durations, complete = _whole_webp(path, limits)
        self.warnings = (
            [] if complete else [f"{path.name} is cut short: its end is missing, what is there will be used"]
        )
        if not durations:
            raise VideoError(f"not one frame of {path.name!r} could be decoded; export it again")
        self._image = open_picture(io.BytesIO(data), path.name, limits, ("WEBP",))
        self.width, self.height = self._image.size
        frames = min(len(durations), getattr(self._image, "n_frames", 1))
        limits.check_frames(frames, path.name)
        self.times = [float(t) for t in np.cumsum([0.0] + durations)[:frames]]
        self.seconds = float(sum(durations[:frames]))
        limits.check_seconds(self.seconds, path.name)

    def __len__(self) -> int:
        return len(self.times)

    def close(self) -> None:
        """Let go of the picture."""
        self._image.close()

    def frame(self, n: int) -> np.ndarray:
        """uint8 (H, W, 3) of frame n.  Raises VideoError where the file is damaged."""
        try:
            self._image.seek(n)
            return to_rgb(self._image)
        except PICTURE_ERRORS as error:
            raise VideoError(f"frame {n} of {self.path.name!r} is damaged; export it again") from error


def _whole_webp(path: Path, limits: VideoLimits) -> tuple[bytes, list[float], bool]:
    """(the file up to its last whole chunk, seconds of each frame in it, True if nothing is missing).

    Pillow refuses a WebP that is cut short, so the length in its head is set to what is there.
    """
    data = path.read_bytes()
    durations, end = [], 12
    while end + 8 <= len(data):
        name, length = struct.unpack("<4sI", data[end : end + 8])
        following = end + 8 + length + (length & 1)
        if following > len(data):
            break
        if name == b"ANMF":
            milliseconds = int.from_bytes(data[end + 20 : end + 23], "little")
            durations.append(
                (milliseconds or 100) / 1000
            )  # 0 means "as fast as possible": browsers show 100 ms
            limits.check_frames(len(durations), path.name)
        end = following
    stated = struct.unpack("<I", data[4:8])[0] + 8
    return data[:4] + struct.pack("<I", end - 8) + data[8:end], durations, stated <= end


def open_pictures(path: Path, kind: str, limits: VideoLimits) -> PictureList | AnimatedWebP:
    """The pictures of a "folder", "zip" or "webp".  Raises VideoError, LimitError."""
    return AnimatedWebP(path, limits) if kind == "webp" else PictureList(path, limits)


def numbered(
    pictures: PictureList | AnimatedWebP, start: int, stop: int | None, reverse: bool, max_side: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """(number, rgb) of pictures start .. stop - 1, scaled down to max_side; or the same from the end."""
    stop = len(pictures) if stop is None else min(stop, len(pictures))
    if not reverse:
        yield from ((n, _fit(pictures.frame(n), max_side)) for n in range(start, stop))
        return
    # a WebP can only be decoded forwards: each step back would begin at the first frame again
    window = (
        max(4, WINDOW_BYTES // (pictures.width * pictures.height * 3))
        if isinstance(pictures, AnimatedWebP)
        else 1
    )
    while stop > start:
        low = max(start, stop - window)
        held = [(n, _fit(pictures.frame(n), max_side)) for n in range(low, stop)]
        yield from reversed(held)
        stop = low


def _fit(rgb: np.ndarray, max_side: int | None) -> np.ndarray:
    height, width = rgb.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return rgb
    scale = max_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))
