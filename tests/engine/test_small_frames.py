"""Small frames are enlarged before a trained network sees them; masks come back at the frame's own size."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import ColourNetwork, squares

from stm_core import MemoryConfig, Prompt, click_choices, load_model, look, predict, propagate, segment_frame
from stm_core.engine.click_reader import ClickReader
from stm_core.engine.geometry import FACTOR, LONG, masks_of, processed_side
from stm_core.networks.weights import random_model

LEAST, SHAPE = 64, (24, 40)


@pytest.fixture
def model():
    """A network that wants to see at least 64 lines."""
    made = random_model("compact-tiny", seed=1)
    made.network.least_side = LEAST
    return made


@pytest.fixture
def clip():
    return squares(8, *SHAPE)


@pytest.mark.parametrize(
    "least, shape, size, seen",
    [
        (480, (240, 432), None, 480),
        (480, (240, 432), 720, 480),
        (480, (240, 432), 480, 480),
        (480, (240, 432), 360, 360),
        (480, (240, 432), 240, 240),
        (480, (240, 432), 120, 120),
        (480, (960, 540), None, 540),
        (480, (960, 540), 480, 480),
        (480, (90, 60), None, 60 * FACTOR),
        (480, (1, 1), None, FACTOR),
        (480, (120, 1200), None, 120 * LONG * 480 // 1200),
        (480, (64, 65_500), None, 64),
        (None, (240, 432), None, 240),
        (None, (240, 432), 480, 240),
        (None, (240, 432), 120, 120),
    ],
)
def test_a_size_is_the_most_that_is_seen_and_small_frames_are_enlarged(least, shape, size, seen):
    network = ColourNetwork()
    network.least_side = least
    assert processed_side(network, *shape, size) == seen


def test_the_bundled_network_enlarges_and_random_weights_do_not():
    assert processed_side(load_model("compact", device="cpu").network, 240, 432, None) == 480
    assert processed_side(random_model("compact-tiny").network, 240, 432, None) == 240


def test_masks_of_small_frames_have_their_size_and_what_was_given_stays(model, clip):
    frames, given = [frame for frame, _ in clip], Prompt.from_mask(clip[0][1])
    results = list(propagate(model, frames, given))
    seen = masks_of(clip[0][1], results[0].objects, LEAST, model.device).numpy()
    np.testing.assert_array_equal(results[0].masks, seen)
    for result in results:
        assert result.labels.shape == SHAPE
        assert result.masks.shape[1:] == (LEAST, round(SHAPE[1] * LEAST / SHAPE[0]))
        np.testing.assert_allclose(result.probs.sum(0), 1, atol=1e-5)
    small = list(propagate(model, frames, given, size=SHAPE[0]))
    assert small[-1].masks.shape[1:] == SHAPE
    assert small[-1].memory.nbytes < results[-1].memory.nbytes


def test_what_a_small_clip_will_need_is_told_for_the_size_at_which_it_is_seen(model, clip):
    memory = MemoryConfig(preset="first")
    *_, last = propagate(model, [frame for frame, _ in clip], Prompt.from_mask(clip[0][1]), memory=memory)
    found = predict(model.network, memory, *SHAPE, len(last.objects), len(clip), model.dtype)
    assert last.memory.nbytes == found.bank_bytes


def test_clicks_on_small_frames_see_them_enlarged(model, clip, monkeypatch):
    frame, clicks, seen = clip[0][0], [(8, 8, 1, 1), (30, 20, 0, 1)], []
    made = ClickReader.__init__
    spy = lambda self, model, image, size, *rest: seen.append(size) or made(self, model, image, size, *rest)  # noqa: E731
    monkeypatch.setattr(ClickReader, "__init__", spy)
    for size, expected in ((None, LEAST), (40, 40), (SHAPE[0], SHAPE[0])):
        found = segment_frame(model, frame, clicks, size=size)
        assert segment_frame(model, frame, clicks, mask=found, size=size).shape == found.shape == SHAPE
        assert all(mask.shape == SHAPE for mask in click_choices(model, frame, clicks[0], size=size))
        assert set(seen) == {expected}
        seen.clear()


@pytest.mark.parametrize("least", [36, 60, 64, 96])
def test_masks_that_were_not_clicked_keep_every_pixel_and_touching_ones_leave_no_gap(model, clip, least):
    model.network.least_side = least
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 20:30], labels[:, 30:], labels[16, 5] = 2, 3, 5
    for n in range(10):
        labels[n + 3, n + 2] = 4
    found = segment_frame(model, clip[0][0], [(35, 20, 1, 3)], mask=labels)
    for kept in (2, 4, 5):
        assert ((found == kept) | (found == 3))[labels == kept].all()
        assert not (found == kept)[labels != kept].any()
    masks = masks_of(labels, range(1, 6), least, model.device)
    assert (masks.sum(0) <= 1).all() and (masks[1:3].sum(0).amin(0)[-1] == 1)
    assert masks[3].sum() >= 10 and masks[4].sum() >= 1


def test_a_look_into_the_memory_of_a_small_clip_sums_to_one(model, clip):
    results = list(propagate(model, [frame for frame, _ in clip], Prompt.from_mask(clip[0][1])))
    frames = {t: frame for t, (frame, _) in enumerate(clip)}
    masks = {result.index: result.labels for result in results}
    found = look(model, frames, results[5].memory.read, masks, 5, (30, 20))
    weights = sum(one.weights for one in found.stored)
    assert weights.shape == SHAPE
    assert weights.sum() == pytest.approx(1, abs=0.05)  # less what falls into the padding
    best = max(found.stored, key=lambda one: one.weights.max())
    y, x = np.unravel_index(best.weights.argmax(), SHAPE)
    assert best.t == found.matches[0].t
    assert abs(found.matches[0].x - x) <= 16 and abs(found.matches[0].y - y) <= 16


def test_a_small_object_is_followed_as_exactly_as_a_large_one():
    clip, network = squares(10, 48, 96, objects=2), ColourNetwork()
    network.least_side = 192
    model = replace(random_model("compact-tiny"), network=network.for_inference())
    results = propagate(model, [frame for frame, _ in clip], Prompt.from_mask(clip[0][1]))
    for result, (_, labels) in zip(results, clip, strict=True):
        assert (result.labels == labels).mean() > 0.99
