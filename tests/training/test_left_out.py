"""Laws of the comparison on short clips: only what training leaves out is shown, alike to every network."""

import numpy as np
import pytest
import torch
from PIL import Image

from stm_core.commands import training_tools
from stm_core.commands.choose import new_folders
from stm_core.errors import OptionError
from stm_core.masks.mask_files import write_mask
from stm_core.networks.compact import CompactSTM
from stm_core.networks.weights import TINY
from stm_core.training.data.stores import held_out, load_clips, load_photos
from stm_core.training.fit.export import write_weights
from stm_core.training.measure import left_out
from stm_core.training.measure.left_out import MEASURES, LeftOut

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(left_out, "TRACKED", (2, 4, 64))
    monkeypatch.setattr(left_out, "CLICKED", (8, 1, 64))
    monkeypatch.setattr(left_out, "BATCHES", 1)


@pytest.fixture
def photos(tmp_path):
    """Photos for training show a green square, those that are left out a red one."""
    folder = tmp_path / "photos"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(100):
        picture = folder / "images" / f"{number}.png"
        _write(picture, folder / "masks" / picture.name, RED if held_out(picture) else GREEN)
    return folder


@pytest.fixture
def davis(tmp_path):
    """A clip of a red square that is left out, a clip of a green one for training."""
    root = tmp_path / "davis"
    for name, colour, split in (("cow", RED, "val"), ("goat", GREEN, "train")):
        pictures, truths = new_folders(root, name)
        for t in range(6):
            _write(pictures / f"{t:05d}.jpg", truths / f"{t:05d}.png", colour)
        (root / "ImageSets" / "2016").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / "2016" / f"{split}.txt").write_text(f"{name}\n")
    return root


def tiny_network(seed):
    torch.manual_seed(seed)
    network = CompactSTM(TINY)
    torch.nn.init.normal_(network.decoder.out.weight)  # some of a mask is found, not nothing
    return network


def _write(picture, mask, colour):
    labels = np.zeros((48, 64), np.uint8)
    labels[12:36, 20:44] = 1
    Image.fromarray(np.where(labels[..., None] == 1, colour, BLUE).astype(np.uint8)).save(picture)
    write_mask(mask, labels)


def shares(pictures):
    """How much of the pictures (N,3,H,W) is red, and how much green."""
    red, green, blue = pictures.unbind(1)
    return ((red > green) & (red > blue)).float().mean(), ((green > red) & (green > blue)).float().mean()


def test_training_and_measuring_share_no_photo_and_no_clip(photos, davis):
    for found, wanted in (
        (load_photos([photos]).images, GREEN),
        (load_photos([photos], left_out=True).images, RED),
        (load_clips([davis]).frames, GREEN),
        (load_clips([davis], split="val").frames, RED),
    ):
        red, green = shares(found)
        assert len(found) and (red == 0) == (wanted == GREEN) and (green == 0) == (wanted == RED)


def test_every_network_sees_the_same_batches_of_each_measure(photos, davis):
    one, two = LeftOut([photos], davis), LeftOut([photos], davis)
    for measure in MEASURES:
        batch = one.batch(measure, 3)
        assert torch.equal(batch.frames, two.batch(measure, 3).frames)
        assert not torch.equal(batch.frames, one.batch(measure, 4).frames)
        assert (batch.labels == 1).any()


def test_overlaps_are_those_of_the_network_and_repeat(photos, davis):
    scores = LeftOut([photos], davis)
    first = scores.overlaps(tiny_network(0))
    assert len(first) == len(MEASURES) and all(0 <= overlap <= 1 for overlap in first)
    assert scores.overlaps(tiny_network(0)) == first
    assert scores.overlaps(tiny_network(1)) != first


def test_what_was_found_is_compared_with_the_truth(photos, davis, monkeypatch):
    """All logits high: the overlap is the object's share of the picture."""
    network = tiny_network(0)
    monkeypatch.setattr(
        network, "decode", lambda read, query: torch.full((len(read), 64, 64), 20.0), raising=False
    )
    scores = LeftOut([photos], davis)
    labels = scores.batch("two clicks", 0).labels[:, 0]
    known = labels != 255
    share = ((labels == 1).flatten(1).sum(1) / known.flatten(1).sum(1))[(labels == 1).flatten(1).any(1)]
    assert scores.overlaps(network)[MEASURES.index("two clicks")] == pytest.approx(share.mean().item())


def test_the_table_has_a_row_a_file(photos, davis, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("stm_core.commands.choose.compare", lambda *_: None)
    network = tiny_network(0)
    file = tmp_path / "tiny.safetensors"
    write_weights(file, network.config, network.state_dict())
    assert training_tools.main(["choose", str(davis), str(file), str(file), "--images", str(photos)]) == 0
    *_, head, _, one, two = capsys.readouterr().out.splitlines()
    assert all(measure in head for measure in MEASURES)
    assert one == two and one.startswith("| tiny.safetensors | 0.") and one.count("|") == head.count("|")


def test_photos_of_which_none_is_left_out_are_refused_in_words(photos, davis):
    for picture in (photos / "images").iterdir():
        if held_out(picture):
            picture.unlink()
    with pytest.raises(OptionError, match="photos"):
        LeftOut([photos], davis)
