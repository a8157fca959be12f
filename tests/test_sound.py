"""Sound: copied where the container takes it, shifted and cut with its pictures."""

import av
import clips
import numpy as np
import pytest

from stm_core.video import probe, read_video
from stm_core.video_write import VideoWriter


def sound_of(path):
    """(codec, start, seconds, packets) of the sound of a file."""
    with av.open(str(path)) as clip:
        stream = clip.streams.audio[0]
        packets = [bytes(p) for p in clip.demux(stream) if p.size]
        clip.seek(0)
        frames = [f for f in clip.decode(stream)]
        end = frames[-1].time + frames[-1].samples / frames[-1].sample_rate
        return stream.codec_context.name, frames[0].time, end, packets


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
    with read_video(source, start=10, stop=20) as reader:
        with VideoWriter(tmp_path / "part.mp4", 128, 96, source=source, offset=1.0) as writer:
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
