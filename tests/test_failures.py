"""What goes wrong half-way: one sentence says so, and what was finished is kept."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import colour_model
from pages import FRAMES, Bench, notice, write_clip
from PIL import Image

from demo.engine import tracking
from stm_core.commands.cli import main
from stm_core.engine.prompts import Prompt
from stm_core.errors import StmError
from stm_core.masks.files import write_mask
from stm_core.networks.weights import random_model
from stm_core.runs import output
from stm_core.runs.folder import segment_to_folder

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def session(bench, tmp_path):
    """A visitor who has opened a clip and clicked its first square."""
    write_clip(tmp_path / "squares.mp4")
    session = bench.opened(tmp_path / "squares.mp4")
    assert not notice(bench.click(session, 0, 8, 8))
    return session


def whole_masks(folder: Path) -> list[int]:
    """The numbers of the masks in a folder; each must open, and nothing half-written lie beside them."""
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        with Image.open(folder / name) as picture:
            picture.load()
    return [int(name.removesuffix(".png")) for name in names]


# on the page ------------------------------------------------------------------------------------------------


def test_gpu_memory_running_out_on_the_page_begins_again_smaller_and_says_so(bench, session, monkeypatch):
    sizes, real = [], tracking.propagate

    def propagate(*arguments, size=None, **options):
        sizes.append(size)
        for result in real(*arguments, size=size, **options):
            if size is None and result.index == 5:
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield result

    monkeypatch.setattr(tracking, "propagate", propagate)
    monkeypatch.setattr(tracking, "SMALLEST", 16)
    views = bench.tracked(session)
    assert sizes[-2:] == [None, 48]  # before them: the calibration
    assert any("GPU ran out of memory" in notice(view) for view in views)
    assert sorted(session.records) == list(range(FRAMES)) and not session.running
    assert "48 pixels" in session.report["warnings"][0] and session.report["run"]["frames_done"] == FRAMES


def test_gpu_memory_that_never_suffices_is_told_and_the_page_goes_on(bench, session, monkeypatch):
    def propagate(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "propagate", propagate)
        *_, last = bench.tracked(session)
    assert "smaller processing size" in notice(last) and not session.running
    bench.tracked(session)
    assert sorted(session.records) == list(range(FRAMES))


def test_a_full_disk_ends_the_run_in_words_and_keeps_the_masks(bench, session, monkeypatch):
    whole = output.write_whole

    def write_whole(path, data):
        if path.name == "00009.png":
            raise output.disk_error(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        whole(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "write_whole", write_whole)
        *_, last = bench.tracked(session)
    assert "disk is full or failing" in notice(last) and not session.running
    assert str(bench.limits.root) not in notice(last)
    written = whole_masks(Path(session.clip.folder) / "masks")
    assert written[:9] == list(range(9)) and sorted(session.records) == written
    for kind in ("palette", "overlay", "everything", "report"):
        *_, last = bench.downloads.make(session, kind)
        assert not notice(last) and Path(last["file"]).stat().st_size > 100, kind
    bench.tracked(session)
    assert sorted(session.records) == list(range(FRAMES))


def test_a_clip_that_disappears_is_told_and_its_masks_stay(bench, session):
    bench.tracked(session)
    Path(session.clip.path).unlink()
    *_, last = bench.tracked(session)
    assert notice(last) and "went wrong" not in notice(last) and not session.running
    assert str(bench.limits.root) not in notice(last)
    assert whole_masks(Path(session.clip.folder) / "masks") == list(range(FRAMES))


# in the command ---------------------------------------------------------------------------------------------


def test_a_clip_that_disappears_in_the_middle_leaves_what_was_done(tmp_path):
    masks = write_clip(tmp_path / "clip.mp4")
    prompt = Prompt.from_mask(
        masks[8], frame=8
    )  # forward first, then the clip is opened again for the way back
    steps = segment_to_folder(colour_model(), tmp_path / "clip.mp4", [prompt], tmp_path / "out")
    with pytest.raises(StmError, match="clip.mp4"):
        for step in steps:
            if step.result.index == 12:
                (tmp_path / "clip.mp4").unlink()
    assert set(whole_masks(tmp_path / "out" / "masks")) >= set(range(8, 13))
    assert "kept" in (tmp_path / "out" / "report.json").read_text()


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Weights of the smallest network, as a file."""
    import json
    from dataclasses import asdict

    from safetensors.torch import save_file

    from stm_core.networks.compact import CompactSTM
    from stm_core.networks.weights import TINY

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    state = {name: tensor.contiguous() for name, tensor in CompactSTM(TINY).state_dict().items()}
    save_file(state, path, metadata={"config": json.dumps(asdict(TINY))})
    return path


DIE_AT_MASK_7 = """
import os, signal, sys
from stm_core.commands import cli
from stm_core.runs import output
def write_whole(path, data):
    if path.name == "00007.png":
        path.with_name(".00007.png.0123abcd.part").write_bytes(data[:20])
        os.kill(os.getpid(), signal.SIGKILL)
    whole(path, data)
whole, output.write_whole = output.write_whole, write_whole
cli.main(sys.argv[1:])
"""


def test_a_killed_run_leaves_whole_masks_and_can_be_repeated(weights, tmp_path):
    masks, out = write_clip(tmp_path / "clip.mp4", objects=1), tmp_path / "out"
    write_mask(tmp_path / "mask.png", masks[0])
    words = ["segment", tmp_path / "clip.mp4", "--mask", tmp_path / "mask.png", "--out", out]
    words = [str(word) for word in [*words, "--weights", weights, "--device", "cpu"]]
    killed = subprocess.run([sys.executable, "-c", DIE_AT_MASK_7, *words], cwd=ROOT, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    kept = sorted(out.glob("masks/*.png"))
    assert [path.name for path in kept] == [f"{t:05d}.png" for t in range(7)]
    assert all(np.asarray(Image.open(path)).shape == masks[0].shape for path in kept)
    assert not (out / "overlay.mp4").exists() and not (out / "report.json").exists()
    assert main(words) == 0
    assert whole_masks(out / "masks") == list(range(FRAMES))
    assert sorted(path.name for path in out.iterdir()) == ["masks", "overlay.mp4", "report.json"]


def damage(data: bytes) -> dict[str, bytes]:
    """Ways in which a weights file arrives broken."""
    flipped = bytearray(data)
    flipped[40] ^= 0xFF
    return {
        "empty": b"",
        "half": data[: len(data) // 2],
        "header": bytes(flipped),
        "other": b"PK\x03\x04" + data[4:],
        "page": b"<!doctype html><title>Not found</title>" * 50,
    }


@pytest.mark.parametrize("how", ["empty", "half", "header", "other", "page"])
def test_damaged_weights_are_told_in_one_line(weights, tmp_path, capsys, how):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damage(weights.read_bytes())[how])
    clip = ROOT / "assets" / "examples" / "balloon.mp4"
    words = ["segment", clip, "--click", "96,128", "--out", tmp_path / "out", "--weights", path]
    assert main([str(word) for word in words]) == 2
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1 and "damaged.safetensors" in told
    assert not (tmp_path / "out").exists()


def test_the_page_does_not_start_with_damaged_weights_and_says_why(weights, tmp_path):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damage(weights.read_bytes())["half"])
    words = [sys.executable, "app.py", "--weights", str(path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and not done.stdout
    assert len(done.stderr.strip().splitlines()) == 1 and "damaged.safetensors" in done.stderr


def test_a_tiny_network_is_the_one_that_the_damaged_files_were_made_of(weights):
    from stm_core.networks.weights import load_model

    assert (
        load_model(weights, device="cpu").network.key_channels
        == random_model("compact-tiny").network.key_channels
    )
