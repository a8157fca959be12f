"""Sound: copied where the container takes it, shifted and cut with its pictures."""

import av
import clips
import numpy as np
import pytest
from conftest import colour_model

from stm_core.engine.prompts import Prompt
from stm_core.media.containers import zero_of
from stm_core.media.sound import DAMAGED
from stm_core.media.video import probe, read_video
from stm_core.media.write import VideoWriter
from stm_core.runs.folder import run_to_folder


def sound_of(path):
    """(codec, start, seconds, packets) of the sound of a file."""
    with av.open(str(path)) as clip:
        stream = clip.streams.audio[0]
        packets = [bytes(p) for p in clip.demux(stream) if p.size]
        clip.seek(0)
        frames = list(clip.decode(stream))
        end = frames[-1].time + frames[-1].samples / frames[-1].sample_rate
        zero = zero_of(clip)
        return stream.codec_context.name, frames[0].time - zero, end - zero, packets


@pytest.mark.parametrize(
    "kind, audio, kept",
    [
        ("mp4", "aac", True),
        ("mkv", "libmp3lame", True),
        ("webm", "libopus", False),
        ("mov", "pcm_s16le", False),
        ("avi", "libmp3lame", True),
        ("mkv", "flac", False),
        ("mkv", "ac3", False),
        ("mkv", "aac", True),
        ("ts", "ac3", False),
        ("ts", "mp2", False),
        ("ts", "libmp3lame", True),
    ],
)
def test_sound_is_copied_or_encoded_again(tmp_path, kind, audio, kept):
    source = clips.write(tmp_path / f"in.{kind}", kind, audio=audio)
    assert probe(source).audio
    _, writer = clips.copy(source, tmp_path / "out.mp4")
    assert writer.warnings == []
    before, after = sound_of(source), sound_of(tmp_path / "out.mp4")
    assert after[0] in ("aac", "mp3float", "mp3")
    assert (after[3] == before[3]) is kept
    assert after[1] == pytest.approx(before[1], abs=0.06) and after[2] == pytest.approx(before[2], abs=0.06)


def test_sound_of_a_part_is_shifted_and_cut(tmp_path):
    source = clips.write(tmp_path / "in.mp4", frames=40, audio="aac")
    with (
        read_video(source, start=10, stop=20) as reader,
        VideoWriter(tmp_path / "part.mp4", 128, 96, source=source, offset=1.0) as writer,
    ):
        for frame in reader:
            writer.write(frame, reader.times[-1])
    _, start, end, _ = sound_of(tmp_path / "part.mp4")
    assert start == pytest.approx(0, abs=0.05) and end == pytest.approx(1.0, abs=0.1)
    assert clips.read(tmp_path / "part.mp4")[1].times == pytest.approx(clips.times_of(10), abs=0.001)


def test_sound_longer_than_the_pictures_is_kept_whole(tmp_path):
    source = clips.write(tmp_path / "in.mp4", frames=10, audio="aac", audio_seconds=2.5)
    clips.copy(source, tmp_path / "out.mp4")
    assert sound_of(tmp_path / "out.mp4")[2] == pytest.approx(2.5, abs=0.06)


def test_alpha_webm_keeps_the_sound_too(tmp_path):
    source = clips.write(tmp_path / "in.mp4", audio="aac")
    with VideoWriter(tmp_path / "cut.webm", 128, 96, source=source, kind="webm-alpha") as writer:
        for n in range(20):
            writer.write(np.dstack([clips.frame(n), np.full(clips.SIZE, 200, np.uint8)]), n / 10)
    assert sound_of(tmp_path / "cut.webm")[2] == pytest.approx(sound_of(source)[2], abs=0.06)


def test_a_run_on_a_camcorders_clip_keeps_its_sound_and_begins_at_zero(tmp_path):
    """The clock of an MPEG-TS goes on from one recording to the next."""
    camcorder = {"mpegts_m2ts_mode": "1", "output_ts_offset": "5000"}
    source = clips.write(tmp_path / "in.m2ts", "ts", frames=24, audio="aac", muxer_options=camcorder)
    with av.open(str(source)) as clip:
        assert clip.start_time > 4999 * av.time_base
    labels = np.zeros(clips.SIZE, np.uint8)
    labels[10:40, 10:40] = 1
    report = run_to_folder(colour_model(), source, Prompt.from_mask(labels), tmp_path / "out")
    assert report["warnings"] == [] and report["frames_out"] == 24
    codec, start, end, _ = sound_of(tmp_path / "out" / "overlay.mp4")
    assert codec == "aac" and start == pytest.approx(0, abs=0.05) and end == pytest.approx(2.4, abs=0.1)
    before, after = probe(source), probe(tmp_path / "out" / "overlay.mp4")
    assert (after.frames, after.seconds) == (24, pytest.approx(2.4, abs=0.01))
    assert after.start == pytest.approx(before.start, abs=0.005) and before.start < 0.05


def restamped(folder, audio, stamp):
    """An MKV whose sound packet n has the time stamp(n, its true time), both in milliseconds."""
    even, path = clips.write(folder / "even.mkv", "mkv", audio=audio), folder / "in.mkv"
    kept = {"avoid_negative_ts": "disabled"}
    with av.open(str(even)) as source, av.open(str(path), "w", options=kept) as out:
        streams = [out.add_stream_from_template(stream) for stream in source.streams]
        sounds = (packet for packet in source.demux(audio=0) if packet.size)
        for number, packet in enumerate(sounds):
            # the muxer of Matroska wants growing dts below the pts, and writes the pts alone
            packet.dts, packet.pts, packet.stream = number - 1000, stamp(number, packet.pts), streams[1]
            out.mux_one(packet)
        source.seek(0)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = streams[0]
                out.mux_one(packet)
    return path


WRONG_STAMPS = {
    "constant": lambda n, time: 100 if n >= 10 else time,
    "going back": lambda n, time: max(0, time - 300) if n % 7 == 0 else time,
    "leaping once": lambda n, time: 30_000 if n == 5 else time,
}


@pytest.mark.parametrize("kind", ["mp4", "webm-alpha"])
@pytest.mark.parametrize("audio", ["aac", "flac"])
@pytest.mark.parametrize("name", WRONG_STAMPS)
def test_wrong_times_of_the_sound_cost_only_sound(tmp_path, name, audio, kind):
    source = restamped(tmp_path, audio, WRONG_STAMPS[name])
    with VideoWriter(tmp_path / "out", 128, 96, source=source, kind=kind) as writer:
        for n in range(20):
            rgba = np.dstack([clips.frame(n), np.full(clips.SIZE, 255, np.uint8)])
            writer.write(rgba if kind == "webm-alpha" else clips.frame(n), n / 10)
    assert writer.warnings == [DAMAGED]
    assert probe(tmp_path / "out").frames == 20 and probe(tmp_path / "out").seconds < 2.2
    kept = sound_of(tmp_path / "out")
    assert len(kept[3]) >= 9 and kept[1] == pytest.approx(0, abs=0.06)
    assert name != "leaping once" or kept[2] == pytest.approx(2, abs=0.06)


def test_a_run_on_a_clip_with_damaged_sound_keeps_all_else(tmp_path):
    source = restamped(tmp_path, "aac", WRONG_STAMPS["constant"])
    labels = np.zeros(clips.SIZE, np.uint8)
    labels[10:40, 10:40] = 1
    report = run_to_folder(colour_model(), source, Prompt.from_mask(labels), tmp_path / "out")
    assert report["warnings"] == [DAMAGED] and report["frames_out"] == 20
    assert probe(tmp_path / "out" / "overlay.mp4").frames == 20
