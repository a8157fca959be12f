import inspect

import numpy as np
import pytest
from conftest import COLOURS, check, colour_model, frames_of, squares

from stm_core import FrameResult, MemoryConfig, Prompt, Reference, propagate
from stm_core.errors import LimitError, MaskError, OptionError, PromptError, VideoError

MASK = squares(1)[0][1]
FRAME = squares(1)[0][0]


@pytest.mark.parametrize("preset", ["first", "previous", "first+previous", "every-5", "bounded"])
@pytest.mark.parametrize("objects, shared", [(1, True), (3, True), (3, False)])
def test_every_strategy_follows_easy_objects(preset, objects, shared):
    clip = squares(14, objects=objects)
    memory = MemoryConfig(preset=preset)
    prompt = Prompt.from_mask(clip[0][1])
    results = check(propagate(colour_model(shared), frames_of(clip), prompt, memory=memory), clip)
    assert len(results) == 14 and [result.prompted for result in results] == [True] + 13 * [False]


def test_a_result_says_what_the_contract_says(colour):
    clip = squares(7, height=60, width=90, objects=2, ids=(9, 4))
    generator = propagate(colour, iter(frames_of(clip)), Prompt.from_mask(clip[0][1]))
    assert inspect.isgenerator(generator)
    for result in generator:
        assert isinstance(result, FrameResult) and result.objects == (4, 9)
        assert result.labels.dtype == np.uint8 and result.labels.shape == (60, 90)
        assert result.probs.dtype == np.float32 and result.probs.shape == (3, 60, 90)
        np.testing.assert_allclose(result.probs.sum(0), 1, atol=1e-5)
        np.testing.assert_array_equal(np.array([0, 4, 9])[result.probs.argmax(0)], result.labels)
        assert set(result.confidence) == {4, 9} and all(0 <= c <= 1 for c in result.confidence.values())
        assert result.seconds > 0
    assert result.memory.frames == (0, 5, 6) and result.memory.pinned == (0,)
    assert result.memory.nbytes == 3 * 4 * 6 * (3 + 2 * 2) * 4 == result.memory.unbounded_bytes
    assert set(result.memory.usage) == {0, 5} and sum(result.memory.usage.values()) == pytest.approx(1)
    assert result.memory.read_peak_bytes > 0


@pytest.mark.parametrize("size", [None, 16])
def test_the_prompted_mask_comes_back_unchanged_whatever_the_network(tiny, size):
    labels = np.random.default_rng(0).integers(0, 255, (37, 53)).astype(np.uint8)
    frame = np.zeros((37, 53, 3), np.uint8)
    (result,) = propagate(tiny, [frame], Prompt.from_mask(labels), size=size)
    np.testing.assert_array_equal(result.labels, labels)
    assert len(result.objects) == 254 == len(np.unique(labels)) - 1


def test_order_of_ids_does_not_matter(colour):
    clip = squares(6, objects=3)
    swap = np.array([0, 30, 7, 200], np.uint8)
    first = propagate(colour, frames_of(clip), Prompt.from_mask(clip[0][1]))
    second = propagate(colour, frames_of(clip), Prompt.from_mask(swap[clip[0][1]]))
    for one, two in zip(first, second, strict=True):
        channels = [0] + [1 + two.objects.index(int(swap[i])) for i in one.objects]
        np.testing.assert_allclose(one.probs, two.probs[channels], atol=1e-4)


def test_background_clicks_on_an_object_that_was_not_found_leave_it_nowhere(colour):
    clip = squares(9, objects=2)
    frames = [np.where((labels == 1)[..., None], COLOURS[0], image) for image, labels in clip]
    frames[0] = clip[0][0]  # object 1 is shown once
    prompts = [Prompt.from_mask(clip[0][1]), Prompt.from_clicks([(1, 1, 0, 1)], frame=5)]
    results = list(propagate(colour, frames, prompts))
    assert len(results) == 9 and results[5].prompted
    for result in results[1:]:
        assert not (result.labels == 1).any()
        np.testing.assert_array_equal(result.labels == 2, clip[result.index][1] == 2)


def test_frames_before_the_prompt_are_skipped(colour):
    clip = squares(9)
    results = check(propagate(colour, frames_of(clip), Prompt.from_mask(clip[4][1], frame=4)), clip, start=4)
    assert len(results) == 5


def test_frames_may_come_backwards(colour):
    clip = squares(9)
    backward = frames_of(clip)[6::-1]
    results = propagate(colour, backward, Prompt.from_mask(clip[6][1], frame=6), start=6, step=-1)
    assert len(check(results, clip, start=6, step=-1)) == 7


def test_an_object_may_be_added_later_and_does_not_disturb_the_others(colour):
    clip = squares(12, objects=2)
    only = [np.where(labels == i, i, 0).astype(np.uint8) for i, labels in ((1, clip[0][1]), (2, clip[5][1]))]
    prompts = [Prompt.from_mask(only[0]), Prompt.from_mask(only[1], frame=5)]
    results = list(propagate(colour, frames_of(clip), prompts))
    for result in results:
        expected = clip[result.index][1] * (1 if result.index >= 5 else clip[result.index][1] == 1)
        np.testing.assert_array_equal(result.labels, expected)
    assert results[4].objects == (1,) and results[5].objects == (1, 2)
    assert results[-1].memory.pinned == (0, 5) and results[5].prompted


def test_a_correction_replaces_what_was_predicted(colour):
    clip = squares(8)
    wrong = np.zeros_like(clip[0][1])
    wrong[48:64, :16] = 1  # grey, as the background
    (_, first), (_, fixed) = clip[0], clip[4]
    results = list(
        propagate(colour, frames_of(clip), [Prompt.from_mask(wrong), Prompt.from_mask(fixed, frame=4)])
    )
    np.testing.assert_array_equal(results[4].labels, fixed)
    assert results[4].memory.pinned == (0, 4) and first.any()


def test_a_prompt_may_say_that_an_object_is_not_there(colour):
    clip = squares(6, objects=2)
    without = np.where(clip[3][1] == 1, 1, 0).astype(np.uint8)
    prompts = [Prompt.from_mask(clip[0][1]), Prompt.from_mask(without, frame=3, objects=(1, 2))]
    results = list(propagate(colour, frames_of(clip), prompts))
    np.testing.assert_array_equal(results[3].labels, without)
    assert 2 in results[2].labels


def test_clicks_prompt_a_frame(colour):
    clip = squares(6, objects=2)
    prompt = Prompt.from_clicks([(8, 8, 1, 1), (24, 24, 1, 2)])
    check(propagate(colour, frames_of(clip), prompt), clip)


def test_references_are_pinned_and_need_no_prompt(colour):
    clip = squares(12)
    references = [Reference(t, *clip[t]) for t in (0, 3)]
    results = propagate(colour, frames_of(clip)[4:], references=references, start=4)
    results = check(results, clip, start=4)
    assert results[-1].memory.pinned == (0, 3) and not results[0].prompted


@pytest.mark.parametrize("preset", ["previous", "bounded"])
def test_an_object_that_vanishes_stays_empty_and_is_found_again(colour, preset):
    clip = squares(16)
    for t in range(3, 9):
        clip[t] = (np.full_like(clip[t][0], 96), np.zeros_like(clip[t][1]))
    results = check(
        propagate(colour, frames_of(clip), Prompt.from_mask(clip[0][1]), memory=MemoryConfig(preset=preset)),
        clip,
    )
    assert results[5].confidence == {1: 0.0}
    assert all(t not in result.memory.frames for result in results for t in range(3, 9))


def test_a_vanished_object_does_not_poison_the_memory_of_the_others(colour):
    clip = squares(14, objects=2)
    for t in range(3, 9):
        frame, labels = clip[t][0].copy(), clip[t][1].copy()
        frame[labels == 1], labels[labels == 1] = 96, 0
        clip[t] = frame, labels
    check(propagate(colour, frames_of(clip), Prompt.from_mask(clip[0][1])), clip)


@pytest.mark.parametrize("size", [None, 32, 48, 999])
@pytest.mark.parametrize("shape", [(64, 96), (65, 97), (17, 200), (1, 1), (1, 40), (15, 16)])
def test_any_frame_and_processed_size_give_masks_of_the_frame(tiny, size, shape):
    frame = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    labels = np.zeros(shape, np.uint8)
    labels[:9, :60] = 3
    for result in propagate(tiny, [frame] * 3, Prompt.from_mask(labels), size=size):
        assert result.labels.shape == shape and set(np.unique(result.labels)) <= {0, 3}
        assert result.probs.shape == (2, *shape)


def test_a_smaller_processed_size_costs_less_memory(tiny):
    clip = squares(2)
    full, small = (
        list(propagate(tiny, frames_of(clip), Prompt.from_mask(clip[0][1]), size=size))[-1].memory.nbytes
        for size in (None, 32)
    )
    assert small * 4 == full


@pytest.mark.parametrize(
    "frames, prompt, options, error, named",
    [
        ([FRAME], [], {}, PromptError, None),
        ([FRAME] * 3, Prompt.from_mask(MASK, frame=9), {}, PromptError, "9.* 2"),
        ([], Prompt.from_mask(MASK), {}, PromptError, "no frames"),
        ([], Prompt.from_mask(MASK, frame=4), {"start": 4}, PromptError, "no frames.* 4"),
        ([FRAME], Prompt.from_mask(MASK), {"start": 4}, PromptError, "4"),
        ([FRAME], Prompt.from_mask(MASK[:-1]), {}, MaskError, "96x63.*96x64"),
        ([FRAME], Prompt.from_clicks([(96, 3)]), {}, PromptError, "96x64"),
        ([FRAME], Prompt.from_clicks([(5, 3, 0, 7)]), {}, PromptError, "7"),
        ([FRAME, FRAME[1:]], Prompt.from_mask(MASK), {}, VideoError, "96x63.*96x64"),
        (None, Prompt.from_mask(MASK), {}, VideoError, "NoneType"),
        ([FRAME], None, {}, PromptError, None),
        ([FRAME], ["mask"], {}, PromptError, "Prompt.from_mask"),
        ([FRAME], Prompt.from_mask(MASK), {"step": 2}, OptionError, "2"),
        ([FRAME], Prompt.from_mask(MASK), {"memory": MemoryConfig(budget_bytes=99)}, LimitError, "MB"),
    ],
)
def test_mistakes_are_told_in_one_sentence(colour, frames, prompt, options, error, named):
    with pytest.raises(error, match=named) as refused:
        list(propagate(colour, frames, prompt, **options))
    assert "\n" not in str(refused.value)
