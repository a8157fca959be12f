"""Made-up clips match their masks, and come the same from the same seed."""

import pytest
import torch
from conftest import TRAINING_SIZE, generator

from stm_core.training.data.motion import Dice, bend, look, path, sample, turn
from stm_core.training.data.stores import IGNORE
from stm_core.training.data.synth import ClipMaker


def test_a_made_up_scene_matches_its_mask_pixel_by_pixel(maker):
    scene = maker.layers.photo_scene(6, 3, TRAINING_SIZE)
    red, blue = scene.pixels[:, :, 0] > 0.9, scene.pixels[:, :, 2] > 0.9
    assert (scene.labels[red] == 1).float().mean() > 0.98
    assert (scene.labels[blue] == 0).float().mean() > 0.98


def test_a_video_scene_matches_its_mask_pixel_by_pixel(maker):
    scene = maker.layers.video_scene(6, 3, TRAINING_SIZE, 2)
    assert (scene.labels[scene.pixels[:, :, 0] > 0.9] == 1).float().mean() > 0.98


def test_a_cutout_covers_what_its_alpha_says(maker):
    layer = maker.layers.photo_cutout(
        torch.arange(4), 3, TRAINING_SIZE, blob=torch.zeros(4, dtype=bool), shown=torch.ones(4, dtype=bool)
    )
    inside = layer.alpha[:, :, 0] > 0.99
    red, blue = layer.pixels[:, :, 0][inside], layer.pixels[:, :, 2][inside]
    assert inside.any() and (red > blue).float().mean() > 0.98


def test_a_hidden_cutout_covers_nothing(maker):
    layer = maker.layers.photo_cutout(
        torch.arange(4), 3, TRAINING_SIZE, blob=torch.zeros(4, dtype=bool), shown=torch.zeros(4, dtype=bool)
    )
    assert layer.alpha.max() == 0


def test_batches_are_frames_in_range_with_known_labels(maker):
    for video, moving in ((False, False), (True, False), (False, True), (True, True)):
        batch = maker.batch(3, 2, TRAINING_SIZE, video=video, moving=moving)
        assert batch.frames.shape == (3, 2, 3, TRAINING_SIZE, TRAINING_SIZE) and batch.points.shape == (
            3,
            2,
            4,
            4,
            3,
        )
        assert batch.frames.min() >= 0 and batch.frames.max() <= 1
        assert set(batch.labels.unique().tolist()) <= {0, 1, 2, 3, IGNORE}


def test_the_same_seed_makes_the_same_clips(photos, clips):
    one, two = (
        ClipMaker(photos, photos, clips, generator(3)).batch(2, 2, TRAINING_SIZE, video=True, moving=True)
        for _ in range(2)
    )
    assert torch.equal(one.frames, two.frames) and torch.equal(one.labels, two.labels)


def test_sampling_a_coordinate_image_returns_the_grid():
    dice, line = Dice(generator()), torch.linspace(-1, 1, 201)
    x, y = torch.meshgrid(line, line, indexing="xy")
    picture = torch.stack([x, y])[None] * 201 / 200  # value = position, in grid units
    matrix = turn(torch.tensor([[0.3, 0.2]]), torch.tensor([[0.5, 0.6]]), torch.ones(1, 1))
    place = path(dice, 1, 2, torch.zeros(1, 2), 0.05, 0.02)
    grid = look(
        torch.zeros(1, 2), matrix, place, bend(dice, 1, 2, TRAINING_SIZE, torch.tensor([0.03])), TRAINING_SIZE
    )
    seen = sample(picture, grid).permute(0, 1, 3, 4, 2)
    inside = grid.abs().amax(-1) < 0.95
    assert (seen - grid)[inside].abs().max() < 0.02


def test_an_object_of_video_covers_what_its_alpha_says_before_any_scene(maker):
    layer = maker.layers.video_cutout(6, 3, TRAINING_SIZE, 2, shown=torch.ones(6, dtype=bool))
    inside = layer.alpha[:, :, 0] > 0.99
    red, blue = layer.pixels[:, :, 0][inside], layer.pixels[:, :, 2][inside]
    assert inside.any() and (red > blue).float().mean() > 0.98
    assert layer.points.isnan().all()  # its motion is its own: no position is said to match


def test_a_studio_is_never_a_scene_but_its_objects_are_cut_out(photos, clips):
    clips.frames[:8] = 255  # the first clip is white all over
    clips.scenic = torch.tensor([False, True])
    layers = ClipMaker(photos, photos, clips, generator()).layers
    assert (layers.video_scene(12, 2, TRAINING_SIZE, 2).pixels.amin(2) < 0.5).all()
    cut = layers.video_cutout(12, 2, TRAINING_SIZE, 2, shown=torch.ones(12, dtype=bool))
    assert ((cut.pixels.amin(2) > 0.7) & cut.covers).any()


def test_an_object_of_video_is_one_that_its_first_frame_shows(photos, clips):
    clips.labels[clips.labels == 1] = 5
    clips.share = clips.share.roll(4, 1)
    layers = ClipMaker(photos, photos, clips, generator()).layers
    _, ids, _ = layers._pieces(layers.weights, 6, 2, 2)
    assert (ids[:, 0] == 1).flatten(1).any(1).all() and set(ids.unique().tolist()) == {0, 1, IGNORE}


@pytest.mark.parametrize("video", [False, True])
def test_a_scene_shows_two_objects_where_it_has_them_and_a_cutout_may_be_the_third(photos, clips, video):
    for store in (photos, clips):
        pictures = store.images if store is photos else store.frames
        store.labels[:, 66:90, 20:70] = 4  # a green one below
        pictures[:, :, 66:90, 20:70] = torch.tensor([0, 255, 0], dtype=torch.uint8).view(3, 1, 1)
        store.share[:, 4] = 0.1
    batch = ClipMaker(photos, photos, clips, generator()).batch(12, 2, TRAINING_SIZE, video=video)
    two, three = ((batch.labels == label).flatten(1).any(1) for label in (2, 3))
    assert two.float().mean() > 0.4 and three.any() and not three.all()
    layers = ClipMaker(photos, photos, clips, generator()).layers
    made = layers.video_scene(8, 2, TRAINING_SIZE, 2) if video else layers.photo_scene(8, 2, TRAINING_SIZE)
    labels = made.labels
    assert ((labels == 1).flatten(2).any(2) & (labels == 2).flatten(2).any(2)).float().mean() > 0.5
