"""Laws of clips in which objects cross: all are there at first, one hides another, and they change sides."""

import numpy as np
import pytest
from conftest import colour_model, squares
from PIL import Image

from stm_core.commands.choose import new_folders
from stm_core.training.measure import crossings as module
from stm_core.training.measure.crossings import COLUMNS, KINDS, crossings, score_crossings, shot


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Three clips of one square each, of three colours, that stand in the middle."""
    monkeypatch.setattr(module, "LINES", 64)
    monkeypatch.setattr(module, "FRAMES", 5)
    monkeypatch.setattr(module, "AWAY", 1.0)  # steps of a cell
    made = []
    for i in range(3):
        pictures, _ = new_folders(tmp_path / "davis", f"square{i}")
        image, labels = squares(1, width=160)[0]
        image, labels = np.roll(image, (32, 64, i), (0, 1, 2)), np.roll(labels, (32, 64), (0, 1))
        for t in range(7):
            Image.fromarray(image).save(pictures / f"{t:05d}.png")
        made.append((pictures, [labels] * 7))
    return made


def middle(labels, number):
    return (labels == number).nonzero()[1].mean()


def test_objects_pass_in_front_of_the_first_from_side_to_side(clips):
    shots = [shot(clip) for clip in clips]
    for kind, count in zip(KINDS, (2, 2, 3), strict=True):
        for frames in crossings(shots, kind):
            labels = [labels for _, labels in frames]
            assert len(frames) == 5 and set(np.unique(labels[0])) == set(range(count + 1))
            for number in range(2, count + 1):
                ways = [middle(one, number) - middle(one, 1) for one in (labels[0], labels[-1])]
                assert ways[0] * ways[1] < 0 and (ways[0] < 0) == (number == 2)
            assert (labels[2] == 1).sum() < (labels[0] == 1).sum() == (labels[0] == count).sum()


def test_a_look_alike_looks_the_same_and_a_stranger_does_not(clips):
    shots = [shot(clip) for clip in clips]
    for kind, same in ((KINDS[0], False), (KINDS[1], True)):
        image, labels = next(crossings(shots, kind))[0]
        assert np.array_equal(image[labels == 1][0], image[labels == 2][0]) == same


def test_a_network_that_knows_colours_keeps_strangers_apart_and_not_look_alikes(clips):
    rows = dict(score_crossings(colour_model(), clips))
    assert list(rows) == list(KINDS) and all(
        tuple(row) == COLUMNS and row["clips"] == 3 for row in rows.values()
    )
    assert rows[KINDS[0]]["J"] > 85 and rows[KINDS[1]]["J"] < 60
