"""The bundled weights: the registered file, it follows an object of ours, and a click on it finds it."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stm_core

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"


@pytest.fixture(scope="module")
def model():
    return stm_core.load_model("compact", device="cpu")


def truth(name: str) -> list[np.ndarray]:
    with zipfile.ZipFile(EXAMPLES / f"{name}_masks.zip") as archive:
        names = sorted(one for one in archive.namelist() if one.endswith(".png"))
        return [np.array(Image.open(io.BytesIO(archive.read(one)))) for one in names]


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    return (found & true).sum() / max((found | true).sum(), 1)


def test_the_file_is_small_and_the_registered_one(model):
    entry = json.loads((EXAMPLES.parent / "compact.json").read_text())
    assert model.sha256 == entry["sha256"]
    assert (EXAMPLES.parent / entry["file"]).stat().st_size <= 10e6
    assert sum(weight.numel() for weight in model.network.parameters()) <= 5e6


def test_a_mask_follows_the_jellyfish(model):
    masks = truth("jellyfish")[:24]
    clip = stm_core.read_video(EXAMPLES / "jellyfish.mp4", stop=24)
    steps = stm_core.propagate(model, clip, stm_core.Prompt.from_mask(masks[0]), size=240)
    found = [overlap(step.labels == 1, masks[step.index] == 1) for step in steps]
    assert len(found) == 24 and np.mean(found[1:]) > FOLLOWED


def test_two_koi_that_cross_keep_their_numbers(model):
    first, *_, last = truth("koi")[:111]  # they touch from frame 48 to 105
    clip = stm_core.read_video(EXAMPLES / "koi.mp4", stop=111)
    *_, step = stm_core.propagate(model, clip, stm_core.Prompt.from_mask(first), size=240)
    found = [overlap(step.labels == fish, last == fish) for fish in (1, 2)]
    assert step.index == 110 and min(found) > CROSSED


def test_a_click_finds_the_jellyfish(model):
    image, true = stm_core.read_frame(EXAMPLES / "jellyfish.mp4", 0), truth("jellyfish")[0] == 1
    one = stm_core.segment_frame(model, image, [(221, 151, 1, 1)], size=240)
    assert overlap(one == 1, true) > CLICKED


def test_look_alikes_that_are_clicked_together_are_found_each(model):
    image, true = stm_core.read_frame(EXAMPLES / "koi.mp4", 0), truth("koi")[0]
    both = stm_core.segment_frame(model, image, [(161, 109, 1, 1), (475, 255, 1, 2)], size=240)
    assert min(overlap(both == fish, true == fish) for fish in (1, 2)) > APART


FOLLOWED, CLICKED, CROSSED, APART = 0.65, 0.5, 0.6, 0.8
