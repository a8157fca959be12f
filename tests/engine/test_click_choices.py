"""Laws of what else a first click may mean."""

import numpy as np
import pytest
import torch
from conftest import colour_model

from stm_core import PromptError, click_choices, load_model, segment_frame
from stm_core.engine.click_choices import SAME
from stm_core.masks.metrics import jaccard


@pytest.fixture(scope="module")
def scene():
    """A frame (96, 128, 3) with a red square inside a dark red one."""
    image = np.full((96, 128, 3), (30, 90, 160), np.uint8)
    image[20:76, 30:100] = (120, 30, 30)
    image[36:60, 50:80] = (220, 40, 40)
    return image


def test_choices_differ_grow_and_hold_the_answer_itself(scene):
    model, click = load_model("compact"), (64.0, 48.0, 1, 1)
    choices = click_choices(model, scene, click)
    sizes = [int(mask.sum()) for mask in choices]
    assert 1 <= len(choices) <= 1 + len(model.network.click_sides)
    assert sizes == sorted(sizes)
    assert all(mask.shape == scene.shape[:2] and mask.dtype == bool for mask in choices)
    assert all(jaccard(a, b) < SAME for i, a in enumerate(choices) for b in choices[:i])
    answer = segment_frame(model, scene, [click]) == 1
    assert any(np.array_equal(mask, answer) for mask in choices)


def test_a_sure_network_has_one_choice(scene):
    model = colour_model()
    assert len(click_choices(model, scene, (64.0, 48.0, 1, 1))) == 1


@pytest.mark.parametrize("click", [(64.0, 48.0, 0, 1), (500.0, 48.0, 1, 1)])
def test_a_click_off_the_object_or_the_frame_is_refused(scene, click):
    with pytest.raises(PromptError):
        click_choices(colour_model(), scene, click)


def test_a_network_without_clicks_says_so(scene):
    with pytest.raises(PromptError), torch.no_grad():
        click_choices(colour_model(takes_clicks=False), scene, (64.0, 48.0, 1, 1))
