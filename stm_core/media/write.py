"""Write a clip, in one of the `kinds`, with times and sound of the source.

The file appears under its name only when it is finished; until then it has a temporary name beside it.
"""

import contextlib
import math
import os
from collections.abc import Callable
from fractions import Fraction
from numbers import Real
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.frame import PictureType

from stm_core.errors import OptionError, VideoError
from stm_core.media.coded import Coded
from stm_core.media.containers import file_url
from stm_core.media.files import Whole
from stm_core.media.kinds import KINDS, check_sides
from stm_core.media.limits import NO_LIMITS
from stm_core.media.sound import SoundTrack
from stm_core.media.video import probe

USUAL_CLOCK = Fraction(1, 90_000)
KEYFRAME_SECONDS = 1.0  # a player can jump to any second


class VideoWriter:
    """Writes frames with their times; use it as a context manager.

    path: where the finished file will be.
    width, height: of the frames, in pixels; odd sizes are padded if 2x2 pixels share a colour in the format.
    source: the clip whose clock, colour tags and sound are kept.
    kind: "mp4" (H.264, yuv420p, AAC or MP3), "webm-alpha" (VP9 with alpha, Opus or Vorbis), "prores4444"
        (MOV with alpha) or "matte" (H.264 for black and white, silent).
    fps: for frames without a time, and without a source.
    offset: seconds of the source that become 0 here.
    finished: called with the path of the finished file before it gets its name.
    warnings: what could not be kept, such as the sound.
    An error or Ctrl-C inside the block leaves no file.
    Raises VideoError, OptionError, LimitError.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        width: int,
        height: int,
        *,
        source: str | os.PathLike | None = None,
        kind: str = "mp4",
        fps: float | None = None,
        offset: float = 0.0,
        finished: Callable[[Path], None] | None = None,
    ):
        if not isinstance(kind, str) or kind not in KINDS:
            raise OptionError(f"there is no kind of video called {kind!r}; choose {' or '.join(KINDS)}")
        self.path, self.kind = Path(path), kind
        self.width, self.height = width, height
        if not min(width, height) >= 1:
            raise OptionError(f"a video of {width}x{height} pixels cannot be written; give at least 1x1")
        check_sides(self.path.name, self.width, self.height, kind)
        if fps is not None and not (isinstance(fps, Real) and 0 < fps < float("inf")):
            raise OptionError(f"a video of {fps} frames a second cannot be written; give a number above 0")
        if not self.path.parent.is_dir():
            raise VideoError(f"cannot write {self.path.name!r}: there is no folder {str(self.path.parent)!r}")
        self.warnings: list[str] = []
        self.frames = 0
        self._offset = offset
        self._kind = KINDS[kind]
        self._whole, self._finished = Whole(self.path), finished
        info = probe(source, NO_LIMITS) if source is not None else None
        self._source = info
        self._clock = info.time_base if info else USUAL_CLOCK
        if self._clock.denominator > 10**6:  # Matroska can count nanoseconds; MP4 players cannot
            self._clock = USUAL_CLOCK
        self._fps = fps or (info.fps if info else 24.0)
        self._coded = Coded(self._kind, height, width, info.colour if info else (0, 0, 0))
        self._last_tick: int | None = None
        self._last_key = 0.0
        self._sound = None
        try:
            flags = {"movflags": "+faststart"} if self._kind.muxer != "webm" else {}
            self._out = av.open(file_url(self._whole.part), "w", format=self._kind.muxer, options=flags)
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(
                f"cannot write {self.path.name!r} in {str(self.path.parent)!r}: {_reason(error)}"
            ) from error
        try:
            self._stream = self._open_stream()
            if info is not None and info.audio and self._kind.sound:
                self._sound = SoundTrack.open(info, self._out, self._kind.muxer, offset, self.warnings)
        except BaseException:
            self.abort()
            raise

    def _open_stream(self):
        rate = Fraction(self._fps).limit_denominator(1001)
        stream = self._out.add_stream(self._kind.codec, rate=max(rate, Fraction(1, 1000)))
        stream.width, stream.height = self._coded.width, self._coded.height
        if self._coded.padded:
            self._out.metadata["comment"] = (
                f"frames are {self.width}x{self.height}; the last column or row is padding"
            )
        stream.pix_fmt = self._kind.format
        stream.time_base = stream.codec_context.time_base = self._clock
        stream.options = self._kind.options
        context = stream.codec_context
        context.gop_size = max(1, round(self._fps * 10))  # key frames are asked for by time, in write()
        self._coded.tag(context)
        context.thread_count = 0
        return stream

    def write(self, frame: np.ndarray, seconds: float | None = None) -> None:
        """Add one frame: uint8 (H, W, 3) RGB, or (H, W, 4) RGBA with alpha; its time as in the source.

        Times must grow; a time within one tick of the last is moved one tick after it.  Raises VideoError.
        """
        expected = (self.height, self.width, self._kind.channels)
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape != expected:
            got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
            raise VideoError(f"a frame to write is {got}, expected uint8 {expected}; convert it first")
        if seconds is None:
            seconds = self.frames / self._fps + self._offset
        if not math.isfinite(seconds):
            raise VideoError(f"frame {self.frames} has time {seconds}; give a finite number of seconds")
        seconds -= self._offset
        tick = round(Fraction(seconds).limit_denominator(10**9) / self._clock)
        if self._last_tick is not None and tick <= self._last_tick:
            if tick < self._last_tick - 1:
                raise VideoError(
                    f"frame {self.frames} has time {seconds:.3f} s, before the last; write in order of time"
                )
            tick = self._last_tick + 1
        try:
            self._encode(frame, tick)
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"cannot write {self.path.name!r}: {_reason(error)}") from error

    def _encode(self, rgb: np.ndarray, tick: int) -> None:
        picture = self._coded(rgb)
        picture.pts, picture.time_base = tick, self._clock
        now = float(tick * self._clock)
        if self.frames == 0 or now - self._last_key >= KEYFRAME_SECONDS - 0.001:
            picture.pict_type = PictureType.I
            self._last_key = now
        else:
            picture.pict_type = PictureType.NONE
        self._step = tick - self._last_tick if self._last_tick is not None else None
        self._last_tick = tick
        self.frames += 1
        self._out.mux(self._stream.encode(picture))
        if self._sound:
            self._sound.mux_until(now)

    def close(self) -> None:
        """Finish the file and give it its name.  Raises VideoError if there is no frame or no space."""
        if self._out is None:
            return
        if not self.frames:
            self.abort()
            raise VideoError(f"no frame was written to {self.path.name!r}; there is nothing to save")
        try:
            self._finish()
            self._out.close()
            self._out = None
            if self._finished is not None:
                self._finished(self._whole.part)
            self._whole.keep()
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"cannot finish {self.path.name!r}: {_reason(error)}") from error
        finally:
            self.abort()

    def _finish(self) -> None:
        step = self._step or max(1, round(1 / (Fraction(self._fps).limit_denominator(1001) * self._clock)))
        for packet in self._stream.encode(None):
            if packet.pts == self._last_tick and not packet.duration:
                packet.duration = step  # the last frame is shown as long as the one before it
            self._out.mux(packet)
        if self._sound:
            end = float((self._last_tick + step) * self._clock)
            source_end = self._source.start + self._source.seconds - self._offset
            whole = end >= source_end - 1.5 * float(step * self._clock) - 0.001
            self._sound.finish(None if whole else end)

    def abort(self) -> None:
        """Drop what was written; there will be no file."""
        if self._sound:
            self._sound.close()
            self._sound = None
        if self._out is not None:
            out, self._out = self._out, None
            # an unfinished file may refuse its last packets; it is dropped anyway
            with contextlib.suppress(av.error.FFmpegError, OSError):
                out.close()
        self._whole.drop()

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
