"""Laws of training: made-up clips match their masks, clicks fall right, steps help, resume is exact."""

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stm_core.compact import CompactSTM, click_maps
from stm_core.errors import OptionError, WeightsError
from stm_core.training import unroll
from stm_core.training.click_score import score
from stm_core.training.clicks import error_click, first_clicks, next_clicks
from stm_core.training.export import read_checkpoint
from stm_core.training.loop import Stage, TrainConfig, Trainer
from stm_core.training.losses import correspondence, segmentation
from stm_core.training.motion import Dice, bend, look, path, sample, turn
from stm_core.training.norms import freeze, settle
from stm_core.training.shards import pack
from stm_core.training.stores import IGNORE, MAX_OBJECTS, Clips, Photos
from stm_core.training.synth import Batch, ClipMaker
from stm_core.weights import TINY

SIZE = 64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def photos():
    """Eight pictures whose object is pure red on blue, with a band of ignored green."""
    labels = torch.zeros(8, 96, 96, dtype=torch.uint8)
    for n in range(8):
        labels[n, 20 + n : 60, 25 : 70 - n] = 1
        labels[n, :6] = IGNORE
    images = torch.stack([labels == 1, labels == IGNORE, labels == 0], dim=1) * 255
    share = torch.zeros(8, MAX_OBJECTS + 1)
    share[:, 1] = (labels == 1).float().mean((1, 2))
    return Photos(images.to(torch.uint8), labels, torch.ones(8), share)


@pytest.fixture
def clips(photos):
    frames = torch.cat([photos.images, photos.images.flip(0)])
    labels = torch.cat([photos.labels, photos.labels.flip(0)])
    return Clips(frames, labels, torch.tensor([0, 8]), torch.tensor([8, 8]))


@pytest.fixture
def maker(photos, clips):
    return ClipMaker(photos, photos, clips, generator())


@pytest.fixture
def batch(maker):
    return maker.batch(4, 3, SIZE, video=False)


def tiny_config(tmp_path, **changes):
    stage = Stage(until=1.0, size=SIZE, frames=3, clips=2, video=0.5)
    return TrainConfig(
        **{
            "out": tmp_path / "w.safetensors",
            "steps": 6,
            "bf16": False,
            "curriculum": (stage,),
            "network": TINY,
        }
        | changes
    )


def test_a_made_up_scene_matches_its_mask_pixel_by_pixel(maker):
    scene, labels, _ = maker._photo_scene(6, 3, SIZE)
    red, blue = scene[:, :, 0] > 0.9, scene[:, :, 2] > 0.9
    assert (labels[red] == 1).float().mean() > 0.98
    assert (labels[blue] == 0).float().mean() > 0.98


def test_a_video_scene_matches_its_mask_pixel_by_pixel(maker):
    scene, labels, _ = maker._video_scene(6, 3, SIZE, 2)
    assert (labels[scene[:, :, 0] > 0.9] == 1).float().mean() > 0.98


def test_a_cutout_covers_what_its_alpha_says(maker):
    layer = maker._cutout(
        torch.arange(4), 3, SIZE, blob=torch.zeros(4, dtype=bool), shown=torch.ones(4, dtype=bool)
    )
    inside = layer.alpha[:, :, 0] > 0.99
    red, blue = layer.pixels[:, :, 0][inside], layer.pixels[:, :, 2][inside]
    assert inside.any() and (red > blue).float().mean() > 0.98


def test_a_hidden_cutout_covers_nothing(maker):
    layer = maker._cutout(
        torch.arange(4), 3, SIZE, blob=torch.zeros(4, dtype=bool), shown=torch.zeros(4, dtype=bool)
    )
    assert layer.alpha.max() == 0


def test_batches_are_frames_in_range_with_known_labels(maker):
    for video in (False, True):
        batch = maker.batch(3, 2, SIZE, video=video)
        assert batch.frames.shape == (3, 2, 3, SIZE, SIZE) and batch.points.shape == (3, 2, 4, 4, 3)
        assert 0 <= batch.frames.min() and batch.frames.max() <= 1
        assert set(batch.labels.unique().tolist()) <= {0, 1, 2, IGNORE}


def test_the_same_seed_makes_the_same_clips(photos, clips):
    one, two = (
        ClipMaker(photos, photos, clips, generator(3)).batch(2, 2, SIZE, video=True) for _ in range(2)
    )
    assert torch.equal(one.frames, two.frames) and torch.equal(one.labels, two.labels)


def test_sampling_a_coordinate_image_returns_the_grid():
    dice, line = Dice(generator()), torch.linspace(-1, 1, 201)
    x, y = torch.meshgrid(line, line, indexing="xy")
    picture = torch.stack([x, y])[None] * 201 / 200  # value = position, in grid units
    matrix = turn(torch.tensor([[0.3, 0.2]]), torch.tensor([[0.5, 0.6]]), torch.ones(1, 1))
    place = path(dice, 1, 2, torch.zeros(1, 2), 0.05, 0.02)
    grid = look(torch.zeros(1, 2), matrix, place, bend(dice, 1, 2, SIZE, torch.tensor([0.03])), SIZE)
    seen = sample(picture, grid).permute(0, 1, 3, 4, 2)
    inside = grid.abs().amax(-1) < 0.95
    assert (seen - grid)[inside].abs().max() < 0.02


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


def test_a_step_on_a_fixed_batch_reduces_the_loss(tmp_path, photos, batch):
    trainer = Trainer(tiny_config(tmp_path), photos, photos, None)
    trainer.network.train()
    losses = []
    for _ in range(30):
        loss = unroll.track(trainer.network, batch, 2)["loss"]
        losses.append(loss.item())
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 0.003
        trainer._update(loss)
    assert losses[-1] < 0.7 * losses[0]


def test_a_step_on_clicks_reduces_the_loss(tmp_path, photos, batch):
    trainer = Trainer(tiny_config(tmp_path), photos, photos, None)
    trainer.network.train()
    losses = []
    for _ in range(30):
        result = unroll.click(trainer.network, batch, 2, generator(1))
        losses.append(result["loss"].item())
        trainer._update(result["loss"])
    assert losses[-1] < 0.7 * losses[0]


def test_resume_equals_no_interruption_bit_for_bit(tmp_path, photos, clips):
    config = tiny_config(tmp_path / "whole")
    config.out.parent.mkdir()
    whole = Trainer(config, photos, photos, clips)
    whole.run()
    config = replace(config, out=tmp_path / "pieces.safetensors")
    first = Trainer(config, photos, photos, clips)
    first.network.train()
    for _ in range(3):
        first.train_step(first.progress)
    first.save()
    second = Trainer(config, photos, photos, clips)
    second.load(first.checkpoint)
    second.run()
    for (name, one), two in zip(
        whole.network.state_dict().items(), second.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name
    for name, one in whole.average.state.items():
        assert torch.equal(one, second.average.state[name]), name


def test_two_processes_agree_with_one_on_the_joined_batch(tmp_path):
    """torchrun with two CPU processes: the same weights as one process that sees both batches."""
    script = Path(__file__).parent / "two_processes.py"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parent.parent)}
    done = subprocess.run(
        [*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    apart, joined = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("apart", "joined"))
    for name, value in joined.items():
        assert torch.allclose(apart[name], value, atol=2e-5), name


def test_a_written_file_loads_as_weights(tmp_path, photos):
    from stm_core.weights import load_model

    trainer = Trainer(tiny_config(tmp_path, steps=1), photos, photos, None)
    trainer.run()
    model = load_model(trainer.config.out, device="cpu", dtype="fp32")
    assert model.network.config == TINY
    frame = torch.rand(1, 3, 32, 32)
    kept = load_model(trainer.checkpoint.with_suffix(".safetensors"), device="cpu", dtype="fp32")
    assert torch.equal(model.network.encode_query(frame).key, kept.network.encode_query(frame).key)


def test_settled_norms_have_the_mean_statistics_and_frozen_ones_keep_them(maker):
    network, batch = CompactSTM(TINY), maker.batch(2, 2, SIZE, video=False)
    settle(network, lambda: unroll.track(network, batch, 1), 2)
    stem = network.trunk.stem.bn
    settled, usual = stem.running_mean.clone(), stem.momentum
    assert usual == 0.1 and settled.abs().max() > 0
    freeze(network)
    unroll.track(network, batch, 1)["loss"].backward()
    assert torch.equal(stem.running_mean, settled) and stem.weight.grad is not None


def test_training_needs_exactly_one_length(tmp_path):
    with pytest.raises(OptionError, match="--minutes"):
        TrainConfig(out=tmp_path / "w.safetensors")
    with pytest.raises(OptionError, match="--minutes"):
        TrainConfig(out=tmp_path / "w.safetensors", minutes=1, steps=1)


def test_a_batch_without_its_object_gives_a_finite_loss(tmp_path, photos):
    empty = Batch(
        torch.rand(2, 3, 3, SIZE, SIZE),
        torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8),
        torch.full((2, 3, 4, 4, 3), float("nan")),
    )
    network = CompactSTM(TINY)
    for result in (unroll.track(network, empty, 2), unroll.click(network, empty, 2, generator())):
        assert torch.isfinite(result["loss"])


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


def test_shards_hold_every_file_once_within_their_limit(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for n in range(20):
            (tmp_path / "set" / kind / f"{n}.png").write_bytes(bytes(1000))
    shards = pack([tmp_path / "set"], tmp_path / "out", 8000)
    names = []
    for shard in shards:
        assert shard.stat().st_size <= 8000
        with zipfile.ZipFile(shard) as archive:
            names += archive.namelist()
            stems = [Path(name).stem for name in archive.namelist()]
            assert all(stems.count(stem) == 2 for stem in stems)  # a picture and its mask stay together
    assert len(names) == len(set(names)) == 40 and "set/images/0.png" in names


def test_a_missing_or_damaged_checkpoint_is_told_in_words(tmp_path):
    with pytest.raises(WeightsError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "bad.ckpt").mkdir()
    (tmp_path / "bad.ckpt" / "network.pt").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "bad.ckpt")
