"""A box becomes a mask: nothing outside of it, the right object inside, wherever it lies."""

import numpy as np
import pytest
from conftest import COLOURS, squares

from stm_core.engine import boxes
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
    "box", [(40, 20, 100, 60), (-20, -20, 90, 70), (150, 80, 400, 300), (30, 30, 34, 34)]
)
def test_each_read_corrects_the_labels_before_and_the_first_ones_fill_the_box(tiny, box, monkeypatch):
    prompt, seen = BoxPrompt.of(box, *LABELS.shape), []

    def read(model, piece, clicks, *, mask):
        assert mask.shape == piece.shape[:2] and mask.dtype == np.uint8 and clicks == prompt.clicks
        seen.append(mask)
        return np.where(mask == 1, 1, 5).astype(np.uint8)

    monkeypatch.setattr(boxes, "segment_frame", read)
    mask = segment_box(tiny, IMAGE, box)
    rows, columns = np.nonzero(seen[0])
    across, down = prompt.right - prompt.left, prompt.bottom - prompt.top
    assert len(seen) == 2 and (seen[1] == np.where(seen[0], 1, 5)).all()
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (down, across)
    assert mask.sum() == len(rows) == pytest.approx(np.pi / 4 * down * across, rel=0.1)
    assert mask[(prompt.top + prompt.bottom) // 2, (prompt.left + prompt.right) // 2]


@pytest.mark.parametrize(
    "box", [(5, 5, 6, 60), (300, 5, 400, 60), (1, 2, 3), "box", (0, 0, float("nan"), 50)]
)
def test_a_box_that_is_none_is_refused_in_a_sentence(tiny, box):
    with pytest.raises(PromptError):
        segment_box(tiny, IMAGE, box)
