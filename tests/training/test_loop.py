"""Laws of training: made-up clips match their masks, clicks fall right, steps help, resume is exact."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TRAINING_SIZE, generator
from PIL import Image
from safetensors.torch import load_file, save_file

from stm_core.commands import cli
from stm_core.errors import OptionError, WeightsError
from stm_core.masks.mask_files import write_mask
from stm_core.networks.compact import CompactConfig, CompactSTM
from stm_core.networks.efficientnet import FROZEN
from stm_core.networks.weight_files import bundled_file
from stm_core.networks.weights import TINY, load_model
from stm_core.training.data.stores import IGNORE
from stm_core.training.data.synth import Batch
from stm_core.training.fit import unroll
from stm_core.training.fit.curriculum import Stage, TrainConfig
from stm_core.training.fit.export import read_checkpoint, starting_tensors
from stm_core.training.fit.loop import Trainer
from stm_core.training.fit.norms import freeze, settle


def tiny_config(tmp_path, **changes):
    stage = Stage(until=1.0, size=32, frames=3, clips=2, video=0.5)
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


@pytest.mark.parametrize("rate, frames", [(0.003, "tracked"), (None, "clicked")])
def test_steps_on_a_fixed_batch_reduce_the_loss(tmp_path, photos, batch, rate, frames):
    trainer = Trainer(tiny_config(tmp_path), photos, photos, None)
    trainer.network.train()
    losses = []
    for _ in range(20):
        if frames == "tracked":
            loss = unroll.track(trainer.network, batch, 2)["loss"]
        else:
            loss = unroll.click(trainer.network, batch, 2, generator(1))["loss"]
        losses.append(loss.item())
        for group in (group for optimizer in trainer.optimizers for group in optimizer.param_groups):
            group["lr"] = rate or group["lr"]
        trainer._update(loss)
    assert losses[-1] < 0.8 * losses[0]


def test_resume_equals_no_interruption_bit_for_bit(tmp_path, photos, clips):
    config = tiny_config(tmp_path / "whole", steps=2)
    config.out.parent.mkdir()
    whole = Trainer(config, photos, photos, clips)
    whole.run()
    config = replace(config, out=tmp_path / "pieces.safetensors")
    first = Trainer(config, photos, photos, clips)
    first.network.train()
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
    script = Path(__file__).parents[1] / "two_processes.py"
    command = [
        sys.executable,
        *"-m torch.distributed.run --standalone --nproc-per-node 2".split(),
        str(script),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parent.parent)}
    done = subprocess.run(
        [*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    apart, joined = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("apart", "joined"))
    for name, value in joined.items():
        assert torch.allclose(apart[name], value, atol=2e-5), name


def test_no_file_of_a_checkpoint_of_the_bundled_sizes_exceeds_16_mib(tmp_path, photos):
    trainer = Trainer(tiny_config(tmp_path, steps=1, network=CompactConfig()), photos, photos, None)
    trainer.run()
    sizes = {path.name: path.stat().st_size / 2**20 for path in trainer.checkpoint.iterdir()}
    assert len(sizes) <= 8 and 10 < max(sizes.values()) < 16, sizes
    network, average, *_ = read_checkpoint(trainer.checkpoint)
    assert set(network) == set(average) == set(trainer.network.state_dict())


def test_a_written_file_loads_as_weights(tmp_path, photos):
    trainer = Trainer(tiny_config(tmp_path, steps=1), photos, photos, None)
    trainer.run()
    model = load_model(trainer.config.out, device="cpu", dtype="fp32")
    assert model.network.config == TINY
    frame = torch.rand(1, 3, 32, 32)
    kept = load_model(trainer.checkpoint.with_suffix(".safetensors"), device="cpu", dtype="fp32")
    assert torch.equal(model.network.encode_query(frame).key, kept.network.encode_query(frame).key)


def test_a_run_begins_with_the_bundled_frozen_trunk_where_its_weights_have_none(tmp_path, photos):
    bundled = load_file(bundled_file()[0])
    start = starting_tensors(None)
    assert set(start) == {name for name in CompactSTM().state_dict() if name.startswith(FROZEN)}
    assert all(torch.equal(tensor, bundled[name].float()) for name, tensor in start.items())
    trainer = Trainer(tiny_config(tmp_path, steps=1), photos, photos, None)
    trainer.save()
    again = Trainer(tiny_config(tmp_path, seed=5), photos, photos, None)
    for path in (trainer.config.out, trainer.checkpoint):
        again.begin(path)
        for name, tensor in again.network.state_dict().items():
            assert torch.allclose(tensor, trainer.average.state[name], atol=1e-3), name
            assert torch.equal(tensor, again.average.state[name])


def test_what_a_file_lacks_starts_afresh_but_never_a_part_of_the_frozen_trunk(tmp_path, photos):
    trainer = Trainer(tiny_config(tmp_path), photos, photos, None)
    own = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    path = tmp_path / "some.safetensors"
    frozen = {name: tensor.contiguous() for name, tensor in own.items() if name.startswith(FROZEN)}
    save_file(frozen | {"key.bias": own["key.bias"] + 1}, path)
    trainer.begin(path)
    assert torch.equal(trainer.network.key.bias, own["key.bias"] + 1)
    assert torch.equal(trainer.network.key.weight, own["key.weight"])
    del frozen["lite.stem.bias"]
    save_file(frozen, path)
    with pytest.raises(WeightsError, match="lite.stem.bias"):
        trainer.begin(path)
    for wrong in ({"decoder.extra": torch.zeros(1)}, {"key.weight": torch.zeros(1)}):
        save_file(wrong | {"lite.stem.bias": own["lite.stem.bias"]} | frozen, path)
        with pytest.raises(WeightsError, match="some.safetensors"):
            trainer.begin(path)
    path.write_bytes(b"junk")
    with pytest.raises(WeightsError, match="some.safetensors"):
        trainer.begin(path)


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_training_leaves_the_frozen_trunk_as_it_began(tmp_path, photos, clips, bf16):
    trainer = Trainer(tiny_config(tmp_path, bf16=bf16, steps=2), photos, photos, clips)
    began = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    trainer.run()
    for name, tensor in trainer.network.state_dict().items():
        if name.startswith(FROZEN):
            assert torch.equal(tensor, began[name]) and torch.equal(trainer.average.state[name], tensor)
        elif "join" in name or "stem.conv" in name:
            assert not torch.equal(tensor, began[name]), name
    trainer.network.encode_query(torch.rand(1, 3, 32, 32))  # in the number format of its weights, as before


def test_settled_norms_have_the_mean_statistics_and_frozen_ones_keep_them(maker):
    network, batch = CompactSTM(TINY), maker.batch(2, 2, TRAINING_SIZE, video=False)
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
    for length in ({"minutes": float("nan")}, {"minutes": float("inf")}, {"minutes": 0.0}, {"steps": -1}):
        with pytest.raises(OptionError, match="0"):
            TrainConfig(out=tmp_path / "w.safetensors", **length)


def train(*words) -> int:
    return cli.main(["train", *(str(word) for word in words), "--device", "cpu", "--steps", "1"])


def test_an_out_that_is_a_folder_is_refused_before_anything_is_read(tmp_path, capsys):
    for out in (tmp_path, tmp_path / "w.ckpt"):
        assert train("--images", tmp_path / "none", "--out", out) == cli.MISTAKE
        assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("masks", ["none", "empty"])
def test_pictures_without_masks_are_refused_by_their_folder(tmp_path, capsys, masks):
    folder = tmp_path / "pictures"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), "red").save(folder / "images" / f"{number}.jpg")
        if masks == "empty":
            write_mask(folder / "masks" / f"{number}.png", np.zeros((64, 64), np.uint8))
    assert train("--images", folder, "--out", tmp_path / "w.safetensors") == cli.MISTAKE
    told = capsys.readouterr().err
    assert str(folder) in told and told.count("\n") == 1


def test_a_batch_without_its_object_gives_a_finite_loss(tmp_path, photos):
    empty = Batch(
        torch.rand(2, 3, 3, TRAINING_SIZE, TRAINING_SIZE),
        torch.zeros(2, 3, TRAINING_SIZE, TRAINING_SIZE, dtype=torch.uint8),
        torch.full((2, 3, 4, 4, 3), float("nan")),
    )
    network = CompactSTM(TINY)
    for result in (unroll.track(network, empty, 2), unroll.click(network, empty, 2, generator())):
        assert torch.isfinite(result["loss"])


def test_objects_beyond_those_tracked_are_background(batch):
    network = CompactSTM(TINY).eval()
    batch.labels[:, :, :16, :16], batch.labels[:, :, :16, -16:], batch.labels[:, :, -8:] = 2, 3, IGNORE
    everything = batch.labels.clone()
    for objects in (1, 2):
        batch.labels = everything
        found = unroll.track(network, batch, objects)
        batch.labels = torch.where((everything > objects) & (everything != IGNORE), 0, everything)
        assert found["loss"] == unroll.track(network, batch, objects)["loss"]
    batch.labels = everything
    assert unroll.track(network, batch, 3)["loss"] != found["loss"]


def test_a_missing_or_damaged_checkpoint_is_told_in_words(tmp_path):
    with pytest.raises(WeightsError, match="none.ckpt"):
        read_checkpoint(tmp_path / "none.ckpt")
    (tmp_path / "bad.ckpt").mkdir()
    (tmp_path / "bad.ckpt" / "network.pt").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="bad.ckpt"):
        read_checkpoint(tmp_path / "bad.ckpt")


def test_a_run_that_was_killed_while_it_saved_can_be_resumed(tmp_path, photos, capsys):
    trainer = Trainer(tiny_config(tmp_path), photos, photos, None)
    trainer.save()
    trainer.checkpoint.rename(trainer.checkpoint.with_suffix(".old"))
    Trainer(tiny_config(tmp_path), photos, photos, None).load(trainer.checkpoint)
    words = "--images", tmp_path / "none", "--out", trainer.config.out, "--resume"
    for checkpoint, told in ((trainer.checkpoint, "none"), (tmp_path / "other.ckpt", "other.ckpt")):
        assert train(*words, checkpoint) == cli.MISTAKE and told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["w.safetensors", "w.ckpt/rest.pt", "w.log.jsonl", "w.ckpt"])
def test_a_new_run_replaces_only_what_one_of_ours_wrote(tmp_path, photos, capsys, name):
    words = "--images", tmp_path / "none", "--out", tmp_path / "w.safetensors"
    trainer = Trainer(tiny_config(tmp_path), photos, photos, None)
    trainer.seconds = 1.0
    trainer._log(0.5, {"clips": [1.0]})
    for _ in range(2):
        trainer.save()
    (tmp_path / "w.ckpt" / "notes.txt").write_text("mine")
    trainer.save()
    assert train(*words) == cli.MISTAKE and "none" in capsys.readouterr().err  # the next thing that is wrong
    assert (tmp_path / "w.ckpt" / "notes.txt").read_text() == "mine"
    for path in [*tmp_path.glob(".w*"), *tmp_path.glob("w*")]:  # as if somebody else had written all of it
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    assert train(*words) == cli.MISTAKE and name in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("content", [b"mine", {"listing": "mine"}], ids=["text", "tensors"])
def test_a_cache_that_no_run_wrote_stays(tmp_path, capsys, content):
    folder, cache = tmp_path / "pictures", tmp_path / "cache" / "photos.pt"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(folder / "images" / "0.jpg")
    write_mask(folder / "masks" / "0.png", np.ones((64, 64), np.uint8))
    cache.parent.mkdir()
    cache.write_bytes(content) if isinstance(content, bytes) else torch.save(content, cache)
    before = cache.read_bytes()
    words = "--images", folder, "--out", tmp_path / "w.safetensors", "--cache", cache.parent
    assert train(*words) == cli.MISTAKE and "photos.pt" in capsys.readouterr().err
    assert cache.read_bytes() == before


def test_a_run_from_before_there_were_notes_can_be_resumed(tmp_path, photos, capsys):
    trainer = Trainer(tiny_config(tmp_path), photos, photos, None)
    trainer.save()
    (tmp_path / ".w.safetensors.notes").unlink()
    words = "--images", tmp_path / "none", "--out", trainer.config.out
    for more, told in (((), "w.safetensors"), (("--resume", trainer.checkpoint), "none")):
        assert train(*words, *more) == cli.MISTAKE and told in capsys.readouterr().err


def test_a_place_of_the_curriculum_has_its_stage_and_the_one_before(tmp_path):
    stages = tuple(Stage(until=until, size=64, frames=2, clips=2, video=0.5) for until in (0.3, 0.6, 1.0))
    config = tiny_config(tmp_path, curriculum=stages)
    assert [config.stage(place).until for place in (0.0, 0.29, 0.3, 0.99, 1.0)] == [0.3, 0.3, 0.6, 1.0, 1.0]
    assert [config.stage(place, True).until for place in (0.0, 0.3, 1.0)] == [0.3, 0.3, 0.6]
