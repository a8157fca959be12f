"""An object that is said to be absent from a range of frames is nowhere there, and found again after it."""

import numpy as np
import pytest
from conftest import colour_model, frames_of, squares

from stm_core import MemoryConfig, Prompt, propagate
from stm_core.engine.prompts import check_absent
from stm_core.engine.step import Propagator
from stm_core.errors import PromptError

CLIP = squares(16, objects=2)


def test_an_absent_object_has_no_pixel_and_the_others_stay_as_they_are(colour):
    prompt = Prompt.from_mask(CLIP[0][1])
    for result in propagate(colour, frames_of(CLIP), prompt, absent={2: [(4, 7), (10, 10)]}):
        gone = 4 <= result.index <= 7 or result.index == 10
        expected = np.where((CLIP[result.index][1] == 2) & gone, 0, CLIP[result.index][1])
        np.testing.assert_array_equal(result.labels, expected)
        assert (result.confidence[2] == 0) == gone


@pytest.mark.parametrize("shared", [True, False])
def test_memory_stores_no_frame_of_it_for_an_absent_object(shared, monkeypatch):
    engine = Propagator(colour_model(shared), memory=MemoryConfig(every=1))
    stored: dict[int, list[bool]] = {}
    write = engine.bank.write

    def seen(t, *parts, present=None, **how):
        stored[t] = present
        write(t, *parts, present=present, **how)

    monkeypatch.setattr(engine.bank, "write", seen)
    only_one = Prompt.from_mask(CLIP[5][1] * (CLIP[5][1] == 1), 5, [1, 2])
    prompts = {0: Prompt.from_mask(CLIP[0][1]), 5: only_one}
    for t, (image, _) in enumerate(CLIP[:9]):
        prompt = [prompts[t]] if t in prompts else []
        engine.step(t, image, prompt, absent=[2] if 3 <= t <= 6 else [])
    assert [t for t, present in stored.items() if not present[1]] == [3, 4, 5, 6]
    assert all(present[0] for present in stored.values()) and sorted(stored) == list(range(9))


def test_a_mark_of_an_absent_object_and_a_range_backwards_are_refused(colour):
    prompt = Prompt.from_mask(CLIP[0][1])
    for absent in ({2: [(0, 3)]}, {2: [(5, 4)]}, {0: [(1, 2)]}, {1: [(-1, 2)]}):
        with pytest.raises(PromptError):
            propagate(colour, frames_of(CLIP), prompt, absent=absent)
    with pytest.raises(PromptError):
        check_absent({2: [(3, 5)]}, [Prompt.from_clicks([(1, 1, 1, 2)], frame=4)])
    check_absent({2: [(3, 5)]}, [Prompt.from_clicks([(1, 1, 1, 1)], frame=4)])
