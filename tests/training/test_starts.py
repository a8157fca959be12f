"""Laws of clips tracked from clicks: a click that finds the whole object is as good as its mask."""

import numpy as np
import pytest
from conftest import colour_model, squares
from PIL import Image

from stm_core.commands import training_tools
from stm_core.commands.choose import new_folders
from stm_core.training.measure.starts import STARTS, clicked, score_starts


@pytest.fixture
def davis(tmp_path):
    """A DAVIS root with one clip that training leaves out: a square that moves."""
    pictures, truths = new_folders(tmp_path, "square")
    for t, (image, labels) in enumerate(squares(6)):
        Image.fromarray(image).save(pictures / f"{t:05d}.jpg", quality=100, subsampling=0)
        Image.fromarray(labels * np.uint8(255)).save(truths / f"{t:05d}.png")
    (tmp_path / "ImageSets" / "2016").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2016" / "val.txt").write_text("square\n")
    return tmp_path


def test_clicks_that_find_the_object_score_as_its_mask(davis):
    assert score_starts(colour_model(), training_tools._clips(davis)) == [100.0] * len(STARTS)


def test_without_clicks_the_truth_is_given_and_with_them_what_they_find():
    image, labels = squares(1)[0]
    wrong = np.roll(labels, 16, 0)  # the colour ends elsewhere
    assert np.array_equal(clicked(colour_model(), image, wrong, 0), wrong)
    assert not np.array_equal(clicked(colour_model(), image, wrong, 1), wrong)


@pytest.mark.parametrize("tool", ["starts", "crossings"])
def test_each_file_has_a_row(tool, davis, monkeypatch, capsys):
    monkeypatch.setattr("stm_core.networks.weights.load_model", lambda file: colour_model())
    assert training_tools.main([tool, str(davis), "one", "folder/two"]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert {row.split(" | ")[0] for row in rows} == {"| one", "| two"}
