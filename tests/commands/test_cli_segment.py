"""Laws of `segment` as a command: masks, reports, and what an interrupt leaves."""

import json
import subprocess
import sys

import numpy as np
import pytest
from clip_command import CLIP_AND_MASK, FRAMES, HEIGHT, PATIENCE, ROOT, WIDTH, unpack
from conftest import is_one_line
from PIL import Image

from stm_core.masks.mask_files import read_labels
from stm_core.memory.policy import PRESETS
from stm_core.runs.made_up import moving_clip


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


def test_clicks_before_and_after_the_clip_and_on_a_later_frame(run, tmp_path):
    code, _, err = run(
        "segment", "--click", "30,20", "10,5,0", "clip.mp4", "--out", tmp_path, "--prompt-frame", 3
    )
    assert (code, err) == (0, "")
    code, _, _ = run("segment", "clip.mp4", "--click", "30,20,1,7", "--click", "5,5,1,9", "--out", tmp_path)
    assert code == 0
    assert json.loads((tmp_path / "report.json").read_text())["objects"] == 2


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
