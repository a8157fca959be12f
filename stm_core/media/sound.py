"""The sound of a clip, carried into a written file: copied where browsers play it, else encoded again."""

import itertools
from collections.abc import Iterator

import av
import av.error

from stm_core.media.containers import AUDIO_CODECS, open_container, zero_of
from stm_core.media.limits import NO_LIMITS

# muxer -> (codecs that are copied as they are, encoder for all others, sample format, rates it can have)
TARGETS = {
    "mp4": ({"aac", "mp3"}, "aac", "fltp", (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)),
    "webm": ({"opus", "vorbis"}, "libopus", "flt", (48000,)),
}
TARGETS["mov"] = TARGETS["mp4"]
DAMAGED = "the sound is damaged; parts of it were left out"


class SoundTrack:
    """Writes the source's first audio track into an output, up to the time of the pictures."""

    def __init__(self, source, out, muxer: str, offset: float, warnings: list[str]):
        self._source, self._out, self._warnings = source, out, warnings
        self._offset = offset + zero_of(source)
        track = source.streams.audio[0]
        for other in source.streams:
            if other is not track:
                other.discard = av.stream.Discard.all
        copied, encoder, layout_format, rates = TARGETS[muxer]
        codec = track.codec_context
        if codec.codec.canonical_name in copied:
            self._target = out.add_stream_from_template(track)
            self._packets = self._copied(track)
        else:
            rate = codec.sample_rate if codec.sample_rate in rates else rates[0]
            layout = "mono" if codec.layout.nb_channels == 1 else "stereo"
            self._target = out.add_stream(encoder, rate=rate, layout=layout)
            resampler = av.AudioResampler(format=layout_format, layout=layout, rate=rate)
            self._packets = self._encoded(track, resampler)
        self._waiting: tuple[float, av.Packet] | None = None

    @classmethod
    def open(cls, info, out, muxer: str, offset: float, warnings: list[str]) -> "SoundTrack | None":
        """A SoundTrack, or None with a warning when this sound cannot be carried over."""
        source, _ = open_container(info.path, NO_LIMITS)
        track = source.streams.audio[0]
        try:
            if track.codec_context is None or track.codec_context.name not in AUDIO_CODECS:
                raise ValueError(f"codec {info.audio} is not supported")
            return cls(source, out, muxer, offset, warnings)
        except (av.error.FFmpegError, ValueError) as error:
            warnings.append(f"the sound could not be kept: {error}")
            source.close()
            return None

    def mux_until(self, seconds: float) -> None:
        """Write all sound that begins before `seconds` of the output's clock; what is damaged is left out."""
        while True:
            try:
                if self._waiting is None:
                    self._waiting = next(self._packets, None)
                if self._waiting is None or self._waiting[0] > seconds:
                    return
                packet, self._waiting = self._waiting[1], None
                packet.stream = self._target
                self._out.mux_one(packet)
            except ValueError:  # FFmpeg's "invalid argument" and "invalid data" too, but not a full disk
                self._warn_of_damage()

    def finish(self, seconds: float | None) -> None:
        """Write the rest; up to `seconds` if given (the pictures ended before the source did)."""
        self.mux_until(float("inf") if seconds is None else seconds)
        self.close()

    def close(self) -> None:
        """Close the source."""
        self._packets.close()
        self._source.close()

    def _warn_of_damage(self) -> None:
        if DAMAGED not in self._warnings:
            self._warnings.append(DAMAGED)

    def _demuxed(self, track) -> Iterator[av.Packet]:
        """The packets of the sound, without those whose time is later than that of the packet after them."""
        before = None
        try:
            for packet in self._source.demux(track):
                if not packet.size or packet.pts is None or packet.is_corrupt:
                    continue
                if before is not None and before.pts <= packet.pts:
                    yield before
                elif before is not None:  # a wrong time far ahead would block all later packets
                    self._warn_of_damage()
                before = packet
        except (av.error.FFmpegError, ValueError):
            self._warn_of_damage()
        if before is not None:
            yield before

    def _copied(self, track) -> Iterator[tuple[float, av.Packet]]:
        shift = round(self._offset / track.time_base)
        for packet in self._demuxed(track):
            # without a shift nothing is left out: the priming packet of a whole clip ends at 0
            if shift and packet.pts + (packet.duration or 0) <= shift:
                continue
            packet.pts -= shift
            if packet.dts is not None:
                packet.dts -= shift
            yield float(packet.pts * track.time_base), packet

    def _encoded(self, track, resampler) -> Iterator[tuple[float, av.Packet]]:
        for frame in self._resampled(track, resampler):
            for packet in self._target.encode(frame):
                yield float(packet.pts * packet.time_base), packet
        for packet in self._target.encode(None):
            yield float(packet.pts * packet.time_base), packet

    def _resampled(self, track, resampler) -> Iterator[av.AudioFrame]:
        for packet in itertools.chain(self._demuxed(track), [None]):
            try:
                frames = track.codec_context.decode(packet)
            except av.error.EOFError:
                continue
            except (av.error.FFmpegError, ValueError):
                continue  # one damaged packet is a click, not the end of the sound
            for frame in frames:
                if frame.time is None or frame.time + frame.samples / frame.sample_rate <= self._offset:
                    continue
                frame.pts = round((frame.time - self._offset) / frame.time_base)
                yield from resampler.resample(frame)
        yield from resampler.resample(None)
