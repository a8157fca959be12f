"""Laws of what a click asks for: what is connected with it, in a mask and in what changes."""

import numpy as np
import pytest
import torch
from conftest import COLOURS

from stm_core import click_choices, segment_frame
from stm_core.engine.click_parts import changes_at_clicks, parts_at_clicks
from stm_core.networks.interface import LOGIT_LIMIT


def clicks(*points):
    return torch.tensor([[(*point, 1.0)[:3] for point in points]], dtype=torch.float32)


@pytest.mark.parametrize("scale", [1.0, 0.5, 3.0])
def test_a_mask_changes_only_where_a_change_hangs_together_with_a_click(scale):
    before = torch.full((1, 50, 70), -2.0)
    before[0, 10:30, 10:30] = 2
    after = before.clone()
    after[0, 10:30, 30:45] = 3  # beside the click
    after[0, 40:48, 50:60] = 3  # far away
    after[0, 10:14, 10:14] = -3
    found = changes_at_clicks(before, after, clicks((40 * scale, 20 * scale, 1)), (scale, scale))
    assert torch.equal(found[0, :32, 24:], after[0, :32, 24:])
    assert torch.equal(found[0, 34:], before[0, 34:]) and torch.equal(found[0, :, :16], before[0, :, :16])
    assert torch.equal(changes_at_clicks(before, before, clicks((1, 1, 0)), (1.0, 1.0)), before)


def parts(*boxes):
    """Logits (1, 50, 70) of a mask with these parts: top, bottom, left, right."""
    logits = torch.full((1, 50, 70), -2.0)
    for top, bottom, left, right in boxes:
        logits[0, top:bottom, left:right] = 3
    return logits


LEFT, RIGHT, LOW = (8, 28, 4, 24), (8, 28, 40, 64), (38, 48, 4, 24)
NOTHING = parts()


@pytest.mark.parametrize("scale", [1.0, 0.5, 3.0])
def test_only_parts_with_a_positive_click_stay(scale):
    after = parts(LEFT, RIGHT, LOW)
    on_left, off_low = (14 * scale, 18 * scale, 1), (14 * scale, 43 * scale, 0)
    found = parts_at_clicks(NOTHING, after, clicks(on_left, off_low), (scale, scale))
    assert torch.equal(found > 0, parts(LEFT) > 0)
    assert (found[after < 0] == after[after < 0]).all() and found[0, 18, 50] == -LOGIT_LIMIT
    both = clicks(on_left, (50 * scale, 18 * scale, 1))
    assert torch.equal(parts_at_clicks(NOTHING, after, both, (scale, scale)) > 0, parts(LEFT, RIGHT) > 0)


def test_a_click_just_beside_a_part_asks_for_it():
    found = parts_at_clicks(NOTHING, parts(LEFT, RIGHT), clicks((14, 18, 1), (37, 18, 1)), (1, 1))
    assert torch.equal(found > 0, parts(LEFT, RIGHT) > 0)


def test_parts_of_the_mask_before_stay():
    found = parts_at_clicks(parts((20, 24, 50, 54)), parts(LEFT, RIGHT, LOW), clicks((14, 18, 1)), (1, 1))
    assert torch.equal(found > 0, parts(LEFT, RIGHT) > 0)


def test_a_mask_without_a_positive_click_in_it_stays_as_it_is():
    after = parts(LEFT, RIGHT)
    for own in (clicks((14, 18, 0)), clicks((30, 45, 1)), clicks((-1, -1, -1))):
        assert torch.equal(parts_at_clicks(NOTHING, after, own, (1, 1)), after)


@pytest.fixture
def twins():
    """A frame (96, 160, 3) with two squares of one colour, and their labels."""
    labels = np.zeros((96, 160), np.uint8)
    labels[32:64, 16:48] = labels[32:64, 112:144] = 1
    return COLOURS[labels], labels


def test_a_click_finds_one_of_two_that_look_alike_and_one_on_each_finds_both(colour, twins):
    frame, labels = twins
    one = segment_frame(colour, frame, [(32, 48, 1, 1)])
    assert np.array_equal(one[:, :80], labels[:, :80]) and not one[:, 80:].any()
    assert np.array_equal(segment_frame(colour, frame, [(32, 48, 1, 1), (128, 48, 1, 1)]), labels)
    assert np.array_equal(segment_frame(colour, frame, [(128, 48, 1, 1)], mask=one), labels)


def test_both_are_offered(colour, twins):
    frame, labels = twins
    sizes = [int(mask.sum()) for mask in click_choices(colour, frame, (32, 48, 1, 1))]
    assert sizes == [int((labels > 0).sum()) // 2, int((labels > 0).sum())]
