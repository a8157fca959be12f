"""Prompts: masks and clicks that can begin a track, and what is said of those that cannot."""

import math

import numpy as np
import pytest
from conftest import squares

from stm_core import Prompt
from stm_core.errors import MaskError, PromptError

MASK = squares(1)[0][1]


@pytest.mark.parametrize(
    "labels, named",
    [
        (np.zeros((4, 4), np.uint8), "background"),
        (np.full((4, 4), 255, np.uint8), "254"),
        (np.full((4, 4), -1), "254"),
        (np.ones((4, 4)), "float64"),
        (np.ones((4, 4, 3), np.uint8), r"\(4, 4, 3\)"),
        (np.ones((0, 4), np.uint8), r"\(0, 4\)"),
    ],
)
def test_masks_that_cannot_prompt_are_refused(labels, named):
    with pytest.raises(MaskError, match=named):
        Prompt.from_mask(labels)


def test_a_boolean_mask_is_one_object():
    prompt = Prompt.from_mask(np.eye(4, dtype=bool), frame=2)
    assert prompt.objects == (1,) and prompt.labels.dtype == np.uint8 and prompt.frame == 2


@pytest.mark.parametrize(
    "click",
    [
        (1,),
        (1, 2, 3, 4),
        (1, 2, 1, 0),
        (1, 2, 1, 255),
        (1, 2, 0.5),
        ("x", 1),
        (float("nan"), 1),
        (1, 2, math.inf),
        7,
    ],
)
def test_clicks_that_are_none_are_refused(click):
    with pytest.raises(PromptError, match="click"):
        Prompt.from_clicks([click])


@pytest.mark.parametrize("objects", [["1"], [1.5], [None], 1])
def test_objects_of_a_mask_are_whole_numbers(objects):
    assert Prompt.from_mask(MASK, objects=np.array([7, 1])).objects == (1, 7)
    with pytest.raises(PromptError):
        Prompt.from_mask(MASK, objects=objects)


@pytest.mark.parametrize("frame", [-1, 0.5, True, None, "3", math.nan, math.inf])
def test_a_prompted_frame_is_counted_from_zero(frame):
    with pytest.raises(PromptError, match="frame.* 0"):
        Prompt.from_mask(MASK, frame=frame)
