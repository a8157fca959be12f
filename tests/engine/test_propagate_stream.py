"""Propagation as a stream: flat memory, an end at any time, errors in their place, results that stay."""

import gc
import threading

import numpy as np
import psutil
import pytest
import torch
from conftest import frames_of, squares

from stm_core import Prompt, propagate
from stm_core.errors import VideoError


def test_memory_stays_flat_over_a_long_clip(colour):
    rss, clip = [], squares(6)

    def frames():
        for t in range(750):
            if t % 250 == 125:
                gc.collect()
                rss.append(psutil.Process().memory_info().rss)
            yield clip[t % 6][0]

    held = set()
    for result in propagate(colour, frames(), Prompt.from_mask(clip[0][1])):
        if result.index > 50:
            held.add((result.memory.nbytes, result.memory.read_peak_bytes))
    assert result.index == 749 and len(held) == 1
    growth = np.diff(rss)  # a leak is in each of them; in a full process the allocator may grow once
    assert len(growth) == 2 and growth.min() < 2 * 2**20


def test_closing_frees_the_memory_stops_the_thread_and_closes_the_source(colour):
    clip = squares(6)
    closed, taken = threading.Event(), []

    def frames():
        try:
            for t in range(10**9):
                taken.append(t)
                yield clip[t % 6][0]
        finally:
            closed.set()

    before = threading.active_count()
    generator = propagate(colour, frames(), Prompt.from_mask(clip[0][1]))
    for _ in range(60):
        assert len(taken) <= next(generator).index + 9  # bounded look-ahead
    generator.close()
    assert closed.is_set() and threading.active_count() == before


def test_an_error_of_the_source_arrives_after_the_frames_before_it(colour):
    clip = squares(3)

    def frames():
        yield clip[0][0]
        yield clip[1][0]
        raise VideoError("the file ends here")

    results = []
    with pytest.raises(VideoError, match="ends here"):
        for result in propagate(colour, frames(), Prompt.from_mask(clip[0][1])):
            results.append(result)
    assert len(results) == 2


def test_inference_mode_does_not_leak_to_the_caller(colour):
    clip = squares(3)
    for _ in propagate(colour, frames_of(clip), Prompt.from_mask(clip[0][1])):
        assert not torch.is_inference_mode_enabled()


def test_results_do_not_change_when_the_next_frame_comes(colour):
    clip = squares(4)
    results = list(propagate(colour, frames_of(clip), Prompt.from_mask(clip[0][1])))
    for result in results:
        np.testing.assert_array_equal(result.probs.argmax(0), clip[result.index][1])
