"""Laws of the command: exit codes 0, 2 and 130, one line for a mistake, and results as promised."""

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import is_one_line
from PIL import Image

from stm_core import faults
from stm_core.commands import cli
from stm_core.masks.mask_files import read_labels, write_mask
from stm_core.media.video import read_video
from stm_core.media.write import VideoWriter
from stm_core.memory.policy import PRESETS
from stm_core.runs.made_up import moving_clip

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds that a process may take to start on a busy machine
HEIGHT, WIDTH, FRAMES = 48, 64, 8


def unpack(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)))


@pytest.fixture(scope="module")
def files(tiny_file, tmp_path_factory):
    """A folder with clip.mp4, mask.png and tiny.safetensors."""
    folder = tmp_path_factory.mktemp("files")
    with VideoWriter(folder / "clip.mp4", WIDTH, HEIGHT, fps=10) as writer:
        for t, (image, labels) in enumerate(moving_clip(HEIGHT, WIDTH, FRAMES)):
            writer.write(image)
            if t == 0:
                write_mask(folder / "mask.png", labels)
    shutil.copy(tiny_file, folder)
    return folder


@pytest.fixture
def run(files, command, monkeypatch):
    """`command` in the folder of the files, with small weights."""
    monkeypatch.chdir(files)

    def small(*words):
        if words[:1] in (("segment",), ("evaluate",), ("look",), ("compare",)) and "--weights" not in words:
            words += ("--weights", "tiny.safetensors")
        return command(*words)

    return small


def test_segment_writes_its_results(run, tmp_path):
    code, out, err = run(
        "segment", "clip.mp4", "--mask", "mask.png", "--out", tmp_path / "new" / "out", "--every", 2
    )
    assert (code, err) == (0, "")
    assert "8 masks" in out
    assert len(list((tmp_path / "new/out/masks").glob("*.png"))) == FRAMES
    report = json.loads((tmp_path / "new/out/report.json").read_text())
    assert report["weights"]["name"] == "tiny.safetensors" and len(report["weights"]["sha256"]) == 64


def test_an_object_that_is_absent_has_no_mask_there_and_a_wrong_range_is_a_mistake(run, tmp_path):
    words = ["segment", "clip.mp4", "--mask", "mask.png", "--out", tmp_path / "out"]
    assert run(*words, "--absent", "1:3-4", "--absent=1:6")[0] == 0
    for n in (3, 4, 6):
        assert not read_labels(tmp_path / "out" / "masks" / f"{n:05d}.png").any()
    for wrong in ("1", "1:4-3", "1:0-2", "0:3-4", "a:1-2"):  # the mask is on frame 0
        code, _, err = run(*words, "--absent", wrong)
        assert code == 2 and is_one_line(err)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_runs(run, tmp_path, preset):
    words = f"--memory {preset} --budget-mb 0.5 --top-k 4 --size 32 --dtype fp32 --device cpu".split()
    code, _, err = run("segment", "clip.mp4", "--mask", "mask.png", "--out", tmp_path, *words)
    assert (code, err) == (0, "")
    memory = json.loads((tmp_path / "report.json").read_text())["memory"]
    assert memory["preset"] == preset and memory["budget_bytes"] == (2**19 if preset == "bounded" else None)


def test_look_writes_weights_that_sum_to_one_and_the_picture(run, tmp_path):
    words = ("clip.mp4", "--mask", "mask.png", "--frame", 6, "--at", "20,20", "--out", tmp_path / "out")
    for _ in range(2):  # a second look takes the place of the first
        code, _, err = run("look", *words, "--every", 2)
        assert (code, err) == (0, "")
    found = json.loads((tmp_path / "out" / "look.json").read_text())
    weights = np.load(tmp_path / "out" / "weights.npz")
    assert list(weights) == [f"t{one['t']:05d}" for one in found["stored"]]
    assert sum(one["share"] for one in found["stored"]) == pytest.approx(1)
    assert sum(weights[name].sum() for name in weights) == pytest.approx(1, abs=1e-3)
    assert all(
        weights[name].dtype == np.float32 and weights[name].shape == (HEIGHT, WIDTH) for name in weights
    )
    assert found["stored"][0]["kind"] == "prompted" and (found["frame"], found["at"]) == (6, [20, 20])
    assert found["object"] in (0, 1) and set(found["matches"][0]) == {"t", "x", "y", "weight"}
    assert unpack((tmp_path / "out" / "look.png").read_bytes()).ndim == 3


def test_a_look_before_the_prompt_is_one_into_the_backward_run(run, tmp_path):
    words = ("--mask", "mask.png", "--prompt-frame", 5, "--frame", 2, "--at", "3,3", "--out", tmp_path)
    assert run("look", "clip.mp4", *words)[0] == 0
    stored = json.loads((tmp_path / "look.json").read_text())["stored"]
    assert stored[-1]["t"] == 5 and all(one["t"] > 2 for one in stored)


def test_compare_writes_a_table_and_a_film_side_by_side(run, files, tmp_path):
    (tmp_path / "truth").mkdir()
    for t, (_, labels) in enumerate(moving_clip(HEIGHT, WIDTH, FRAMES)):
        write_mask(tmp_path / "truth" / f"{t:05d}.png", labels)
    words = ("clip.mp4", "--mask", "mask.png", "--presets", "first,previous", "--out", tmp_path / "out")
    for _ in range(2):
        code, _, err = run("compare", *words, "--truth", tmp_path / "truth")
        assert (code, err) == (0, "")
    table = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [row["name"] for row in table["runs"]] == ["first", "previous"]
    assert all(0 <= row[name] <= 1 for row in table["runs"] for name in ("J", "F", "agreement"))
    assert all(row["bank_bytes"] > 0 and row["read_peak_bytes"] > 0 for row in table["runs"])
    assert (tmp_path / "out" / "compare.md").read_text().count("\n") == 4
    with read_video(tmp_path / "out" / "compare.mp4") as film:
        assert len(list(film)) == FRAMES and film.info.width == 2 * WIDTH
    code, _, _ = run("compare", *words)  # without truth
    table = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert (code, table["reference"]) == (0, "every-5")
    assert [row["name"] for row in table["runs"]] == ["first", "previous", "every-5"]
    assert table["runs"][0]["J"] is None and table["runs"][-1]["agreement"] == 1
    others = ("--sizes", "32", "--budgets-mb", "2", "--networks", "tiny.safetensors")
    assert run("compare", *words[:3], *others, *words[-2:], "--truth", tmp_path / "truth")[0] == 0
    table = json.loads((tmp_path / "out" / "compare.json").read_text())
    names = [row["name"] for row in table["runs"]]
    assert names == ["size 32", "limit 2 MB", "network tiny.safetensors"]


def test_clicks_before_and_after_the_clip_and_on_a_later_frame(run, tmp_path):
    code, _, err = run(
        "segment", "--click", "30,20", "10,5,0", "clip.mp4", "--out", tmp_path, "--prompt-frame", 3
    )
    assert (code, err) == (0, "")
    code, _, _ = run("segment", "clip.mp4", "--click", "30,20,1,7", "--click", "5,5,1,9", "--out", tmp_path)
    assert code == 0
    assert json.loads((tmp_path / "report.json").read_text())["objects"] == 2


CLIP_AND_MASK = ["segment", "clip.mp4", "--mask", "mask.png"]


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


def test_a_mask_among_the_results_of_another_frame_is_not_overwritten(run, files, tmp_path):
    code, _, _ = run(*CLIP_AND_MASK, "--out", tmp_path)
    by_hand = tmp_path / "masks" / "00002.png"
    by_hand.write_bytes((files / "mask.png").read_bytes())
    before = by_hand.read_bytes()
    again = ["segment", "clip.mp4", "--mask", by_hand, "--out", tmp_path]
    code, _, err = run(*again)
    assert code == 2 and "--prompt-frame" in err and is_one_line(err)
    assert by_hand.read_bytes() == before
    code, _, _ = run(*again, "--prompt-frame", 2)
    assert code == 0 and (np.array(Image.open(by_hand)) == unpack(before)).all()


INTERRUPT_AT_MASK_3 = """
import os, signal, sys
from stm_core.commands import cli
from stm_core.runs import output
def write_whole(path, data):
    whole(path, data)
    if path.name == "00003.png":
        os.kill(os.getpid(), signal.SIGINT)
whole, output.write_whole = output.write_whole, write_whole
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may ignore it
sys.exit(cli.main(sys.argv[1:]))
"""


def test_interrupting_keeps_the_finished_masks_and_exits_130(files, tmp_path):
    pictures = tmp_path / "long"
    pictures.mkdir()
    for t, (image, _) in enumerate(moving_clip(HEIGHT, WIDTH, 200)):
        Image.fromarray(image).save(pictures / f"{t:04d}.png")
    out = tmp_path / "out"
    words = [pictures, "--mask", files / "mask.png", "--out", out, "--weights", files / "tiny.safetensors"]
    command = [sys.executable, "-c", INTERRUPT_AT_MASK_3, "segment", *map(str, words)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert child.returncode == 130 and is_one_line(child.stderr), child.stderr
    report = json.loads((out / "report.json").read_text())
    names = sorted(path.name for path in (out / "masks").iterdir())
    assert names == [f"{t:05d}.png" for t in range(report["frames_out"])] and 4 <= len(names) < 200
    assert "stopped" in report["warnings"][-1] and (out / "overlay.mp4").exists()


def test_batch_runs_real_processes_and_one_bad_clip_stops_nobody(run, files, tmp_path):
    (files / "list.txt").write_text("clip.mp4 --mask mask.png\nnone.mp4 --mask mask.png\n")
    code, out, err = run(
        "batch", "list.txt", "--out", tmp_path, "--weights", "tiny.safetensors", "--workers", 2
    )
    assert code == 2 and is_one_line(err) and "none.mp4" in err
    assert "1 of 2 clips done" in out
    assert len(list((tmp_path / "clip/masks").glob("*.png"))) == FRAMES
