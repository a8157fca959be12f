"""Simulated clicks fall where a person would click; the score counts them."""

import numpy as np
import pytest
import torch
from conftest import generator
from PIL import Image

from stm_core.networks.compact import click_maps
from stm_core.training.data.simulated_clicks import error_click, first_clicks, next_clicks
from stm_core.training.data.stores import held_out
from stm_core.training.measure.click_score import COUNTED, MOST_CLICKS, read_examples, score


def test_first_clicks_fall_inside_and_prefer_the_middle():
    truth = torch.zeros(50, 64, 64, dtype=bool)
    truth[:, 16:48, 16:48] = True
    clicks = first_clicks(truth, generator())[:, 0]
    assert truth[torch.arange(50), clicks[:, 1].long(), clicks[:, 0].long()].all()
    assert (clicks[:, 2] == 1).all() and ((clicks[:, :2] - 32).abs() < 10).all(
        1
    ).float().mean() > 0.55  # 0.39 if drawn evenly


def test_an_empty_mask_gets_a_click_that_does_not_count():
    clicks = first_clicks(torch.zeros(1, 32, 32, dtype=bool), generator())
    assert clicks[0, 0, 2] == -1 and click_maps(clicks, 32, 32).sum() == 0


def test_the_next_click_is_in_the_larger_error_with_its_sign():
    truth, found = torch.zeros(1, 64, 64, dtype=bool), torch.zeros(1, 64, 64, dtype=bool)
    truth[:, 8:40, 8:40] = True
    none = torch.zeros_like(truth)
    assert next_clicks(found, truth, none, generator())[0, 0, 2] == 1
    found[:, 8:60, 8:60] = True
    x, y, label = next_clicks(found, truth, none, generator())[0, 0].tolist()
    assert label == 0 and found[0, int(y), int(x)] and not truth[0, int(y), int(x)]


def test_click_maps_are_discs_by_sign():
    maps = click_maps(torch.tensor([[[10.0, 20, 1], [40, 40, 0], [5, 5, -1]]]), 64, 64)
    assert maps[0, 0, 20, 10] == 1 and maps[0, 1, 40, 40] == 1 and maps[0, :, 5, 5].sum() == 0
    assert maps[0, 0].sum() == maps[0, 1].sum() == 81  # pixels within 5 of a point


def test_a_careful_click_goes_to_the_middle_of_the_larger_error():
    truth, found = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    truth[10:30, 10:30] = True
    x, y, label = error_click(found, truth, ~truth & False)
    assert label == 1 and abs(x - 20) <= 4 and abs(y - 20) <= 4
    assert error_click(truth, truth, ~truth & False) is None


def test_a_segmenter_that_knows_the_answer_needs_one_click():
    truth = np.zeros((64, 64), np.uint8)
    truth[10:30, 10:30] = 1
    result = score([(np.zeros((64, 64, 3), np.uint8), truth)], lambda image, clicks, found: truth == 1)
    assert all(result[f"IoU@{n}"] == 1 for n in COUNTED) and result["NoC@90"] == 1
    assert result["never 85"] == result["made worse"] == 0 < result["s a click"]


def test_a_mask_that_gets_worse_is_counted_and_never_good():
    truth = np.zeros((64, 64), np.uint8)
    truth[10:30, 10:30] = 1

    def fading(image, clicks, found):
        return (truth == 1) & (np.arange(64) < 26 - len(clicks) % 2)  # better, worse, better, ...

    result = score([(np.zeros((64, 64, 3), np.uint8), truth)], fading)
    assert result["NoC@80"] == 2 and result["NoC@85"] == MOST_CLICKS and result["never 85"] == 1
    assert result["made worse"] == pytest.approx(9 / 19)


@pytest.mark.parametrize("value, ignored", [(255, False), (3, True)])
def test_any_folder_can_be_scored_and_by_default_only_what_training_left_out(tmp_path, value, ignored):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    mask = np.zeros((48, 64), np.uint8)
    mask[12:36, 20:44] = value
    if ignored:
        mask[:4] = 255
    for n in range(80):
        Image.new("RGB", (64, 48)).save(tmp_path / f"images/{n}.jpg")
        Image.fromarray(mask).save(tmp_path / f"masks/{n}.png")
    left_out = sum(held_out(path) for path in (tmp_path / "masks").iterdir())
    for everything, count in ((True, 80), (False, left_out)):
        found = list(read_examples(tmp_path, 1, everything=everything))
        assert len(found) == count > 0
        assert set(np.unique(found[0][1])) == ({0, 1, 255} if ignored else {0, 1})
    assert len(list(read_examples(tmp_path, 20, everything=True))) == 4
