"""Decode one container with PyAV: frames in the order they are shown, forwards or backwards, one at a time.

Frames leave as uint8 (H, W, 3) RGB, upright (rotation applied), with square pixels.  Matrix and range follow the
stream's tags; untagged video is BT.709 from 720 lines up and BT.601 below, as browsers and players assume.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.reformatter import Colorspace, ColorRange, Interpolation, VideoReformatter

from stm_core.containers import VIDEO_CODECS, VideoLimits, open_container
from stm_core.errors import VideoError

WINDOW_BYTES = 96 * 2**20       # decoded frames held at once while reading backwards
BACKGROUND = 255                # what shows through transparent parts: white, as on most pages
ODDEST_ASPECT = 5               # a pixel aspect beyond 1:5 or 5:1 is taken for damage
MATRIX_601, MATRIX_709 = 5, 1   # AVColorSpace numbers


@dataclass
class FrameIndex:
    """Time stamp of every frame decoded so far from the start, in ticks, and which of them can be sought to."""

    ticks: list[int] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    complete: bool = False
    seekable: bool = True
    facts: object = None            # what a probe found, kept with the index

    def note(self, n: int, tick: int, key: bool) -> None:
        with _LOCK:
            if n == len(self.ticks):
                self.seekable = self.seekable and (n == 0 or tick > self.ticks[-1])
                self.ticks.append(tick)
                self.keys.append(key)

    def keyframe_before(self, n: int) -> int:
        """Number of the last key frame that is not after frame n (0 when unsure)."""
        if not self.seekable:
            return 0
        return next((k for k in range(min(n, len(self.keys) - 1), -1, -1) if self.keys[k]), 0)


_LOCK = threading.Lock()
_INDEXES: OrderedDict[tuple, FrameIndex] = OrderedDict()


def index_of(path: Path) -> FrameIndex:
    """The shared index of this very file (same path, size and date), so that a second reader can seek."""
    stat = path.stat()
    key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
    with _LOCK:
        index = _INDEXES.setdefault(key, FrameIndex())
        _INDEXES.move_to_end(key)
        while len(_INDEXES) > 32:
            _INDEXES.popitem(last=False)
    return index


class Decoder:
    """One open file.  `frames(start)` yields (number, tick, av frame); use as a context manager."""

    def __init__(self, path: Path, kind: str, limits: VideoLimits):
        self.path, self.kind, self.limits = path, kind, limits
        self.damaged = 0                # packets that could not be decoded
        self.index = index_of(path)
        self.container = open_container(path, kind, limits)
        self._fresh = True              # nothing was read yet: decoding from the start needs no new opening
        try:
            self._choose_stream()
        except BaseException:
            self.container.close()
            raise

    def _choose_stream(self) -> None:
        pictures = av.stream.Disposition.attached_pic
        streams = [s for s in self.container.streams.video if not s.disposition & pictures]
        if not streams:
            found = "only sound" if self.container.streams.audio else "no pictures"
            raise VideoError(f"{self.path.name!r} has {found}; give a file with a video track")
        self.stream = stream = streams[0]
        context = stream.codec_context
        if context is None or context.name not in VIDEO_CODECS:
            name = context.name if context is not None else "an unknown codec"
            raise VideoError(f"{self.path.name!r} is coded with {name}, which is not read here; convert it to MP4 (H.264)")
        if not stream.time_base:
            raise VideoError(f"{self.path.name!r} has no clock in its video track; convert it to MP4 (H.264)")
        self.limits.check_pixels(context.width or 0, context.height or 0, self.path.name)
        for other in self.container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        self.context = None             # a decoder of our own, where the default one drops alpha
        if stream.metadata.get("alpha_mode") == "1" and context.name in ("vp9", "vp8"):
            self.context = av.CodecContext.create("libvpx-vp9" if context.name == "vp9" else "libvpx", "r")
        for one in (context, self.context):
            if one is not None:
                one.thread_type = "AUTO"
                if self.limits.max_pixels is not None:
                    one.options = {"max_pixels": str(self.limits.max_pixels)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()

    def frames(self, start: int = 0) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """(number, tick, frame) from frame `start` on; seeks when the index knows how, else decodes from the beginning."""
        key = self.index.keyframe_before(start) if self.kind not in ("gif", "apng") else 0
        found = False
        if key > 0:
            for item in self._from_keyframe(key):
                found = True
                if item[0] >= start:
                    yield item
        if not found:
            yield from (item for item in self._from_beginning() if item[0] >= start)

    def _from_keyframe(self, key: int) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Frames from number `key` on; nothing at all if the seek did not land on it."""
        target, n = self.index.ticks[key], None
        try:
            self.container.seek(target, stream=self.stream)
        except av.error.FFmpegError:
            return
        if self.context is not None:
            self.context.flush_buffers()
        self._fresh = False
        for tick, frame in self._decode():
            if n is None and tick > target:
                return
            if n is None and tick == target:
                n = key
            if n is not None:
                yield self._noted(n, tick, frame)
                n += 1
        self.index.complete = self.index.complete or n is not None

    def _from_beginning(self) -> Iterator[tuple[int, int, av.VideoFrame]]:
        if not self._fresh:
            self.container.close()
            self.container = open_container(self.path, self.kind, self.limits)
            self._choose_stream()
        self._fresh = False
        n = -1
        for n, (tick, frame) in enumerate(self._decode()):
            yield self._noted(n, tick, frame)
        self.index.complete = n >= 0

    def _noted(self, n: int, tick: int, frame: av.VideoFrame) -> tuple[int, int, av.VideoFrame]:
        self.limits.check_frames(n + 1, self.path.name)
        self.index.note(n, tick, bool(frame.key_frame))
        self.limits.check_seconds(float((tick - self.index.ticks[0]) * self.stream.time_base), self.path.name)
        return n, tick, frame

    def packet_ticks(self) -> tuple[list[int], int]:
        """(sorted time stamps of all packets, length of the last one), in ticks, without decoding."""
        stamps = []
        for packet in self._packets():
            if packet is not None and not packet.is_discard:
                tick = packet.dts if self.kind == "avi" or packet.pts is None else packet.pts
                if tick is not None:
                    stamps.append((tick, packet.duration or 0))
        stamps.sort()
        return [tick for tick, _ in stamps], stamps[-1][1] if stamps else 0

    def _packets(self) -> Iterator[av.Packet | None]:
        """Packets of the video track; None at the end or where reading breaks off, to empty the decoder."""
        try:
            for packet in self.container.demux(self.stream):
                if packet.size:
                    yield packet
        except (av.error.FFmpegError, ValueError):
            self.damaged += 1
        yield None

    def _decode(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """(tick, frame) from where the file stands; damaged packets are counted and passed over."""
        last, step = None, 1
        context = self.context or self.stream.codec_context
        for packet in self._packets():
            try:
                frames = context.decode(packet)
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, ValueError):
                self.damaged += 1
                self.index.seekable = False     # frames may differ when decoding starts elsewhere
                continue
            for frame in frames:
                self.limits.check_pixels(frame.width, frame.height, self.path.name)
                tick = self._tick(frame)
                if tick is None or (last is not None and tick <= last):
                    tick = 0 if last is None else last + step
                elif last is not None:
                    step = tick - last
                last = tick
                yield tick, frame

    def _tick(self, frame: av.VideoFrame) -> int | None:
        # AVI has no presentation times: FFmpeg's pts are decode times there, out of order with B-frames
        if self.kind == "avi":
            return frame.dts
        return frame.pts if frame.pts is not None else frame.dts

    def seconds(self, tick: int) -> float:
        """Time of a frame, as in the file; AVI counts from its first frame."""
        base = self.index.ticks[0] if self.kind == "avi" and self.index.ticks else 0
        return float((tick - base) * self.stream.time_base)

    def window(self, start: int, stop: int | None) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Like frames(start), ending before frame `stop`."""
        for item in self.frames(start):
            if stop is not None and item[0] >= stop:
                return
            yield item


class Upright:
    """Turns decoded frames into uint8 (H, W, 3) RGB arrays of one size: upright, square pixels, matrix and range right."""

    def __init__(self, first: av.VideoFrame, aspect: Fraction | None, max_side: int | None = None):
        self.rotation = round(first.rotation / 90) * 90 % 360       # degrees counter-clockwise
        self.aspect = _sane_aspect(aspect)
        width, height = first.width, first.height
        if self.aspect > 1:
            width = max(1, round(width * self.aspect))
        elif self.aspect < 1:
            height = max(1, round(height / self.aspect))
        self.full_width, self.full_height = (height, width) if self.rotation % 180 else (width, height)
        if max_side is not None and max(width, height) > max_side:
            scale = max_side / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
        self._coded = (width, height)
        self.width, self.height = (height, width) if self.rotation % 180 else (width, height)
        self._reformat = VideoReformatter().reformat

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        alpha = has_alpha(frame)
        shrinks = self._coded[0] < frame.width
        rgb = self._reformat(
            frame, *self._coded, "rgba" if alpha else "rgb24", src_colorspace=matrix_of(frame),
            src_color_range=ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG, dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA if shrinks else Interpolation.BICUBIC,
        ).to_ndarray()
        if alpha:
            rgb = over_background(rgb)
        if self.rotation:
            rgb = np.ascontiguousarray(np.rot90(rgb, self.rotation // 90))
        return rgb


def _sane_aspect(aspect: Fraction | None) -> Fraction:
    if not aspect or not Fraction(1, ODDEST_ASPECT) <= aspect <= ODDEST_ASPECT:
        return Fraction(1)
    return aspect


def has_alpha(frame: av.VideoFrame) -> bool:
    """True if the frame carries an alpha plane."""
    return frame.format.name == "pal8" or any(c.is_alpha for c in frame.format.components)


def over_background(rgba: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 4) straight alpha -> uint8 (H, W, 3) over the background colour."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    mixed = rgba[..., :3].astype(np.uint16) * alpha + BACKGROUND * (255 - alpha.astype(np.uint16))
    return ((mixed + 127) // 255).astype(np.uint8)


def is_full_range(frame: av.VideoFrame) -> bool:
    """True if luma uses 0..255 rather than 16..235."""
    return frame.color_range == 2 or frame.format.name.startswith("yuvj") or frame.format.is_rgb


def matrix_of(frame: av.VideoFrame) -> int:
    """The swscale number of the frame's YUV matrix: its tag, or the usual guess by height."""
    tagged = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601,
              7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020}
    guess = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    return int(tagged.get(int(frame.colorspace), guess))


def backwards(decoder: Decoder, start: int, stop: int | None, upright: Upright) -> Iterator[tuple[int, int, np.ndarray]]:
    """(number, tick, rgb) from stop - 1 down to start, holding at most WINDOW_BYTES of frames.

    The first time, one pass without conversion finds the frames; then windows between key frames are decoded again.
    """
    index = decoder.index
    if not index.complete and (stop is None or stop > len(index.ticks)):
        for n, _, _ in decoder.frames():
            if stop is not None and n >= stop - 1:
                break
    stop = len(index.ticks) if stop is None else min(stop, len(index.ticks))
    window = max(4, WINDOW_BYTES // (upright.width * upright.height * 3))
    while stop > start:
        low = max(start, stop - window, min(index.keyframe_before(stop - 1), stop - 1))
        held = [(n, tick, upright(frame)) for n, tick, frame in decoder.window(low, stop)]
        if not held:
            raise VideoError(f"{decoder.path.name!r} could not be read a second time at frame {low}; convert it to MP4 (H.264)")
        yield from reversed(held)
        stop = low
