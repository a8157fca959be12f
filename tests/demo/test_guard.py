"""The wall around untrusted media: whatever happens behind it costs one sentence."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from pages import FRAMES, HEIGHT, WIDTH, write_clip

from demo.guard import process as guard
from demo.guard import reading as decode
from demo.guard.process import Guard
from demo.limits import Limits
from stm_core.errors import LimitError, VideoError
from stm_core.media.video import read_video


def in_a_worker(guard: Guard, clip: str, out) -> None:
    out.put(sum(1 for _ in guard.frames(Path(clip), 0, FRAMES)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork with threads: so does ZeroGPU
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no such worker without fork")
def test_frames_are_decoded_in_a_worker_that_was_forked_from_the_server_too(tmp_path):
    write_clip(tmp_path / "clip.mp4")
    wall = Guard(Limits())
    assert len(list(wall.frames(tmp_path / "clip.mp4", 0, 2))) == 2  # the fork server runs
    context = guard.multiprocessing.get_context("fork")
    out = context.Queue()
    arguments = wall, str(tmp_path / "clip.mp4"), out
    worker = context.Process(target=in_a_worker, args=arguments, daemon=True)
    worker.start()
    assert out.get(timeout=60) == FRAMES
    worker.join(10)


def hang(**_):
    yield {}
    while True:
        time.sleep(1)


def crash(**_):
    yield {}
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def spin(**_):
    while True:
        pass


def swell(**_):
    hoard = []
    while True:
        hoard.append(bytearray(2**26))
    yield {}


def confuse(**_):
    raise ZeroDivisionError("secret")
    yield {}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "squares.mp4"
    write_clip(path)
    return path


@pytest.fixture
def small(monkeypatch) -> Guard:
    """A guard with tight limits whose processes are forked from this one, so that they know the jobs
    above.
    """
    found = Guard(Limits(stall_seconds=2, decode_seconds=2, decode_mb=256))
    found.context = guard.multiprocessing.get_context("fork")
    monkeypatch.setattr(
        guard, "JOBS", {**guard.JOBS, **{f.__name__: f for f in (hang, crash, spin, swell, confuse)}}
    )
    return found


@pytest.mark.parametrize(
    "job, kind, words",
    [
        ("hang", VideoError, "no progress for 2 s"),
        ("crash", VideoError, "crashed on this file"),
        ("spin", VideoError, "no progress|processor time"),
        ("swell", LimitError, "more than 256 MB"),
        ("confuse", VideoError, "could not be read"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork with threads: fine in this test
def test_whatever_happens_to_a_decoder_is_one_sentence(small, job, kind, words):
    if job == "swell":  # on a busy machine that takes its time, and is no hang
        small.limits = replace(small.limits, stall_seconds=60)
    with pytest.raises(kind, match=words) as caught:
        small.call(job)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_limit_that_a_refusal_names_is_the_one_that_applied(small):
    small.limits = replace(small.limits, stall_seconds=60)
    with pytest.raises(VideoError, match="took over 1 s of processor time"):
        small.call("spin", cpu_seconds=1)


def test_frames_come_through_the_wall_unchanged_forward_and_back(clip):
    wall = Guard(Limits())
    with read_video(clip) as reader:
        expected = list(reader)
    assert len(expected) == FRAMES
    ours = list(wall.frames(clip, 0, FRAMES))
    assert all(np.array_equal(a, b) for a, b in zip(ours, expected, strict=True))
    back = list(wall.frames(clip, 3, 9, reverse=True))
    assert all(np.array_equal(a, b) for a, b in zip(back, expected[3:9][::-1], strict=True))


def test_a_reader_who_stops_early_leaves_no_process_behind(clip):
    wall = Guard(Limits())
    list(wall.frames(clip, 0, 1))  # the fork server is up
    before = len(psutil.Process().children(recursive=True))
    frames = wall.frames(clip, 0, FRAMES)
    assert next(frames).shape == (HEIGHT, WIDTH, 3)
    frames.close()
    assert len(psutil.Process().children(recursive=True)) <= before


def test_the_decoding_process_never_loads_torch():
    code = "import demo.guard.process, sys; print('torch' in sys.modules)"
    root = Path(decode.__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
