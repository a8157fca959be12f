"""Laws of the score of corrections: what is repaired is wrong, and a perfect answer repairs it at once."""

import numpy as np
import pytest
from conftest import colour_model, squares
from PIL import Image

from stm_core.commands.choose import new_folders
from stm_core.errors import OptionError
from stm_core.training.measure import repairs as module
from stm_core.training.measure.repairs import score_corrections, wrong_masks


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """A clip whose object is twice as high as what a network that knows colours finds of it."""
    monkeypatch.setattr(module, "EVERY", 4)
    monkeypatch.setattr(module, "FIRST", 3)
    monkeypatch.setattr(module, "SIDE", 64)
    pictures, _ = new_folders(tmp_path / "davis", "square")
    given = []
    for t, (image, labels) in enumerate(squares(12)):
        Image.fromarray(image).save(pictures / f"{t:05d}.png")
        given.append(labels | (np.roll(labels, 16, 0) if t else 0))
    return [(pictures, given)]


def test_masks_to_repair_are_wrong_ones_of_both_runs(clips):
    found = list(wrong_masks(colour_model(), clips[0]))
    assert len(found) == 6
    for image, truth, mask in found:
        assert image.shape[:2] == truth.shape == mask.shape and mask.dtype == bool
        assert 2 * (mask & (truth == 1)).sum() == (truth == 1).sum()


def test_a_click_that_is_answered_rightly_repairs(clips):
    row = score_corrections(colour_model(), clips, lambda image, given, mask: np.zeros_like(mask))
    assert row["masks"] == 6 and row["J before"] < 0.9 and row["made worse"] > 0
    truths = [(truth == 1) for _, truth, _ in wrong_masks(colour_model(), clips[0])]
    answers = iter(truths)
    row = score_corrections(colour_model(), clips, lambda *_: next(answers))
    assert row["J after 1"] == row["J after 3"] == 1 and row["made worse"] == 0


def test_clips_without_a_wrong_mask_are_told(clips, monkeypatch):
    monkeypatch.setattr(module, "WRONG", (2.0, 3.0))
    with pytest.raises(OptionError):
        score_corrections(colour_model(), clips, lambda *_: None)
