"""Simulated clicks fall where a person would click; the score counts them."""

import numpy as np
import torch
from conftest import generator

from stm_core.networks.compact import click_maps
from stm_core.training.data.clicks import error_click, first_clicks, next_clicks
from stm_core.training.measure.click_score import score


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
    assert result == {"IoU@1": 1.0, "IoU@2": 1.0, "IoU@3": 1.0, "IoU@5": 1.0, "NoC@85": 1.0}
