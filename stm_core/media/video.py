"""Read a clip: what it is (`probe`), its frames as a stream (`read_video`), one frame of it (`read_frame`).

A clip is never held in memory: frames are decoded as they are asked for, and again where a second pass
is needed.
"""

import logging
import os
from collections.abc import Iterator

import av.error
import numpy as np

from stm_core.errors import OptionError, VideoError
from stm_core.media.containers import cut_short
from stm_core.media.decode import Decoder, backwards
from stm_core.media.limits import SAFE_LIMITS, VideoLimits
from stm_core.media.pictures import numbered, open_pictures
from stm_core.media.probe import VideoInfo, probe
from stm_core.media.upright import Upright

log = logging.getLogger(__name__)

__all__ = ["VideoInfo", "VideoLimits", "VideoReader", "probe", "read_frame", "read_video"]


def read_video(
    path: "str | os.PathLike | VideoInfo",
    limits: VideoLimits = SAFE_LIMITS,
    start: int = 0,
    stop: int | None = None,
    reverse: bool = False,
    alpha: bool = False,
) -> "VideoReader":
    """A reader that yields frames `start` to `stop` - 1 as uint8 (H, W, 3) RGB, upright, with square pixels.

    path: of a clip, or what `probe` said of it: then it is not probed again.
    reverse: from stop - 1 down to start, in bounded memory.
    alpha: of a film, uint8 (H, W, 4) RGBA instead; else what is transparent is shown on white.
    Raises VideoError, LimitError (also while reading), OptionError.
    """
    return VideoReader(path, limits, start, stop, reverse, alpha)


def read_frame(path: str | os.PathLike, index: int, limits: VideoLimits = SAFE_LIMITS) -> np.ndarray:
    """Frame `index` as uint8 (H, W, 3) RGB; quick once it was read.  Raises VideoError if there is none."""
    with read_video(path, limits, start=index, stop=index + 1) as reader:
        for frame in reader:
            return frame
        raise VideoError(
            f"{reader.info.path.name!r} has no frame {index}; choose one from 0 to {reader.info.frames - 1}"
        )


class VideoReader:
    """Iterate once over the frames of a clip; close it, or use it as a context manager.

    info: what the clip is.
    times: seconds, in the file's clock, of each frame yielded so far.
    indices: the number of each of these frames.
    warnings: what a user should know, such as damaged parts; it grows while decoding.
    """

    def __init__(
        self,
        path: "str | os.PathLike | VideoInfo",
        limits: VideoLimits,
        start: int,
        stop: int | None,
        reverse: bool,
        alpha: bool = False,
    ):
        if not 0 <= start <= (start if stop is None else stop):
            raise OptionError(f"frames {start} to {stop} are not a range; give 0 <= start <= stop")
        self.info = path if isinstance(path, VideoInfo) else probe(path, limits)
        self.warnings = list(self.info.warnings)
        self.times: list[float] = []
        self.indices: list[int] = []
        self._range = (start, stop, reverse)
        self._limits, self._alpha = limits, alpha
        self._frames = (
            self._read_pictures()
            if self.info.container in ("folder", "zip", "webp")
            else self._read_container()
        )

    def __iter__(self) -> "VideoReader":
        return self

    def __next__(self) -> np.ndarray:
        return next(self._frames)

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the reader yields nothing more."""
        try:
            self._frames.close()
        except ValueError:  # another thread is just decoding a frame; the file is let go with the reader
            log.debug("%s was closed while a frame was decoded", self.info.path.name)

    def _read_container(self) -> Iterator[np.ndarray]:
        with Decoder(self.info.path, self._limits) as decoder:
            try:
                for n, tick, rgb in self._decoded(decoder):
                    yield self._seen(rgb, n, decoder.seconds(tick))
            except av.error.FFmpegError as error:
                raise VideoError(
                    f"{self.info.path.name!r} cannot be read to its end: {error.strerror}; "
                    "convert it to MP4 (H.264)"
                ) from error
            self._tell_losses(decoder)

    def _decoded(self, decoder: Decoder) -> Iterator[tuple[int, int, np.ndarray]]:
        """(number, tick, rgb) of the frames, in the order in which they are wanted."""
        start, stop, reverse = self._range
        upright = None
        for n, tick, frame in decoder.frames() if reverse else decoder.window(start, stop):
            upright = upright or Upright(frame, decoder.stream.sample_aspect_ratio, self._alpha)
            if reverse:  # the first frame has shown how to turn them all
                yield from backwards(decoder, start, stop, upright)
                return
            yield n, tick, upright(frame)

    def _tell_losses(self, decoder: Decoder) -> None:
        if decoder.damaged:
            self.warnings.append(
                f"{decoder.damaged} damaged packet{'s' * (decoder.damaged > 1)} could not be decoded"
            )
        found = len(decoder.index.ticks)
        broken = decoder.damaged or cut_short(self.info.path, self.info.container)
        if broken and decoder.index.complete and found < self.info.frames:
            self.warnings.append(f"{found} of {self.info.frames} frames could be decoded")

    def _read_pictures(self) -> Iterator[np.ndarray]:
        start, stop, reverse = self._range
        pictures = open_pictures(self.info.path, self.info.container, self._limits)
        try:
            for n, rgb in numbered(pictures, start, stop, reverse):
                yield self._seen(rgb, n, pictures.times[n])
        finally:
            pictures.close()

    def _seen(self, rgb: np.ndarray, n: int, seconds: float) -> np.ndarray:
        self.indices.append(n)
        self.times.append(seconds)
        return rgb
