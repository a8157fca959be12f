"""Laws of the command: exit codes 0, 2 and 130, one line for a mistake, and results as promised."""

import json
import re

import numpy as np
import pytest
import torch
from clip_command import CLIP_AND_MASK, FRAMES, HEIGHT, WIDTH
from conftest import is_one_line
from PIL import Image

from stm_core import faults
from stm_core.commands import cli
from stm_core.runs.made_up import moving_clip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (CLIP_AND_MASK, "--out"),
        (["segment", "clip.mp4", "--mas", "mask.png", "--out", "o"], "--mas"),
        (["segment", "clip.mp4", "--out", "o"], "--mask"),
        ([*CLIP_AND_MASK, "--click", "1,1", "--out", "o"], "--click"),
        (["segment", "none.mp4", "--mask", "mask.png", "--out", "o"], "none.mp4"),
        (["segment", "clip.mp4", "--mask", "none.png", "--out", "o"], "none.png"),
        (["segment", "clip.mp4", "--mask", "small.png", "--out", "o"], "64x48"),
        (["segment", "clip.mp4", "--click", "-3,5", "--out", "o"], "64x48"),
        (["segment", "clip.mp4", "--click", "3", "--out", "o"], "X,Y"),
        (["segment", "clip.mp4", "--click", "3,4,1,0", "--out", "o"], "254"),
        ([*CLIP_AND_MASK, "--prompt-frame", "8", "--out", "o"], "7"),
        ([*CLIP_AND_MASK, "--prompt-frame", "-1", "--out", "o"], "--prompt-frame"),
        ([*CLIP_AND_MASK, "--out", "mask.png"], "mask.png"),
        ([*CLIP_AND_MASK, "--out", ""], "--out"),
        ([*CLIP_AND_MASK, "--out", "o" * 300], "ooo"),
        ([*CLIP_AND_MASK, "--out", "o", "--memory", "all"], "every-5"),
        ([*CLIP_AND_MASK, "--out", "o", "--budget-mb", "-1"], "--budget-mb"),
        ([*CLIP_AND_MASK, "--out", "o", "--budget-mb", "0.001"], "MB"),
        ([*CLIP_AND_MASK, "--out", "o", "--every", "0"], "--every"),
        ([*CLIP_AND_MASK, "--out", "o", "--size", "4"], "16"),
        ([*CLIP_AND_MASK, "--out", "o", "--dtype", "int8"], "bf16"),
        ([*CLIP_AND_MASK, "--out", "o", "--weights", "none.pth"], "none.pth"),
        ([*CLIP_AND_MASK, "--out", "o", "--max-frames", "3"], "3"),
        (["look", *CLIP_AND_MASK[1:], "--frame", "8", "--at", "3,3", "--out", "o"], "0 to 7"),
        (["look", *CLIP_AND_MASK[1:], "--frame", "2", "--at", "64,3", "--out", "o"], "64x48"),
        (["look", *CLIP_AND_MASK[1:], "--frame", "0", "--at", "3,3", "--out", "o"], "frame 0"),
        (["look", *CLIP_AND_MASK[1:], "--frame", "2", "--at", "3", "--out", "o"], "X,Y"),
        (["compare", *CLIP_AND_MASK[1:], "--presets", "first,all", "--out", "o"], "every-5"),
        (["compare", *CLIP_AND_MASK[1:], "--presets", "first,first", "--out", "o"], "first,first"),
        (["compare", *CLIP_AND_MASK[1:], "--sizes", "32,32", "--out", "o"], "32,32"),
        (["compare", *CLIP_AND_MASK[1:], "--budgets-mb", "8,8.0", "--out", "o"], "8,8.0"),
        (["compare", *CLIP_AND_MASK[1:], "--networks", "compact,compact", "--out", "o"], "compact,compact"),
        ([*CLIP_AND_MASK, "--out", "o", "--all-prompts"], "--all-prompts"),
        (["segment", "clip.mp4", "--prompts", "mask.png", "--prompt-frame", "0", "--out", "o"], "--prompt-f"),
        ([*CLIP_AND_MASK, "--out", "o", "--erased", "1:0"], "mask of it"),
        ([*CLIP_AND_MASK, "--out", "o", "--erased", "1:9"], "frame 9"),
        ([*CLIP_AND_MASK, "--out", "o", "--erased", "1"], "OBJECT:FRAME"),
        (["segment", "clip.mp4", "--click", "3,3", "--erased", "2:0", "--out", "o"], "clicks"),
        (["compare", *CLIP_AND_MASK[1:], "--truth", "nowhere", "--out", "o"], "nowhere"),
        (["evaluate", ".", "--year", "2017", "--set", "val", "--out", "o"], "DAVIS"),
        (["evaluate", ".", "--year", "2018", "--set", "val", "--out", "o"], "2018"),
        (["evaluate", ".", "--sequences", ","], "--sequences"),
        (["bench", "--size", "480"], "HEIGHTxWIDTH"),
        (["bench", "--weights", "random:huge", "--frames", "4"], "huge"),
        (["bench", "--json", "none/figures.json"], "none"),
        (["bench", "--weights", "random:compact-tiny", "--size", "16x16", "--json", "."], "folder"),
        (["bench", "--profile", "--size", "48x80,64x64"], "--profile"),
        ([*CLIP_AND_MASK, "--out", "o", "--weights", "paper:"], "paper:PATH"),
        (["batch", "none.txt", "--out", "o"], "none.txt"),
        (["train", "--images", ".", "--out", "o"], "--minutes"),
        (["train", "--images", ".", "--out", "o", "--steps", "1", "--begin", "2"], "--begin"),
        (["train", "--images", ".", "--out", ".", "--steps", "1"], "--out"),
        (["train", "--images", ".", "--out", "o", "--steps", "1", "--resume", "none.ckpt"], "none.ckpt"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_writes_nothing(run, files, words, said):
    Image.new("L", (20, 20), 255).save(files / "small.png")
    code, out, err = run(*words)
    assert code == 2 and out == "" and said in err and is_one_line(err), err
    assert not (files / "o").exists()


def test_a_fault_of_ours_ends_with_70_and_one_line_that_helps_to_report_it(run, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a mistake\nof ours")

    monkeypatch.setattr("stm_core.runs.folder.run_to_folder", broken)
    code, _, err = run(*CLIP_AND_MASK, "--out", tmp_path)
    assert code == 70 and is_one_line(err) and "ZeroDivisionError: a mistake;" in err
    assert re.search(r"stm_core/commands/cli\.py:\d+, Python 3\.\d+\.\d+, torch \d", err)
    monkeypatch.setenv("STM_DEBUG", "1")
    code, _, err = run(*CLIP_AND_MASK, "--out", tmp_path)
    assert code == 70 and "Traceback" in err and "in broken" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 2),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2),
        (MemoryError(), 2),
        (PermissionError(13, "Permission denied", "somewhere"), 2),
        (OSError(28, "No space left on device"), 2),
        (OSError("of no path"), 70),
        (RuntimeError("shapes differ"), 70),
    ],
)
def test_what_a_caller_can_change_is_a_mistake_the_rest_a_fault(run, tmp_path, monkeypatch, error, code):
    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr("stm_core.runs.folder.run_to_folder", broken)
    ended, _, err = run(*CLIP_AND_MASK, "--out", tmp_path)
    assert ended == code and is_one_line(err)
    assert (faults.OUT_OF_MEMORY in err) == faults.out_of_memory(error)


def test_files_of_somebody_else_are_refused_before_the_network_loads(run, files, tmp_path, monkeypatch):
    (tmp_path / "masks").mkdir()
    theirs = {f"{t:05d}.png": (files / "mask.png").read_bytes() + bytes([t]) for t in range(1, FRAMES)}
    for name, data in theirs.items():
        (tmp_path / "masks" / name).write_bytes(data)
    monkeypatch.setattr(cli, "_model", None)
    code, _, err = run(*CLIP_AND_MASK, "--out", tmp_path)
    assert code == 2 and is_one_line(err) and "00001.png" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "masks").iterdir()} == theirs


def test_limits_lifted_for_the_clip_are_lifted_for_its_mask(run, tmp_path):
    Image.new("1", (4100, 2304), 1).save(tmp_path / "large.png")  # of more pixels than are allowed unasked
    code, _, err = run(
        "segment", "clip.mp4", "--mask", tmp_path / "large.png", "--out", tmp_path / "o", "--max-pixels", 0
    )
    assert code == 2 and is_one_line(err) and "4100x2304" in err and "64x48" in err


def test_evaluate_prints_and_writes_scores(run, tmp_path):
    for t, (image, labels) in enumerate(moving_clip(HEIGHT, WIDTH, 5)):
        for kind, picture, suffix in (("JPEGImages", image, "jpg"), ("Annotations", labels * 255, "png")):
            path = tmp_path / kind / "480p" / "disc" / f"{t:05d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    out = tmp_path / "out"
    code, printed, err = run(
        "evaluate", tmp_path, "--year", 2016, "--set", "val", "--sequences", "disc", "--out", out
    )
    assert (code, err) == (0, "")
    scores = json.loads((out / "scores.json").read_text())
    assert list(scores["sequences"]) == ["disc"] and scores["fps"] > 0 and "J&F" in printed
    with Image.open(out / "masks/disc/00000.png") as first:
        assert np.array_equal(np.asarray(first), next(moving_clip(HEIGHT, WIDTH, 5))[1])


def test_batch_runs_real_processes_and_one_bad_clip_stops_nobody(run, files, tmp_path):
    (files / "list.txt").write_text("clip.mp4 --mask mask.png\nnone.mp4 --mask mask.png\n")
    code, out, err = run(
        "batch", "list.txt", "--out", tmp_path, "--weights", "tiny.safetensors", "--workers", 2
    )
    assert code == 2 and is_one_line(err) and "none.mp4" in err
    assert "1 of 2 clips done" in out
    assert len(list((tmp_path / "clip/masks").glob("*.png"))) == FRAMES
