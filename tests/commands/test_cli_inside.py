"""Laws of `look` and `compare` as commands: their tables, pictures and films."""

import json

import numpy as np
import pytest
from clip_command import FRAMES, HEIGHT, WIDTH, unpack

from stm_core.masks.mask_files import write_mask
from stm_core.media.video import read_video
from stm_core.runs.made_up import moving_clip


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
