"""Laws of the closer look in training: pieces hold what was found, and clicks and labels move with them."""

import torch
from conftest import generator
from test_loop import tiny_config

from stm_core.training.data import closer_crops as closer
from stm_core.training.data.stores import IGNORE
from stm_core.training.fit import unroll
from stm_core.training.fit.loop import Trainer

SIZE = 96


def found():
    """Three masks, two clicks each; the last object lies in a corner, and its second click is none."""
    masks = torch.zeros(3, SIZE, SIZE)
    masks[0, 30:60, 40:50], masks[1, 10:14, 80:84], masks[2, :8, :8] = 1, 1, 1
    points = torch.tensor([[[45.0, 40, 1], [60, 70, 0]], [[82, 12, 1], [85, 20, 1]], [[2, 2, 1], [0, 0, -1]]])
    return masks, points


def test_a_piece_holds_the_mask_and_the_clicks():
    masks, points = found()
    for seed in range(5):
        corner, side = closer.pieces(masks, points, generator(seed))
        for n in range(3):
            places = torch.cat([masks[n].nonzero().flip(1).float(), points[n, points[n, :, 2] >= 0, :2]])
            assert (places >= corner[n]).all() and (places <= corner[n] + side[n]).all()
        assert (side >= closer.SMALLEST * SIZE).all() and (side <= SIZE).all()


def test_clicks_masks_and_labels_move_with_the_piece():
    masks, points = found()
    piece = closer.pieces(masks, points, generator())
    moved = closer.moved(points, *piece, 64)
    seen = closer.cut(masks, *piece, 64, "bilinear", "zeros")
    labels = closer.cut_labels(masks.to(torch.uint8), *piece, 64)
    for n in range(3):
        x, y, _ = moved[n, 0].round().long().tolist()
        assert seen[n, y, x] > 0.5 and labels[n, y, x] == 1
    beyond = labels[2] == IGNORE  # the corner's piece reaches over the picture's edge
    assert beyond.any() and not (labels[0] == IGNORE).any() and not beyond[seen[2] > 0.5].any()


def test_a_step_on_closer_clicks_reduces_the_loss(tmp_path, photos, maker):
    trainer = Trainer(tiny_config(tmp_path), photos, photos, None)
    trainer.network.train()
    batch = maker.batch(3, 1, SIZE, video=False)
    losses = []
    for _ in range(15):
        result = unroll.click(trainer.network, batch, 2, generator(1), closer=True)
        losses.append(result["loss"].item())
        trainer._update(result["loss"])
    assert losses[-1] < 0.9 * losses[0]


def test_what_is_held_does_not_move(tmp_path, photos, clips):
    trainer = Trainer(tiny_config(tmp_path, hold=True, clicks=0.5), photos, photos, clips)
    before = {name: weight.clone() for name, weight in trainer.network.named_parameters()}
    trainer.run()
    moved = {
        name for name, weight in trainer.network.named_parameters() if not torch.equal(weight, before[name])
    }
    assert moved and not any(name.startswith(("trunk.", "key.", "log_sharpness", "lite.")) for name in moved)
