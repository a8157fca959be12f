"""Laws of reading training data: ids stay ids, 255 is ignored unless a clip has nothing else."""

import numpy as np
import pytest
import torch
from PIL import Image

from stm_core.commands.choose import new_folders
from stm_core.masks.mask_files import write_mask
from stm_core.training.data.stores import IGNORE, MAX_OBJECTS, load_clips


def write_clip(root, name, masks):
    pictures, truths = new_folders(root, name)
    for t, mask in enumerate(masks):
        Image.new("RGB", mask.shape[::-1]).save(pictures / f"{t:05d}.jpg")
        write_mask(truths / f"{t:05d}.png", mask)


def square(value, shape=(48, 64)):
    mask = np.zeros(shape, np.uint8)
    mask[12:36, 20:44] = value
    return mask


@pytest.fixture
def clips(tmp_path):
    both = np.maximum(square(2), np.roll(square(IGNORE), 20, 1))
    write_clip(tmp_path / "a", "binary", [square(255), square(0)])
    write_clip(tmp_path / "a", "left", [both, square(IGNORE), square(MAX_OBJECTS + 1)])
    write_clip(tmp_path / "b", "studio", [square(1, (64, 48))])
    return load_clips([tmp_path / "a"], studio=[tmp_path / "b"], workers=1)


def test_ids_stay_and_255_is_an_object_only_where_a_clip_has_nothing_else(clips):
    found = [set(labels.unique().tolist()) for labels in clips.labels]
    assert found == [{0, 1}, {0}, {0, 2, IGNORE}, {0, IGNORE}, {0, IGNORE}, {0, 1}]


def test_shares_count_the_objects_of_each_frame(clips):
    seen = [row.nonzero()[:, 0].tolist() for row in clips.share[:, 1:] > 0]
    assert seen == [[0], [], [1], [], [], [0]]


def test_clips_know_their_length_shape_and_whether_they_are_scenes(clips):
    assert clips.length.tolist() == [2, 3, 1] and clips.first.tolist() == [0, 2, 5]
    assert torch.allclose(clips.aspect, torch.tensor([4 / 3, 4 / 3, 3 / 4]), atol=1e-3)
    assert clips.scenic.tolist() == [True, True, False]


def test_an_older_cache_is_made_anew(tmp_path, clips):
    cache = tmp_path / "clips.pt"
    torch.save({"listing": str(next((tmp_path / "a").rglob("*.jpg"))), "tensors": []}, cache)
    assert len(load_clips([tmp_path / "a"], cache, workers=1)) == 2
