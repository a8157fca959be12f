"""A decoder that was taken over reaches nothing of the server, and holds nobody up."""

import logging
import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import taken
import takeover
from PIL import Image

from demo.guard import answers, sandbox
from demo.guard import process as guard
from demo.guard.process import Guard
from demo.limits import Limits
from stm_core.errors import MaskError, StmError, VideoError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are locked in on Linux only")
_NAMES = ("misbehave", "stopped", "dribble", "huge", "sulk", "endless", "babble")
JOBS = [getattr(takeover, name) for name in _NAMES]
NO_LIMITS = {"max_bytes": None, "max_pixels": None, "max_frames": None, "max_seconds": None}


@pytest.fixture
def wall(monkeypatch) -> Guard:
    monkeypatch.setattr(guard, "JOBS", {**guard.JOBS, **{job.__name__: job for job in JOBS}})
    monkeypatch.setattr(answers, "_told", set())
    monkeypatch.setattr(answers, "PATIENCE", 1)
    return Guard(Limits(stall_seconds=2))


@pytest.fixture
def places(tmp_path) -> dict:
    """A user's clip and folder, and a neighbour's folder."""
    for name in ("own", "theirs"):
        (tmp_path / name).mkdir()
    (tmp_path / "clip").write_bytes(b"ours")
    (tmp_path / "theirs" / "clip").write_bytes(b"theirs")
    return {
        "path": tmp_path / "clip",
        "folder": tmp_path / "own",
        "neighbour": tmp_path / "theirs",
        "server": os.getpid(),
    }


def test_a_job_reaches_nothing_but_its_file_and_its_folder(wall, places, monkeypatch, caplog):
    monkeypatch.setenv("STM_LIVE_AUTH", "me:pa55word")
    found = wall.call("misbehave", **places)
    if sandbox.MISSING["calls"] not in caplog.text:
        assert set(found["calls"].values()) == {"PermissionError"}, found["calls"]
    if sandbox.MISSING["files"] not in caplog.text:
        assert "done" not in found["files"].values(), found["files"]
        assert (places["neighbour"] / "clip").read_bytes() == b"theirs"
        assert places["path"].read_bytes() == b"ours"
        assert sorted(os.listdir(places["folder"])) == ["renamed"]
    assert set(found["allowed"].values()) == {"done"}, found["allowed"]
    assert found["environ"] == {} and "pa55word" not in repr(found["argv"])
    assert len(found["open"]) == 4 and found["open"][:3] == [0, 1, 2]  # and the pipe


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork with threads: fine in this test
def test_what_the_kernel_does_not_offer_is_said_once(wall, places, monkeypatch, caplog):
    wall.context = guard.multiprocessing.get_context("fork")  # its processes know what is changed here
    monkeypatch.setattr(sandbox, "_bound_files", lambda *_: False)
    monkeypatch.setattr(sandbox, "_refuse_calls", lambda *_: False)
    places["server"] = 2**22 + 1  # nobody: what is not refused here hits no one
    monkeypatch.setitem(guard.JOBS, "look", lambda **_: iter([{"seen": 1}]))
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        assert wall.call("look", path="x", folder="y") == {"seen": 1}
    [record] = [record for record in caplog.records if record.name == "demo.guard.answers"]
    assert sandbox.MISSING["files"] in record.message and sandbox.MISSING["calls"] in record.message


def within(seconds: float, act) -> StmError | None:
    """The StmError that `act` ends with in that time."""
    caught = []

    def run():
        try:
            act()
        except StmError as error:
            caught.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive()
    return caught[0] if caught else None


@pytest.mark.parametrize("job", ["stopped", "dribble", "huge", "sulk"])
def test_a_process_that_keeps_an_answer_back_is_given_up_and_ended(wall, job):
    list(wall.stream("babble", text='{"end": 1}'))  # the fork server is up
    before = len(psutil.Process().children(recursive=True))
    seconds = time.monotonic()
    error = within(30, lambda: wall.call(job, cpu_seconds=3))
    assert isinstance(error, VideoError) and "\n" not in str(error)
    assert time.monotonic() - seconds < 20
    assert len(psutil.Process().children(recursive=True)) <= before


@pytest.mark.parametrize(
    "text", ["[1]", "3", "{", "[" * 100_000, '{"shape": [9, 9]}', '{"shape": "x"}', '{"error": []}', "\x00"]
)
def test_what_is_no_answer_ends_the_job(wall, text):
    assert isinstance(within(20, lambda: wall.call("babble", text=text)), VideoError)


def test_behind_the_door_every_kind_of_clip_is_read(good, tmp_path):
    """Nothing is imported too late."""
    wall = Guard(Limits())
    for kind, path in good.items():
        folder = tmp_path / kind
        folder.mkdir()
        wall.call("inspect", path=path, folder=folder, start=0, limits=NO_LIMITS)
        assert wall.call("check", path=path, folder=folder, start=0, stop=3, side=32)["frames"] == 3
        assert (folder / "proxy" / "00002.jpg").exists()


def test_behind_the_door_every_kind_of_mask_is_read(tmp_path):
    wall = Guard(Limits())
    red = (255, 0, 0)
    kinds = [("L", 255), ("P", 1), ("RGB", red), ("RGBA", (*red, 255)), ("1", 1)]
    for mode, colour in kinds:
        image = Image.new(mode, (16, 12))
        if mode == "P":
            image.putpalette([0, 0, 0, 128, 0, 0])
        image.paste(colour, (2, 2, 9, 9))
        path: Path = tmp_path / f"{mode}.png"
        image.save(path)
        if mode == "RGB":
            image.save(path := path.with_suffix(".bmp"))
        labels = wall.pixels("mask", path=path, height=12, width=16)
        assert labels.shape == (12, 16) and set(labels.flat) == {0, 1}
    (tmp_path / "none.png").write_bytes(b"nothing")
    with pytest.raises(MaskError):
        wall.pixels("mask", path=tmp_path / "none.png", height=12, width=16)


@pytest.mark.parametrize("name", ["palette-png", "rgba-png", "matte-mp4", "coco", "cvat"])
def test_behind_the_door_masks_of_other_programs_are_read(tmp_path, name):
    """Nothing is imported too late."""
    run = taken.make_run(tmp_path / "run", taken.labels_of())
    files = [path for path in taken.exported(run, name, tmp_path) if path.suffix != ".jpg"]
    size = dict(zip(("height", "width"), taken.SIZE, strict=True))
    extra = {str(n): str(path) for n, path in enumerate(files[:1] if name in ("coco", "cvat") else files)}
    found = list(Guard(Limits()).stream("brought", **size, frames=5, limits=NO_LIMITS, extra=extra))
    assert len(found) == 5 and any(labels.any() for _, labels in found)


def test_of_an_endless_row_of_pictures_no_more_than_one_is_taken(wall):
    job = threading.Thread(target=lambda: wall.pixels("endless"), daemon=True)
    job.start()
    job.join(20)
    assert not job.is_alive()


def test_an_answer_without_its_picture_is_refused(wall):
    assert isinstance(within(20, lambda: wall.pixels("babble", text='{"end": 1}')), VideoError)
