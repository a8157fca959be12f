"""Animated WebP, which FFmpeg does not read: through Pillow."""

import io
import struct
from pathlib import Path

import numpy as np

from stm_core.errors import VideoError
from stm_core.media.limits import VideoLimits
from stm_core.media.still import PICTURE_ERRORS, open_picture, to_rgb, upright_size


class AnimatedWebP:
    """Frames of an animated WebP through Pillow (FFmpeg does not read them)."""

    def __init__(self, path: Path, limits: VideoLimits):
        self.path = path
        data, durations, complete = _whole_webp(path, limits)
        self.warnings = (
            [] if complete else [f"{path.name} is cut short: its end is missing; the rest will be used"]
        )
        if not durations:
            raise VideoError(f"not one frame of {path.name!r} could be decoded; export it again")
        self._image = open_picture(io.BytesIO(data), path.name, limits, ("WEBP",))
        self.width, self.height = upright_size(self._image)
        frames = min(len(durations), getattr(self._image, "n_frames", 1))
        limits.check_frames(frames, path.name)
        self.times = [float(t) for t in np.cumsum([0.0, *durations])[:frames]]
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
            # 0 means "as fast as possible", for which browsers take 100 ms
            durations.append((milliseconds or 100) / 1000)
            limits.check_frames(len(durations), path.name)
        end = following
    stated = struct.unpack("<I", data[4:8])[0] + 8
    return data[:4] + struct.pack("<I", end - 8) + data[8:end], durations, stated <= end
