"""Laws of the tools around training: results on stdout, and a mistake in one line with exit code 2."""

import numpy as np
import pytest
from PIL import Image

from stm_core.commands import training_tools
from stm_core.training.data.stores import held_out
from stm_core.training.measure.click_score import COUNTED, GOOD


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["choose", "none", "compact"],
        ["clicks", "none"],
        ["clicks", "none", "--every", "0"],
        ["mean", "none.safetensors", "--out", "mean.safetensors"],
        ["shards", "none", "--out", "shards"],
        ["shards", "none", "--out", "shards", "--mb", "0"],
    ],
)
def test_a_mistake_is_told_in_one_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert training_tools.main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("training_tools: ") and printed.err.count("\n") == 1


def test_shards_are_listed_with_their_sizes(tmp_path, capsys):
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "images" / "a.png").write_bytes(bytes(2**20))
    assert training_tools.main(["shards", str(tmp_path / "set"), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'shard00.zip'} 1.0 MiB\n"


def test_clicks_print_a_row_a_method(tmp_path, monkeypatch, capsys):
    names = [f"{n}.png" for n in range(999)]
    left_out = next(name for name in names if held_out(tmp_path / name))
    trained = next(name for name in names if not held_out(tmp_path / name))
    labels = np.zeros((32, 32), np.uint8)
    labels[8:24, 8:24] = 1
    for kind, picture in (("images", np.dstack([labels * 255] * 3)), ("masks", labels)):
        (tmp_path / kind).mkdir()
        for name in (left_out, trained):
            Image.fromarray(picture).save(tmp_path / kind / name)

    def methods(weights):
        return {weights: lambda image, clicks, found: image[..., 0] > 0}

    monkeypatch.setattr("stm_core.training.measure.click_score.methods", methods)
    assert training_tools.main(["clicks", str(tmp_path), "--weights", "exact"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "1 pictures" and table[-1].startswith(
        "| exact |" + " 1.000 |" * (len(COUNTED) + len(GOOD))
    )
    assert training_tools.main(["clicks", str(tmp_path), "--weights", "exact", "--all", "--every", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "2 pictures"
