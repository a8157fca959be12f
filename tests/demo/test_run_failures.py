"""What goes wrong half-way on the page: one sentence says so, and what was finished is kept."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import numbers
from pages import FRAMES, notice, write_clip

from demo.engine import tracking
from stm_core.media.files import disk_error
from stm_core.runs import clip as core

ROOT = Path(__file__).parents[2]


@pytest.fixture
def user(bench, tmp_path):
    """A visitor who has opened a clip and clicked its first square."""
    write_clip(tmp_path / "squares.mp4")
    user = bench.opened(tmp_path / "squares.mp4")
    assert not notice(bench.click(user, 0, 8, 8))
    return user


def test_gpu_memory_running_out_on_the_page_begins_again_smaller_and_says_so(bench, user, monkeypatch):
    sizes, real = [], core.propagate

    def propagate(*arguments, size=None, **options):
        sizes.append(size)
        for result in real(*arguments, size=size, **options):
            if size == 64 and result.index == 5:
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield result

    monkeypatch.setattr(core, "propagate", propagate)
    monkeypatch.setattr(core, "SMALLEST", 16)
    views = bench.tracked(user)
    assert sizes[-2:] == [64, 48]  # before them: the calibration
    assert any("GPU ran out of memory" in notice(view) for view in views)
    assert sorted(user.work.run.records) == list(range(FRAMES)) and not user.work.busy
    assert (
        "48 pixels" in user.work.run.report["warnings"][0]
        and user.work.run.report["run"]["frames_done"] == FRAMES
    )


def test_gpu_memory_that_never_suffices_is_told_and_the_page_goes_on(bench, user, monkeypatch):
    def propagate(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(core, "propagate", propagate)
        *_, last = bench.tracked(user)
    assert "smaller processing size" in notice(last) and not user.work.busy
    bench.tracked(user)
    assert sorted(user.work.run.records) == list(range(FRAMES))


def test_a_full_disk_ends_the_run_in_words_and_keeps_the_masks(bench, user, monkeypatch):
    whole = tracking.write_whole

    def write_whole(path, data):
        if path.name == "00009.png":
            raise disk_error(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        whole(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "write_whole", write_whole)
        *_, last = bench.tracked(user)
    assert "disk is full or failing" in notice(last) and not user.work.busy
    assert str(bench.limits.root) not in notice(last)
    written = numbers(Path(user.work.run.folder) / "masks")
    assert written[:9] == list(range(9)) and sorted(user.work.run.records) == written
    for kind in ("palette", "overlay", "everything", "report"):
        *_, last = bench.result.make(user, kind)
        assert not notice(last) and Path(last["file"]).stat().st_size > 100, kind
    bench.tracked(user)
    assert sorted(user.work.run.records) == list(range(FRAMES))


def test_a_clip_that_disappears_is_told_and_its_masks_stay(bench, user):
    bench.tracked(user)
    Path(user.work.clip.path).unlink()
    *_, last = bench.tracked(user)
    assert notice(last) and "went wrong" not in notice(last) and not user.work.busy
    assert str(bench.limits.root) not in notice(last)
    assert numbers(Path(user.work.run.folder) / "masks") == list(range(FRAMES))


def test_the_page_does_not_start_with_damaged_weights_and_says_why(tmp_path):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(b"<!doctype html><title>Not found</title>" * 50)
    words = [sys.executable, "app.py", "--weights", str(path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and not done.stdout
    assert len(done.stderr.strip().splitlines()) == 1 and path.name in done.stderr
