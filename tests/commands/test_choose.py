"""Laws of the comparison of weights: which frames each way of playing takes, and what the table says."""

import numpy as np
import pytest
from PIL import Image

from stm_core.commands import choose, training_tools
from stm_core.masks.mask_files import write_mask
from stm_core.runs.evaluate import find_sequences

FRAMES = 9


@pytest.fixture
def davis(tmp_path):
    """One clip whose frames are told apart by their grey, and whose masks lie where their number says."""
    pictures, truths = choose.new_folders(tmp_path / "davis", "cow")
    for t in range(FRAMES):
        picture = Image.new("L", (16, 16))
        Image.new("RGB", (16, 16), (20 * t,) * 3).save(pictures / f"{t:05d}.png")
        picture.putpixel((t, 0), 1)
        write_mask(truths / f"{t:05d}.png", np.array(picture))
    return tmp_path / "davis"


def numbers(sequence):
    """Which frames a clip shows, read off its pictures and, independently, its masks."""
    shown = [Image.open(path).convert("RGB").getpixel((0, 0))[0] // 20 for path in sequence.frames]
    truths = [int(np.array(Image.open(path))[0].argmax()) for path in sequence.annotations]
    assert shown == truths
    return shown


@pytest.mark.parametrize(
    "way, expected",
    [
        ("forwards", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("backwards", [8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ("every third", [0, 3, 6]),
        ("every third, backwards", [8, 5, 2]),
        ("from the middle", [4, 5, 6, 7, 8]),
        ("from the middle, backwards", [4, 3, 2, 1, 0]),
    ],
)
def test_each_way_plays_these_frames_with_their_masks(davis, tmp_path, way, expected):
    [sequence] = choose.played(find_sequences(davis, 2016, "val"), way, tmp_path / "played")
    assert numbers(sequence) == expected and sequence.name == "cow"


def test_the_table_has_a_row_a_file_and_a_column_a_run(davis, monkeypatch, capsys):
    asked = []

    def evaluate(model, sequences, out, *, year, size):
        asked.append((len(sequences[0].frames), size))
        return {"J&F": len(asked) / 100}

    monkeypatch.setattr(choose, "evaluate", evaluate)
    monkeypatch.setattr(choose, "load_model", lambda file, engine: file)
    monkeypatch.setattr(choose, "ahead", lambda model, sequences, gap, read: gap / 10)
    assert training_tools.main(["choose", str(davis), "compact", "a/b.safetensors"]) == 0
    head, line, one, two = capsys.readouterr().out.splitlines()
    assert head.count("|") == line.count("|") == one.count("|") == two.count("|") == len(choose.RUNS) + 5
    assert one.startswith("| compact | 1.0 | 2.0 |") and one.endswith("| 8.0 | 4.50 | 10.0 | 60.0 |")
    assert two.startswith("| b.safetensors | 9.0 |")
    assert asked[: len(choose.RUNS)] == asked[len(choose.RUNS) :]
    assert asked[:3] == [(FRAMES, 320), (FRAMES, 320), (FRAMES, 480)]
