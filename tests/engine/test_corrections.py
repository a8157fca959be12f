"""Laws of clicks on a given mask: those that stand for it lie inside it, and it changes at a click alone."""

import numpy as np
import pytest
import torch
from conftest import squares

from stm_core import segment_frame
from stm_core.engine.corrections import ENOUGH, anchored


def clicks(*points):
    return torch.tensor([[(*point, 1.0)[:3] for point in points]], dtype=torch.float32)


def test_they_lie_inside_the_mask_and_apart():
    mask = torch.zeros(1, 80, 120)
    mask[0, 20:60, 40:100] = 1
    found = anchored(clicks((10, 10, 0)), mask, (1.0, 1.0))
    assert found.shape == (1, ENOUGH + 1, 3) and torch.equal(found[:, -1:], clicks((10, 10, 0)))
    x, y, label = found[0, :-1].T.long()
    assert (mask[0, y, x] == 1).all() and (label == 1).all()
    gaps = torch.cdist(found[0, :-1, :2], found[0, :-1, :2]) + 1e3 * torch.eye(ENOUGH)
    assert gaps.min() > 8


def test_they_keep_away_from_a_removing_click():
    mask = torch.zeros(1, 64, 128)
    mask[0, 10:54, 10:118] = 1
    found = anchored(clicks((30, 32, 0)), mask, (1.0, 1.0))[0, :-1]
    assert (found[:, 0] - 30).abs().min() > 16


@pytest.mark.parametrize("scale", [1.0, 0.5, 3.0])
def test_they_are_in_pixels_of_the_frame_whatever_size_was_processed(scale):
    mask = torch.zeros(1, 64, 64)
    mask[0, 32:, 32:] = 1
    found = anchored(clicks((1, 1, 0)), mask, (scale, scale))[0, :-1]
    assert (found[:, :2] >= 32 * scale).all() and (found[:, :2] < 64 * scale).all()


def test_a_mask_with_an_adding_click_inside_and_an_empty_one_get_none():
    mask = torch.zeros(2, 64, 64)
    mask[0, 8:56, 8:56] = 1
    points = torch.tensor([[(20.0, 20.0, 1.0), (40.0, 40.0, 1.0)], [(5.0, 5.0, 1.0), (-1.0, -1.0, -1.0)]])
    found = anchored(points, mask, (1.0, 1.0))
    assert torch.equal(found, points)
    assert anchored(points[1:], mask[1:], (1.0, 1.0)).shape == (1, 2, 3)


def test_a_given_mask_survives_a_click_elsewhere(tiny):
    ((frame, labels),) = squares(1, objects=2)
    seen = []
    tiny.network.encode_memory, plain = None, tiny.network.encode_memory

    def spy(frame, masks, query, maps=None):
        seen.append(maps)
        return plain(frame, masks, query, maps)

    tiny.network.encode_memory = spy
    try:
        segment_frame(tiny, frame, [(60, 60, 0, 1)], mask=(labels == 1).astype(np.uint8))
    finally:
        del tiny.network.encode_memory
    assert seen[0][:, 0].amax() == 1  # the network was told of the mask by a click on it
