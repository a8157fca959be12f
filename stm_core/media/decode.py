"""Decode one container with PyAV: frames in the order they are shown, forwards or backwards, one by one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import av.error
import numpy as np

from stm_core.errors import VideoError
from stm_core.media.containers import VIDEO_CODECS, open_container, zero_of
from stm_core.media.frame_index import index_of
from stm_core.media.limits import VideoLimits, decoder_pixels
from stm_core.media.upright import WINDOW_BYTES, Upright

MOST_REORDERED = 16  # frames between a picture's place in the file and when it is shown (H.264, HEVC)


class Decoder:
    """One open file.  `frames(start)` yields (number, tick, av frame); use as a context manager.

    passed: called for every decoded frame, also for frames that are not yielded.
    """

    passed: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, path: Path, limits: VideoLimits):
        self.path, self.limits = path, limits
        self.damaged = 0  # packets that could not be decoded
        self.container, self.kind = open_container(path, limits)  # first: it has a message for a missing file
        self.index = index_of(path)
        self._fresh = True  # nothing was read yet: the start can be decoded without opening the file again
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
            raise VideoError(
                f"{self.path.name!r} is coded with {name}, which is not supported; convert it to MP4 (H.264)"
            )
        if not stream.time_base:
            raise VideoError(f"{self.path.name!r} has no clock in its video track; convert it to MP4 (H.264)")
        self.limits.check_pixels(context.width or 0, context.height or 0, self.path.name)
        for other in self.container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        self.context = None  # a decoder of our own, where the default one drops alpha
        if stream.metadata.get("alpha_mode") == "1" and context.name in ("vp9", "vp8"):
            self.context = av.CodecContext.create("libvpx-vp9" if context.name == "vp9" else "libvpx", "r")
        for one in (context, self.context):
            if one is not None:
                one.thread_type = "AUTO"
                one.options = {"max_pixels": str(decoder_pixels(self.limits))}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()

    def frames(self, start: int = 0) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """(number, tick, frame) from frame `start` on; seeks where it can, else decodes from the start."""
        key = self.index.keyframe_before(start) if self.kind not in ("gif", "apng") else 0
        begun = False
        if key > 0:
            for item in self._from_keyframe(key):
                if not self.index.seekable:  # new damage: decode from the start instead
                    self.damaged = 0
                    break
                if item[0] >= start:
                    begun, start = True, item[0] + 1
                    yield item
            else:
                if begun:
                    return
        yield from (item for item in self._from_beginning() if item[0] >= start)

    def _from_keyframe(self, key: int) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Frames from number `key` on; nothing at all if the seek did not land on it."""
        target, n = self.index.ticks[key], None
        # MPEG-TS has no index: a seek lands at any picture that is decoded before the wanted time
        aim = self.index.ticks[max(0, key - MOST_REORDERED)] if self.kind == "ts" else target
        self._fresh = False
        try:
            self.container.seek(aim, stream=self.stream)
        except av.error.FFmpegError:
            return
        if self.context is not None:
            self.context.flush_buffers()
        for tick, frame in self._decode(begin=target if self.kind == "ts" else None):
            if n is None and tick > target:
                return
            if n is None and tick == target == self._tick(frame):
                n = key
            if n is not None:
                yield self._noted(n, tick, frame)
                n += 1
        self.index.complete = self.index.complete or n is not None

    def _from_beginning(self) -> Iterator[tuple[int, int, av.VideoFrame]]:
        if not self._fresh:
            self.container.close()
            self.container, self.kind = open_container(self.path, self.limits)
            self._choose_stream()
        self._fresh = False
        n = -1
        for n, (tick, frame) in enumerate(self._decode()):
            yield self._noted(n, tick, frame)
        self.index.complete = n >= 0

    def _noted(self, n: int, tick: int, frame: av.VideoFrame) -> tuple[int, int, av.VideoFrame]:
        self.limits.check_frames(n + 1, self.path.name)
        if frame.is_corrupt:  # missing parts come from frames decoded before
            self.index.seekable = False
        # a time that was made up (see `_decode`) may be another frame's: do not seek to it
        self.index.note(n, tick, bool(frame.key_frame) and tick == self._tick(frame))
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

    def _packets(self, begin: int | None = None) -> Iterator[av.Packet | None]:
        """Packets of the video track, from the one with time stamp `begin` on.

        The last one is None, also after a read error: it flushes the decoder.
        """
        try:
            for packet in self.container.demux(self.stream):
                if packet.size and begin in (None, packet.pts):
                    begin = None
                    yield packet
        except (av.error.FFmpegError, ValueError):
            self.damaged += 1
        yield None

    def _decode(self, begin: int | None = None) -> Iterator[tuple[int, av.VideoFrame]]:
        """(tick, frame) from the file's current position on; damaged packets are counted and skipped."""
        last, step = None, 1
        context = self.context or self.stream.codec_context
        for packet in self._packets(begin):
            try:
                frames = context.decode(packet)
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, ValueError):
                self.damaged += 1
                self.index.seekable = False  # frames may differ when decoding starts elsewhere
                continue
            for frame in frames:
                self.limits.check_pixels(frame.width, frame.height, self.path.name)
                tick = self._tick(frame)
                if tick is None or (last is not None and tick <= last):
                    tick = 0 if last is None else last + step
                elif last is not None:
                    step = tick - last
                last = tick
                self.passed()
                yield tick, frame

    def _tick(self, frame: av.VideoFrame) -> int | None:
        # AVI has no presentation times: FFmpeg's pts are decode times there, out of order with B-frames
        if self.kind == "avi":
            return frame.dts
        return frame.pts if frame.pts is not None else frame.dts

    def seconds(self, tick: int) -> float:
        """Time of a frame: as in the file, but AVI counts from its first frame and MPEG-TS from its zero."""
        base = self.index.ticks[0] if self.kind == "avi" and self.index.ticks else 0
        return float((tick - base) * self.stream.time_base) - zero_of(self.container)

    def window(self, start: int, stop: int | None) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Like frames(start), ending before frame `stop`."""
        for item in self.frames(start):
            if stop is not None and item[0] >= stop:
                return
            yield item


def backwards(
    decoder: Decoder, start: int, stop: int | None, upright: Upright
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(number, tick, rgb) from stop - 1 down to start, holding at most WINDOW_BYTES of frames.

    The first time, one pass without conversion finds the frames; then windows between key frames are
    decoded again.
    """
    index = decoder.index
    if not index.complete and (stop is None or stop > len(index.ticks)):
        for n, _, _ in decoder.frames():
            if stop is not None and n >= stop - 1:
                break
    stop = len(index.ticks) if stop is None else min(stop, len(index.ticks))
    window = max(4, WINDOW_BYTES // (upright.width * upright.height * 3))
    while stop > start:
        low = max(start, stop - window, index.keyframe_before(stop - 1))
        held = [(n, tick, upright(frame)) for n, tick, frame in decoder.window(low, stop)]
        if not held:
            raise VideoError(
                f"{decoder.path.name!r} could not be read again at frame {low}; convert it to MP4 (H.264)"
            )
        yield from reversed(held)
        stop = low
