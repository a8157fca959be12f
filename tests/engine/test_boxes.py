"""A box becomes a mask: nothing outside of it, the right object inside, wherever it lies."""

import numpy as np
import pytest
from conftest import COLOURS, squares

from stm_core.engine.boxes import BoxPrompt, segment_box
from stm_core.errors import PromptError

IMAGE, LABELS = squares(3, height=96, width=160, objects=2)[2]


def test_a_box_gives_the_object_in_it_and_nothing_outside(colour):
    image, labels = np.zeros((128, 160, 3), np.uint8) + COLOURS[0], np.zeros((128, 160), bool)
    labels[32:96, 48:112] = True
    image[labels] = COLOURS[1]
    mask = segment_box(colour, image, (112, 32, 48, 96))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, labels)


@pytest.mark.parametrize("box", [(0, 0, 160, 96), (150, 80, 400, 300), (-20, -20, 9.5, 7), (100, 60, 40, 20)])
def test_any_box_on_the_frame_is_answered_within_it(tiny, box):
    mask = segment_box(tiny, IMAGE, box)
    prompt = BoxPrompt.of(box, *LABELS.shape)
    outside = np.ones_like(mask)
    outside[prompt.top : prompt.bottom, prompt.left : prompt.right] = False
    assert mask.shape == LABELS.shape and not (mask & outside).any()
    height, width = prompt.cut(IMAGE).shape[:2]
    assert all(0 <= x < width and 0 <= y < height for x, y, *_ in prompt.clicks)
    assert sum(label for _, _, label, _ in prompt.clicks) == 5


@pytest.mark.parametrize(
    "box", [(5, 5, 6, 60), (300, 5, 400, 60), (1, 2, 3), "box", (0, 0, float("nan"), 50)]
)
def test_a_box_that_is_none_is_refused_in_a_sentence(tiny, box):
    with pytest.raises(PromptError):
        segment_box(tiny, IMAGE, box)
