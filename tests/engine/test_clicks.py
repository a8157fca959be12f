import numpy as np
import pytest
from conftest import colour_model, squares

from stm_core import segment_frame
from stm_core.errors import MaskError, OptionError, PromptError, VideoError


def test_a_click_finds_the_object_under_it(colour):
    ((frame, labels),) = squares(1, objects=2)
    found = segment_frame(colour, frame, [(8, 8, 1, 1)])
    np.testing.assert_array_equal(found, np.where(labels == 1, 1, 0))
    both = segment_frame(colour, frame, [(8, 8, 1, 5), (24, 24, 1, 3)])
    np.testing.assert_array_equal(both, np.array([0, 5, 3])[labels])


def test_the_mask_of_other_objects_stays(colour):
    ((frame, labels),) = squares(1, objects=2)
    mask = np.where(labels == 2, 9, 0).astype(np.uint8)
    found = segment_frame(colour, frame, [(8, 8, 1, 1)], mask=mask)
    np.testing.assert_array_equal(found, np.array([0, 1, 9])[labels])


def test_a_background_click_removes(colour):
    ((frame, labels),) = squares(1, objects=2)
    frame[labels == 2] = frame[labels == 1][0]  # both look the same
    mask = (labels > 0).astype(np.uint8)
    assert not segment_frame(colour, frame, [(8, 8, 0, 1)], mask=mask).any()


@pytest.mark.parametrize("size", [None, 40])
@pytest.mark.parametrize("shape", [(64, 96), (33, 51), (1, 1)])
def test_labels_have_the_size_of_the_image(tiny, size, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    found = segment_frame(tiny, image, [(0, 0), (shape[1] - 1, shape[0] - 1, 0, 1)], size=size)
    assert found.shape == shape and found.dtype == np.uint8 and set(np.unique(found)) <= {0, 1}


def test_clicks_are_taken_one_after_the_other(colour):
    ((frame, _),) = squares(1)
    colour.network.written = 0
    segment_frame(colour, frame, [(8, 8), (9, 9), (40, 40, 0, 1)])
    assert colour.network.written == 3
    segment_frame(colour, frame, [(8, 8), (9, 9), (40, 40, 0, 1)], mask=np.ones((64, 96), np.uint8))
    assert colour.network.written == 4


def test_mistakes_are_told(colour):
    ((frame, labels),) = squares(1)
    for error, words, arguments in (
        (PromptError, "no click", (frame, [])),
        (PromptError, "expected a list", (frame, None)),
        (PromptError, "outside", (frame, [(-1, 0)])),
        (PromptError, "background clicks only", (frame, [(1, 1, 0, 1)])),
        (VideoError, "expected uint8", (frame[..., :2], [(1, 1)])),
    ):
        with pytest.raises(error, match=words):
            segment_frame(colour, *arguments)
    for size in (-5, 0, 32.0, float("nan"), "32"):
        with pytest.raises(OptionError, match="from 16"):
            segment_frame(colour, frame, [(1, 1)], size=size)
    with pytest.raises(MaskError, match="95x64.*96x64"):
        segment_frame(colour, frame, [(1, 1)], mask=labels[:, 1:])
    with pytest.raises(PromptError, match="takes a mask, not clicks"):
        segment_frame(colour_model(takes_clicks=False), frame, [(1, 1)])
