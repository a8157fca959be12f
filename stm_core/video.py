"""Read a clip: what it is (`probe`), its frames as a stream (`read_video`), one frame of it (`read_frame`).

A clip is never held in memory: frames are decoded as they are asked for, and again where a second pass
is needed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av.error
import numpy as np
from PIL import Image

from stm_core.containers import container_of
from stm_core.decode import Decoder, backwards
from stm_core.errors import OptionError, VideoError
from stm_core.limits import SAFE_LIMITS, VideoLimits
from stm_core.pictures import FOLDER_FPS, AnimatedWebP, PictureList
from stm_core.signatures import cut_short
from stm_core.upright import Upright, has_alpha, is_full_range, matrix_of

__all__ = ["VideoInfo", "VideoLimits", "VideoReader", "probe", "read_frame", "read_video"]


@dataclass(frozen=True)
class VideoInfo:
    """What a clip is.  width, height: of the frames that read_video yields, upright, with square pixels."""

    path: Path
    container: str  # mp4, mov, webm, mkv, avi, gif, apng, webp, zip or folder
    codec: str
    width: int
    height: int
    frames: int
    frames_exact: bool  # False: counted from packets, not by decoding
    fps: float  # mean frame rate; exact times come with the frames
    seconds: float  # from the first frame to the end of the last one
    start: float  # time of the first frame in the file's own clock
    time_base: Fraction  # the file's clock tick, in seconds
    rotation: int  # degrees counter-clockwise that were applied: 0, 90, 180, 270
    pixel_aspect: float
    audio: str | None  # codec of the first audio track
    full_range: bool
    bit_depth: int
    hdr: bool
    alpha: bool
    variable_rate: bool
    colour: tuple[int, int, int] = (
        0,
        0,
        0,
    )  # YUV matrix, primaries, transfer as FFmpeg numbers; 0 = has none
    warnings: tuple[str, ...] = ()


def probe(path: str | os.PathLike, limits: VideoLimits = SAFE_LIMITS, count: bool = False) -> VideoInfo:
    """What the clip is, from its first frame and the list of its packets.

    count=True decodes all of it, so that `frames` is exact even for a damaged file.
    Raises VideoError if it is no readable clip, LimitError if it is larger than `limits` allow.
    """
    path = _as_path(path)
    kind = container_of(path, limits)
    if kind in ("folder", "zip", "webp"):
        pictures = _open_pictures(path, kind, limits)
        try:
            return _info_of_pictures(pictures, kind)
        finally:
            pictures.close()
    with Decoder(path, kind, limits) as decoder:
        info = decoder.index.facts or _info_of_container(decoder)
        decoder.index.facts = info
        limits.check_frames(info.frames, path.name)
        limits.check_seconds(info.seconds, path.name)
        if count or decoder.index.complete:
            info = _counted(info, decoder)
        return info


def read_video(
    path: str | os.PathLike,
    limits: VideoLimits = SAFE_LIMITS,
    start: int = 0,
    stop: int | None = None,
    reverse: bool = False,
    max_side: int | None = None,
) -> "VideoReader":
    """A reader that yields frames start .. stop - 1 as uint8 (H, W, 3) RGB, upright, with square pixels.

    reverse: from stop - 1 down to start, in bounded memory.  max_side: scale down to that longest side.
    Raises VideoError, LimitError (also while reading), OptionError.
    """
    return VideoReader(path, limits, start, stop, reverse, max_side)


def read_frame(
    path: str | os.PathLike, index: int, limits: VideoLimits = SAFE_LIMITS, max_side: int | None = None
) -> np.ndarray:
    """Frame `index` as uint8 (H, W, 3) RGB; quick once it was read.  Raises VideoError if there is none."""
    if index < 0:
        raise OptionError(f"frame {index} does not exist; frames count from 0")
    with read_video(path, limits, start=index, stop=index + 1, max_side=max_side) as reader:
        for frame in reader:
            return frame
        raise VideoError(
            f"{reader.info.path.name!r} has no frame {index}; it has {reader.info.frames}, counted from 0"
        )


class VideoReader:
    """Iterate once over the frames of a clip; close it, or use it as a context manager.

    info: VideoInfo.  times, indices: seconds (in the file's clock) and number of each frame yielded so far.
    warnings: what a user should know; it grows while decoding (a file that is cut short, damaged parts).
    """

    def __init__(
        self,
        path: str | os.PathLike,
        limits: VideoLimits,
        start: int,
        stop: int | None,
        reverse: bool,
        max_side: int | None,
    ):
        if start < 0 or (stop is not None and stop < start):
            raise OptionError(f"frames {start} to {stop} make no range; give 0 <= start <= stop")
        if max_side is not None and max_side < 1:
            raise OptionError(f"max_side is {max_side}; give a number of pixels above 0")
        self.info = probe(path, limits)
        self.warnings = list(self.info.warnings)
        self.times: list[float] = []
        self.indices: list[int] = []
        self._range = (start, stop, reverse, max_side)
        self._limits = limits
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
        self._frames.close()

    def _read_container(self) -> Iterator[np.ndarray]:
        start, stop, reverse, max_side = self._range
        with Decoder(self.info.path, self.info.container, self._limits) as decoder:
            try:
                if reverse:
                    first = next(frame for _, _, frame in decoder.frames())
                    upright = Upright(first, decoder.stream.sample_aspect_ratio, max_side)
                    for n, tick, rgb in backwards(decoder, start, stop, upright):
                        yield self._seen(rgb, n, decoder.seconds(tick))
                else:
                    upright = None
                    for n, tick, frame in decoder.window(start, stop):
                        upright = upright or Upright(frame, decoder.stream.sample_aspect_ratio, max_side)
                        yield self._seen(upright(frame), n, decoder.seconds(tick))
            except av.error.FFmpegError as error:
                raise VideoError(
                    f"{self.info.path.name!r} stopped being readable: {error.strerror}; "
                    "convert it to MP4 (H.264)"
                ) from error
            self._tell_losses(decoder)

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
        start, stop, reverse, max_side = self._range
        pictures = _open_pictures(self.info.path, self.info.container, self._limits)
        try:
            numbers = range(start, len(pictures) if stop is None else min(stop, len(pictures)))
            for n in reversed(numbers) if reverse else numbers:
                yield self._seen(_fit(pictures.frame(n), max_side), n, pictures.times[n])
        finally:
            pictures.close()

    def _seen(self, rgb: np.ndarray, n: int, seconds: float) -> np.ndarray:
        self.indices.append(n)
        self.times.append(seconds)
        return rgb


def _as_path(path: str | os.PathLike) -> Path:
    try:
        return Path(path)
    except TypeError as error:
        raise VideoError(
            f"a clip is given by its path, got {type(path).__name__}; pass a file name"
        ) from error


def _open_pictures(path: Path, kind: str, limits: VideoLimits) -> PictureList | AnimatedWebP:
    return AnimatedWebP(path, limits) if kind == "webp" else PictureList(path, limits)


def _fit(rgb: np.ndarray, max_side: int | None) -> np.ndarray:
    height, width = rgb.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return rgb
    scale = max_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))


def _info_of_pictures(pictures: PictureList | AnimatedWebP, kind: str) -> VideoInfo:
    frames = len(pictures)
    steps = np.diff(pictures.times)
    seconds = pictures.seconds if kind == "webp" else frames / FOLDER_FPS
    return VideoInfo(
        path=pictures.path,
        container=kind,
        codec="webp" if kind == "webp" else "pictures",
        width=pictures.width,
        height=pictures.height,
        frames=frames,
        frames_exact=True,
        fps=frames / seconds,
        seconds=seconds,
        start=0.0,
        time_base=Fraction(1, 1000) if kind == "webp" else Fraction(1, FOLDER_FPS),
        rotation=0,
        pixel_aspect=1.0,
        audio=None,
        full_range=True,
        bit_depth=8,
        hdr=False,
        alpha=False,
        variable_rate=bool(len(steps) and np.ptp(steps) > 0.0015),
        warnings=tuple(pictures.warnings),
    )


def _info_of_container(decoder: Decoder) -> VideoInfo:
    path, stream = decoder.path, decoder.stream
    audio = decoder.container.streams.audio
    first = next((frame for _, _, frame in decoder.frames()), None)
    if first is None:
        raise VideoError(f"not one frame of {path.name!r} could be decoded; export it again as MP4 (H.264)")
    upright = Upright(first, stream.sample_aspect_ratio)
    decoder.limits.check_pixels(upright.full_width, upright.full_height, path.name)
    timing = _timing(decoder)
    info = VideoInfo(
        path=path,
        container=decoder.kind,
        codec=decoder.stream.codec_context.codec.canonical_name,
        width=upright.width,
        height=upright.height,
        frames_exact=False,
        start=decoder.seconds(decoder.index.ticks[0]),
        time_base=stream.time_base,
        rotation=upright.rotation,
        pixel_aspect=float(upright.aspect),
        audio=audio[0].codec_context.codec.canonical_name if audio and audio[0].codec_context else None,
        full_range=is_full_range(first),
        bit_depth=max(c.bits for c in first.format.components),
        colour=(matrix_of(first), int(first.color_primaries), int(first.color_trc))
        if not first.format.is_rgb
        else (0, 0, 0),
        hdr=int(first.color_trc) in (16, 18),
        alpha=has_alpha(first),
        **timing,
    )
    return replace(info, warnings=tuple(_remarks(info, decoder)))


def _remarks(info: VideoInfo, decoder: Decoder) -> Iterator[str]:
    if cut_short(info.path, info.container):
        yield f"{info.path.name} is cut short: its end is missing, what is there will be used"
    if info.hdr:
        yield "this is HDR video; it is read without tone mapping and looks flat"
    if info.alpha and decoder.kind not in ("gif", "apng"):
        yield "transparent parts are shown on white"
    if len(decoder.container.streams.video) > 1:
        yield "the file has more than one video track; the first is used"


def _timing(decoder: Decoder) -> dict:
    """frames, fps, seconds and variable_rate from the time stamps of all packets."""
    with Decoder(decoder.path, decoder.kind, decoder.limits) as second:
        ticks, last = second.packet_ticks()
    tick = decoder.stream.time_base
    steps = np.diff(ticks)
    if not last:
        last = (
            float(np.median(steps)) if len(steps) else 1 / (float(decoder.stream.guessed_rate or 25) * tick)
        )
    seconds = float((ticks[-1] - ticks[0] + last) * tick) if ticks else 0.0
    jitter = float(np.ptp(steps) * tick) if len(steps) else 0.0
    return {
        "frames": len(ticks),
        "seconds": seconds,
        "fps": len(ticks) / seconds if seconds > 0 else float(FOLDER_FPS),
        "variable_rate": jitter > 1.5 * max(0.001, float(tick)),
    }


def _counted(info: VideoInfo, decoder: Decoder) -> VideoInfo:
    index = decoder.index
    if not index.complete:
        for _ in decoder.frames():
            pass
    frames = len(index.ticks)
    lost = frames < info.frames and (decoder.damaged or cut_short(info.path, info.container))
    if lost:
        told = (*info.warnings, f"{frames} of {info.frames} frames could be decoded")
        seconds = info.seconds * frames / info.frames
        return replace(info, frames=frames, frames_exact=True, seconds=seconds, warnings=told)
    return replace(info, frames=frames, frames_exact=True)
