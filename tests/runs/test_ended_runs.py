"""A run that ends half-way: what was finished is kept and whole."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import colour_model, numbers
from pages import FRAMES, write_clip
from PIL import Image

from stm_core.commands import cli
from stm_core.engine.prompts import Prompt
from stm_core.errors import StmError
from stm_core.masks.mask_files import write_mask
from stm_core.runs.folder import segment_to_folder

ROOT = Path(__file__).parents[2]


def test_a_clip_that_disappears_in_the_middle_leaves_what_was_done(tmp_path):
    masks = write_clip(tmp_path / "clip.mp4")
    prompt = Prompt.from_mask(masks[8], frame=8)  # the clip is opened again for the way back
    steps = segment_to_folder(colour_model(), tmp_path / "clip.mp4", [prompt], tmp_path / "out")
    with pytest.raises(StmError, match="clip.mp4"):
        for step in steps:
            if step.result.index == 12:
                (tmp_path / "clip.mp4").unlink()
    assert set(numbers(tmp_path / "out" / "masks")) >= set(range(8, 13))
    assert "kept" in (tmp_path / "out" / "report.json").read_text()


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


def test_a_killed_run_leaves_whole_masks_and_can_be_repeated(tiny_file, tmp_path):
    masks, out = write_clip(tmp_path / "clip.mp4", objects=1), tmp_path / "out"
    write_mask(tmp_path / "mask.png", masks[0])
    words = ["segment", tmp_path / "clip.mp4", "--mask", tmp_path / "mask.png", "--out", out]
    words = [str(word) for word in [*words, "--weights", tiny_file, "--device", "cpu"]]
    killed = subprocess.run([sys.executable, "-c", DIE_AT_MASK_7, *words], cwd=ROOT, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    kept = sorted(out.glob("masks/*.png"))
    assert [path.name for path in kept] == [f"{t:05d}.png" for t in range(7)]
    assert all(np.asarray(Image.open(path)).shape == masks[0].shape for path in kept)
    assert not (out / "overlay.mp4").exists() and not (out / "report.json").exists()
    assert cli.main(words) == 0
    assert numbers(out / "masks") == list(range(FRAMES))
    assert sorted(path.name for path in out.iterdir()) == ["masks", "overlay.mp4", "report.json"]
