"""What a clip is, found from its first frame and the list of its packets: size, times, colours, sound."""

import os
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from stm_core.errors import VideoError
from stm_core.media.containers import cut_short, kind_of_pictures
from stm_core.media.decode import Decoder
from stm_core.media.limits import SAFE_LIMITS, VideoLimits
from stm_core.media.pictures import FOLDER_FPS, PictureList, open_pictures
from stm_core.media.upright import Upright, has_alpha, is_full_range, matrix_of
from stm_core.media.webp import AnimatedWebP


@dataclass(frozen=True)
class VideoInfo:
    """What a clip is.

    width, height: of the frames that `read_video` yields: upright, with square pixels.
    """

    path: Path
    container: str  # mp4, mov, webm, mkv, avi, ts, gif, apng, webp, zip or folder
    codec: str
    width: int
    height: int
    frames: int
    frames_exact: bool  # False: counted from packets, not by decoding
    fps: float  # mean frame rate; exact times come with the frames
    seconds: float  # from the first frame to the end of the last one
    start: float  # time of the first frame in the file's own clock; MPEG-TS: since the recording began
    time_base: Fraction  # the file's clock tick, in seconds
    rotation: int  # degrees counter-clockwise that were applied: 0, 90, 180, 270
    pixel_aspect: float
    audio: str | None  # codec of the first audio track
    full_range: bool
    bit_depth: int
    hdr: bool
    alpha: bool
    variable_rate: bool
    colour: tuple[int, int, int] = (0, 0, 0)  # matrix, primaries, transfer: FFmpeg's numbers, 0 for none
    warnings: tuple[str, ...] = ()


def probe(path: str | os.PathLike, limits: VideoLimits = SAFE_LIMITS, count: bool = False) -> VideoInfo:
    """What the clip is, from its first frame and the list of its packets.

    count=True decodes all of it, so that `frames` is exact even for a damaged file.
    Raises VideoError if it is no readable clip, LimitError if it is larger than `limits` allow.
    """
    path = _as_path(path)
    if kind := kind_of_pictures(path, limits):
        pictures = open_pictures(path, kind, limits)
        try:
            return _info_of_pictures(pictures, kind)
        finally:
            pictures.close()
    with Decoder(path, limits) as decoder:
        info = replace(decoder.index.probe or _info_of_container(decoder), path=path)
        decoder.index.probe = info
        limits.check_frames(info.frames, path.name)
        limits.check_seconds(info.seconds, path.name)
        if count or decoder.index.complete:
            info = _counted(info, decoder)
        return info


def _as_path(path: str | os.PathLike) -> Path:
    try:
        return Path(path)
    except TypeError as error:
        raise VideoError(
            f"a clip is given by its path, got {type(path).__name__}; pass a file name"
        ) from error


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
    decoder.limits.check_pixels(upright.width, upright.height, path.name)
    timing, unseen = _timing(decoder)
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
        audio=_name_of_sound(audio),
        full_range=is_full_range(first),
        bit_depth=max(c.bits for c in first.format.components),
        colour=(matrix_of(first), int(first.color_primaries), int(first.color_trc))
        if not first.format.is_rgb
        else (0, 0, 0),
        hdr=int(first.color_trc) in (16, 18),
        alpha=has_alpha(first),
        **timing,
    )
    return replace(info, warnings=tuple(_remarks(info, decoder, unseen)))


def _name_of_sound(tracks: tuple) -> str | None:
    if not tracks:
        return None
    context = tracks[0].codec_context
    return "unknown" if context is None else context.codec.canonical_name


def _remarks(info: VideoInfo, decoder: Decoder, unseen: int) -> Iterator[str]:
    if cut_short(info.path, info.container):
        yield f"{info.path.name} is cut short: its end is missing; the rest will be used"
    if unseen:
        yield f"{unseen} frame{'s' * (unseen > 1)} before the first key frame cannot be decoded"
    if info.hdr:
        yield "this is HDR video; it is read without tone mapping and looks flat"
    if info.alpha and decoder.kind not in ("gif", "apng"):
        yield "transparent parts are shown on white"
    if len(decoder.container.streams.video) > 1:
        yield "the file has more than one video track; the first is used"


def _timing(decoder: Decoder) -> tuple[dict, int]:
    """({frames, seconds, fps, variable_rate} from the time stamps of all packets, frames that are lost).

    Lost are those before the first one that can be decoded.
    """
    with Decoder(decoder.path, decoder.limits) as second:
        ticks, last = second.packet_ticks()
    unseen = bisect_left(ticks, decoder.index.ticks[0]) if decoder.kind == "ts" else 0
    ticks = ticks[unseen:]
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
    }, unseen


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
