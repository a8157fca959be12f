"""A process behind the wall knows nothing of the one before, and seeks all the same."""

import itertools
import json
import time
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from demo.guard import process as guard
from demo.guard import reading as decode
from demo.guard.process import Guard
from demo.limits import Limits
from stm_core.errors import VideoError
from stm_core.media.decode import Decoder
from stm_core.media.frame_index import _INDEXES
from stm_core.media.video import read_video

FRAMES, GOP = 120, 20
B_FRAMES = {"preset": "veryfast", "crf": "20", "bf": "3"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork with threads: fine here


@pytest.fixture
def calm(monkeypatch) -> None:
    """Decoders without frame threads, whose race makes up missing parts in more than one way."""
    choose = Decoder._choose_stream

    def chosen(self):
        choose(self)
        self.stream.codec_context.thread_type = "SLICE"

    monkeypatch.setattr(Decoder, "_choose_stream", chosen)


def counted(**arguments):
    """The job `frames`; each answer says how many frames were decoded for it."""
    decoded = [0]
    Decoder.passed = staticmethod(lambda: decoded.append(0))
    for header, pixels in decode.frames(**arguments):
        yield {**header, "decoded": len(decoded)}, pixels


@pytest.fixture
def wall(monkeypatch) -> Guard:
    """A guard whose processes are forked from this one, so that they know the job above."""
    found = Guard(Limits(stall_seconds=2))
    found.context = guard.multiprocessing.get_context("fork")
    monkeypatch.setattr(guard, "JOBS", {**guard.JOBS, "counted": counted})
    return found


@pytest.fixture
def clip(tmp_path) -> Path:
    return clips.write(tmp_path / "source.mp4", frames=FRAMES, gop=GOP, options=B_FRAMES)


def two_at_once(path: Path) -> Path:
    """The same pictures without B-frames, but from a key frame on each has the time of the one before."""
    plain = clips.write(
        path.with_name("plain.mkv"), "mkv", frames=FRAMES, gop=GOP, options={**B_FRAMES, "bf": "0"}
    )
    with av.open(str(plain)) as source, av.open(str(path), "w", format="matroska") as out:
        track = source.streams.video[0]
        copy = out.add_stream_from_template(track)
        for n, packet in enumerate(packet for packet in source.demux(track) if packet.size):
            packet.pts = packet.dts = 100 * (n if n < 2 * GOP else n - 1)
            packet.stream = copy
            out.mux(packet)
    return path


def hurt(path: Path) -> Path:
    """A clip in which no packet is refused, but a key frame half way is partly made up."""
    clips.write(path, "mkv", frames=FRAMES, gop=GOP, options=B_FRAMES)
    with av.open(str(path)) as source:
        keys = [packet for packet in source.demux(video=0) if packet.is_keyframe]
    data = bytearray(path.read_bytes())
    data[keys[len(keys) // 2].pos + keys[len(keys) // 2].size // 2] ^= 255
    path.write_bytes(data)
    return path


def check(wall: Guard, path: Path, start: int = 0, stop: int = FRAMES) -> dict:
    return wall.call("check", path=str(path), folder=str(path.parent), start=start, stop=stop, side=64)


def from_the_start(path: Path) -> list[np.ndarray]:
    with read_video(path) as reader:
        frames = list(reader)
    _INDEXES.clear()  # the forked processes shall not know of it
    return frames


def job(wall: Guard, path: Path, start: int, stop: int, reverse: bool = False) -> tuple[list, int]:
    """The frames of one job, and how many it decoded."""
    answers = list(wall.stream("counted", path=str(path), start=start, stop=stop, reverse=reverse))
    return [pixels for _, pixels in answers], answers[-1][0]["decoded"]


def test_a_later_job_decodes_only_near_the_wanted_frame(wall, clip):
    _, before = job(wall, clip, 110, 111)
    check(wall, clip)
    expected = from_the_start(clip)
    for n in (110, 45, 119):
        [found], decoded = job(wall, clip, n, n + 1)
        assert np.array_equal(found, expected[n])
        assert decoded <= GOP + 8 < 110 < before  # the key frame's group, the first frame, what is under way
    back, decoded = job(wall, clip, 70, 110, reverse=True)
    assert all(np.array_equal(a, b) for a, b in zip(back, expected[70:110][::-1], strict=True))
    assert decoded < 110  # without a counting pass


@pytest.mark.parametrize("make", [two_at_once, hurt])
def test_where_seeking_is_not_safe_a_later_job_gives_the_same_frames(wall, calm, tmp_path, make):
    path = make(tmp_path / "source.mkv")
    expected = from_the_start(path)
    check(wall, path)
    for n in range(7, len(expected), 14):
        [found], _ = job(wall, path, n, n + 1)
        assert np.array_equal(found, expected[n]), n


def test_damage_met_after_a_seek_gives_the_frames_of_the_start(wall, calm, tmp_path):
    path = hurt(tmp_path / "source.mkv")
    expected = from_the_start(path)
    check(wall, path, stop=25)
    assert (tmp_path / decode.INDEX).exists()
    found, decoded = job(wall, path, 24, FRAMES)
    assert decoded > FRAMES  # began anew
    assert all(np.array_equal(a, b) for a, b in zip(found, expected[24:], strict=True))
    check(wall, path, start=24)
    assert not (tmp_path / decode.INDEX).exists()


def forged(clip: Path) -> dict[str, bytes]:
    known = json.loads((clip.parent / decode.INDEX).read_text())
    frames = known["frames"]

    def having(frames) -> bytes:
        return json.dumps({**known, "frames": frames}).encode()

    return {
        "empty": b"",
        "no json": b"\x80\x04.",
        "deep": b"[" * 100_000,
        "a list": b"[]",
        "large": b" " * (decode.LARGEST_INDEX + 1),
        "no frames": having(None),
        "not pairs": having([[1]]),
        "texts": having([["0", True]]),
        "numbers for flags": having([[tick, 1] for tick, _ in frames]),
        "true for a time": having([[True, True], *frames[1:]]),
        "not whole": having([[tick + 0.5, key] for tick, key in frames]),
        "far too late": having([[tick + 2**70, key] for tick, key in frames]),
        "no such time": having([[2**61 + tick, True] for tick, _ in frames]),
        "backwards": having([[tick, True] for tick, _ in frames[::-1]]),
        "a few only": having(frames[:30]),
        "all are key frames": having([[tick, True] for tick, _ in frames]),
        "another file": json.dumps({**known, "clip": [1, 1]}).encode(),
        "beyond the end": having(frames + [[frames[-1][0] + 100 * n, True] for n in range(1, 50)]),
    }


def test_a_forged_index_costs_time_at_most(wall, clip):
    check(wall, clip)
    expected, beside = from_the_start(clip), clip.parent / decode.INDEX
    for name, data in forged(clip).items():
        beside.write_bytes(data)
        [found], _ = job(wall, clip, 77, 78)
        assert np.array_equal(found, expected[77]), name
        back, _ = job(wall, clip, 115, FRAMES, reverse=True)
        assert all(np.array_equal(a, b) for a, b in zip(back, expected[:114:-1], strict=True)), name


def late(path: Path) -> dict:
    """What asks for a frame that is far from the start of a clip that nobody has read."""
    return {"path": str(path), "start": FRAMES - 2, "stop": FRAMES - 1, "reverse": False}


def test_a_long_silent_way_is_no_hang(wall, clip, monkeypatch):
    tick = Decoder._tick
    monkeypatch.setattr(Decoder, "_tick", lambda self, frame: time.sleep(0.025) or tick(self, frame))
    began = time.monotonic()
    assert len(list(wall.stream("frames", **late(clip)))) == 1
    assert time.monotonic() - began > wall.limits.stall_seconds + 0.5


def test_a_hang_on_the_way_is_still_refused(wall, clip, monkeypatch):
    tick, calls = Decoder._tick, itertools.count()
    monkeypatch.setattr(
        Decoder, "_tick", lambda self, frame: time.sleep(60 if next(calls) == 90 else 0) or tick(self, frame)
    )
    with pytest.raises(VideoError, match="no progress for 2 s"):
        list(wall.stream("frames", **late(clip)))
