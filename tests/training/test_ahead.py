"""Laws of the score shortly after a true mask."""

import numpy as np
import pytest
from conftest import colour_model, squares
from PIL import Image

from stm_core.commands.choose import new_folders
from stm_core.masks.mask_files import write_mask
from stm_core.runs.evaluate import find_sequences, read_truth
from stm_core.training.measure.ahead import PAIRS, ahead

FRAMES = 30


def score(davis, gap):
    return ahead(colour_model(), find_sequences(davis, 2016, "val"), gap, lambda path: read_truth(path, 2016))


@pytest.fixture
def davis(tmp_path):
    """A clip that a network that knows colours follows without an error; in its second half it is grey."""
    pictures, truths = new_folders(tmp_path / "davis", "square")
    for t, (image, labels) in enumerate(squares(FRAMES)):
        shown = image if t < FRAMES // 2 else np.full_like(image, 96)
        Image.fromarray(shown).save(pictures / f"{t:05d}.png")
        write_mask(truths / f"{t:05d}.png", labels)
    return tmp_path / "davis"


def test_it_is_the_share_of_pairs_whose_second_frame_shows_what_the_first_one_gave(davis):
    one, six = score(davis, 1), score(davis, 6)
    assert one == pytest.approx(7 / 15, abs=0.02)  # every second frame begins a pair; colour ends at 15
    assert six == pytest.approx(9 / 24, abs=0.02)


def test_every_pair_begins_anew_with_the_truth(davis, monkeypatch):
    seen = []
    module = "stm_core.training.measure.ahead"
    monkeypatch.setattr(f"{module}.jaccard", lambda found, truth: seen.append(truth) or 1.0)
    monkeypatch.setattr(f"{module}.boundary_f", lambda found, truth: 0.5)
    assert score(davis, 2) == 0.75
    assert len(seen) == PAIRS and all(truth.any() for truth in seen)


def test_clips_without_such_a_pair_give_no_number(davis):
    for path in sorted((davis / "Annotations").rglob("*.png"))[1:]:
        write_mask(path, np.zeros((64, 96), np.uint8))
    assert np.isnan(score(davis, 1))
