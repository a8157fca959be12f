"""The engine itself: frames one by one, prompts that are refused, where a pixel looks."""

import numpy as np
import pytest
from conftest import check, colour_model, squares

from stm_core import MemoryConfig, Prompt, Propagator
from stm_core.errors import LimitError, MaskError, PromptError
from stm_core.memory.policy import PUBLISHED, TUNED, Trust

MASK = squares(1)[0][1]
FRAME = squares(1)[0][0]


@pytest.mark.parametrize("size, shared", [(None, True), (None, False), (32, True)])
def test_a_pixel_looks_where_its_likeness_is_stored(size, shared):
    clip = squares(8, objects=2)
    engine = Propagator(colour_model(shared), size=size)
    for t in range(7):
        engine.step(t, clip[t][0], Prompt.from_mask(clip[0][1]) if t == 0 else ())
    frame, labels = clip[7]
    y, x = np.argwhere(labels == 2).mean(0)
    found = engine.look(frame, x, y)
    assert list(found) == engine.bank.frames
    assert sum(weights.sum() for weights in found.values()) == pytest.approx(1, abs=1e-3)
    for t, weights in found.items():
        assert weights.shape == labels.shape
        if size is None:  # else two squares share a cell
            assert weights[clip[t][1] == 2].sum() == pytest.approx(1 / 3, abs=1e-3)
    with pytest.raises(PromptError, match="96"):
        engine.look(frame, 96, 0)


def spied(network) -> list:
    """The masks that the network is given to remember, call by call."""
    kept, encode = [], network.encode_memory
    network.encode_memory = lambda frame, masks, *rest: kept.append(masks) or encode(frame, masks, *rest)
    return kept


@pytest.mark.parametrize("firm", [True, False])
def test_predicted_masks_are_remembered_as_shown_or_as_probabilities(colour, firm):
    clip, kept = squares(3, objects=2), spied(colour.network)
    engine = Propagator(colour, memory=MemoryConfig(trust=Trust(firm=firm)))
    results = [
        engine.step(t, clip[t][0], Prompt.from_mask(clip[0][1]) if t == 0 else ()) for t in range(len(clip))
    ]
    for masks, result in zip(kept[1:], results[1:], strict=True):
        shown = np.stack([result.labels == i for i in result.objects])
        expected = shown if firm else result.probs[1:]
        assert np.array_equal(masks[:, : shown.shape[1], : shown.shape[2]].numpy(), expected)


def test_a_given_mask_is_remembered_as_given_even_where_a_pixel_is_half_covered(colour):
    labels = np.zeros((64, 64), np.uint8)
    labels[30:33, 30] = 1  # gone, were it halved and made firm
    kept, memory = spied(colour.network), MemoryConfig(trust=Trust(firm=True))
    engine = Propagator(colour, memory=memory, size=16)
    engine.step(0, np.zeros((64, 64, 3), np.uint8), Prompt.from_mask(labels))
    assert 0 < kept[0].max() < 0.5


def test_a_network_is_trusted_as_it_was_tuned_unless_the_memory_says_otherwise(tiny, colour):
    asked = MemoryConfig(trust=Trust(latest=0.5))
    trust = [
        Propagator(model, memory=memory).bank.trust
        for model, memory in ((tiny, None), (colour, None), (tiny, asked))
    ]
    assert trust == [TUNED, PUBLISHED, asked.trust]


@pytest.mark.parametrize("x", [5, 99], ids=["nothing is remembered", "outside"])
def test_a_look_that_is_refused_changes_nothing(colour, x):
    clip, engine = squares(2), Propagator(colour)
    with pytest.raises(PromptError):
        engine.look(np.zeros((32, 32, 3), np.uint8), x, 5)
    check([engine.step(0, clip[0][0], Prompt.from_mask(clip[0][1])), engine.step(1, clip[1][0])], clip)


def test_the_first_frame_of_an_engine_needs_a_prompt(colour):
    with pytest.raises(PromptError, match="3"):
        Propagator(colour).step(3, FRAME)


@pytest.mark.parametrize(
    "refused, options",
    [
        (Prompt.from_mask(2 * MASK[:-1]), {}),
        (Prompt.from_clicks([(96, 3, 1, 2)]), {}),
        ([Prompt.from_clicks([(5, 40, 1, 3)]), Prompt.from_mask(2 * MASK[:-1])], {}),
        (Prompt.from_clicks([(5, 40, 1, 2)]), {"budget_bytes": 8000}),
    ],
    ids=["mask", "click", "second of two", "budget"],
)
def test_a_refused_prompt_changes_nothing(colour, refused, options):
    clip = squares(3)
    engine = Propagator(colour, memory=MemoryConfig(**options))
    engine.step(0, clip[0][0], Prompt.from_mask(clip[0][1]))
    with pytest.raises((LimitError, MaskError, PromptError)):
        engine.step(1, clip[1][0], refused)
    results = check([engine.step(t, clip[t][0]) for t in (1, 2)], clip, start=1)
    assert [result.objects for result in results] == [(1,), (1,)]
    assert engine.bank.stored[0].reads == 2
