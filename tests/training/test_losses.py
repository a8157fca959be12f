"""Losses: nothing from ignored pixels, next to nothing for a perfect answer."""

import torch
from conftest import generator

from stm_core.training.data.stores import IGNORE
from stm_core.training.fit.losses import correspondence, segmentation


def test_ignored_pixels_give_no_gradient():
    logits = torch.randn(2, 1, 16, 16, generator=generator(), requires_grad=True)
    labels = torch.randint(0, 2, (2, 16, 16), generator=generator(), dtype=torch.uint8)
    labels[:, :8] = IGNORE
    segmentation(logits, labels, hardest=1.0).backward()
    assert logits.grad[:, :, :8].abs().max() == 0 and logits.grad[:, :, 8:].abs().max() > 0


def test_a_perfect_answer_costs_almost_nothing():
    labels = torch.zeros(1, 16, 16, dtype=torch.uint8)
    labels[:, 4:10] = 1
    right = torch.where(labels[:, None] == 1, 12.0, -12.0)
    assert segmentation(right, labels) < 0.01 < segmentation(-right, labels)


def test_correspondence_is_least_for_keys_that_know_their_place():
    place = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="xy"), -1)
    points = torch.cat([place, torch.zeros(4, 4, 1)], -1)[None]
    knowing = torch.eye(16).view(1, 16, 4, 4) * 6
    right, wrong = (correspondence(knowing, keys, points, points) for keys in (knowing, knowing.roll(1, 2)))
    assert right < 0.1 * wrong
