"""The bundled example clips: small, whole, and each with a start that works and exact masks."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stm_core.media.video import read_video

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.json"))


def load_masks(name: str) -> list[np.ndarray]:
    with zipfile.ZipFile(EXAMPLES / f"{name}_masks.zip") as archive:
        return [
            np.asarray(Image.open(io.BytesIO(archive.read(entry)))) for entry in sorted(archive.namelist())
        ]


def test_there_are_three_and_each_is_small():
    assert len(NAMES) >= 3
    assert all((EXAMPLES / f"{name}.mp4").stat().st_size < 400_000 for name in NAMES)
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir()) < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_frames_masks_and_description_agree(name):
    about = json.loads((EXAMPLES / f"{name}.json").read_text())
    masks = load_masks(name)
    with read_video(EXAMPLES / f"{name}.mp4") as reader:
        sizes = [frame.shape for frame in reader]
        assert reader.info.fps == about["rate"] and not reader.warnings
    assert len(sizes) == len(masks) == about["frames"]
    assert set(sizes) == {(about["height"], about["width"], 3)}
    assert {mask.shape for mask in masks} == {(about["height"], about["width"])}
    assert {mask.max() for mask in masks} <= set(range(len(about["objects"]) + 1))
    assert about["title"] and about["sentence"].endswith((".", "?"))


@pytest.mark.parametrize("name", NAMES)
def test_starting_clicks_hit_each_object_well_inside(name):
    about = json.loads((EXAMPLES / f"{name}.json").read_text())
    first = load_masks(name)[0]
    assert {click[4] for click in about["clicks"]} == set(range(1, len(about["objects"]) + 1))
    for frame, x, y, label, number in about["clicks"]:
        assert (frame, label) == (0, 1)
        assert (first[y - 4 : y + 5, x - 4 : x + 5] == number).all()


def test_the_balloon_is_hidden_for_a_while_and_returns():
    seen = np.array([mask.any() for mask in load_masks("balloon")])
    hidden = np.flatnonzero(~seen)
    assert 6 <= len(hidden) <= 24 and np.all(np.diff(hidden) == 1)
    assert seen[0] and seen[-1]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_mask_lies_beside_the_clip(name):
    assert (np.asarray(Image.open(EXAMPLES / f"{name}.png")) == load_masks(name)[0]).all()
