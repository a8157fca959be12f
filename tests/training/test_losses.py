"""Losses: nothing from ignored pixels, next to nothing for a perfect answer."""

import torch
from conftest import generator

from stm_core.training.data.stores import IGNORE
from stm_core.training.fit.losses import correspondence, segmentation, transported


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


def test_transport_is_least_for_keys_that_carry_each_mask_to_its_place():
    masks = torch.stack([torch.tril(torch.ones(4, 4)), torch.triu(torch.ones(4, 4), 1)])[None]  # one-hot
    knowing = torch.eye(16).view(1, 16, 4, 4) * 6
    moved, query = masks.roll(1, 3), knowing.roll(1, 3)
    assert transported(query, knowing, masks, moved) < 0.1 * transported(query, knowing, masks, masks)
    asked = masks * torch.tensor([1.0, 1, 0, 0]).view(4, 1)  # the lower half is ignored
    assert 0 < transported(query, knowing, masks, asked) < transported(query, knowing, masks, masks)
