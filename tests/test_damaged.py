"""Damaged clips: what decodes is kept, and no other error escapes."""

import random

import clips
import numpy as np
import pytest
from hostile import put, refused

from stm_core.errors import StmError
from stm_core.media.video import VideoLimits, probe, read_video


def test_a_truncated_mp4_without_its_index_is_refused(tmp_path, good):
    data = good["mp4"].read_bytes()
    refused(put(tmp_path, "cut.mp4", data[: len(data) // 2]), "index is missing", "upload it again")


@pytest.mark.parametrize("kind", [*clips.CONTAINERS, "webp"])
def test_a_truncated_clip_gives_what_decodes_and_says_so(tmp_path, good, kind):
    source = good[kind]
    if kind in ("mp4", "mov"):
        source = clips.write(
            tmp_path / f"fast.{kind}", kind, frames=40, muxer_options={"movflags": "+faststart"}
        )
    data = source.read_bytes()
    path = put(tmp_path, f"cut.{kind}", data[: len(data) * 6 // 10])
    with read_video(path) as reader:
        numbers = [clips.number_of(frame) for frame in reader]
    assert 5 <= len(numbers) < 40
    whole = numbers[:-2]  # the last ones may be half a picture
    assert whole == list(range(len(whole)))
    assert any("cut short" in warning for warning in reader.warnings), reader.warnings
    assert probe(path, count=True).frames == len(numbers)
    assert len(list(read_video(path, reverse=True))) == len(numbers)


@pytest.mark.parametrize("kind", ["mp4", "webm", "mkv", "avi"])
def test_damage_in_the_middle_does_not_end_the_clip(tmp_path, good, kind):
    data = bytearray(good[kind].read_bytes())
    middle = len(data) * 6 // 10  # in the pictures, not in the head or index
    data[middle : middle + 40] = bytes(range(40))
    with read_video(put(tmp_path, f"hurt.{kind}", bytes(data))) as reader:
        assert len(list(reader)) >= 10


@pytest.mark.parametrize("kind", [*clips.CONTAINERS, "webp", "zip"])
def test_random_damage_never_escapes_as_another_error(tmp_path, good, kind):
    data = good[kind].read_bytes()
    rng = random.Random(kind)
    for n in range(12):
        hurt = bytearray(data)
        for _ in range(rng.choice((1, 4, 40))):
            hurt[rng.randrange(min(len(hurt), rng.choice((64, 1024, len(hurt)))))] = rng.randrange(256)
        path = put(tmp_path, f"{n}.bin", bytes(hurt))
        try:
            with read_video(path, VideoLimits(max_pixels=10**6, max_frames=1000, max_seconds=100)) as reader:
                for frame in reader:
                    assert frame.dtype == np.uint8 and frame.ndim == 3
        except StmError as error:
            assert "\n" not in str(error)
