"""A run that continues ends where the masks come out as they were, and costs what it says."""

from pathlib import Path

import numpy as np
import pytest
from conftest import frames_of, squares

from stm_core.engine.prompts import Prompt
from stm_core.masks.mask_files import encode_mask
from stm_core.runs.agreement import AGREED
from stm_core.runs.clip import follow
from stm_core.runs.plan import Plan

FRAMES = 60
CLIP = squares(FRAMES, objects=2)


class Pictures:
    """A clip in memory as the frames of a run."""

    def __init__(self):
        self.warnings: list[str] = []

    def frames(self, start, stop, *, reverse=False):
        yield from frames_of(CLIP)[start:stop][:: -1 if reverse else 1]

    def seconds(self, index):
        return float(index)


def written(folder: Path, masks: list[np.ndarray]) -> str:
    for index, labels in enumerate(masks):
        (folder / f"{index:05d}.png").write_bytes(encode_mask(labels))
    return str(folder)


def plan(earlier: str | None, *marked: int, first: int, directions=(1,)) -> Plan:
    masks = {n: CLIP[n][1] for n in marked}
    prompts = tuple(Prompt.from_mask(labels, frame=n) for n, labels in sorted(masks.items()))
    known = {n: encode_mask(labels) for n, labels in masks.items()}
    shape = CLIP[0][1].shape
    return Plan(*shape, 0, FRAMES, first, prompts, directions, known, earlier=earlier)


def indices(model, wanted: Plan, notes: list[str]) -> list[int]:
    steps = [step for step in follow(model, wanted, Pictures(), notes) if step is not None]
    for step in steps:
        assert np.array_equal(step.result.labels, CLIP[step.result.index][1])
    return [step.result.index for step in steps]


@pytest.fixture
def wrong(tmp_path):
    """Masks that are right but on frames 20 to 25, where the objects are missing."""
    masks = [labels * (not 20 <= n <= 25) for n, (_, labels) in enumerate(CLIP)]
    return written(tmp_path, masks)


def test_an_object_that_was_missing_before_does_not_disagree(colour, wrong):
    steps = [step for step in follow(colour, plan(wrong, 12, first=12), Pictures(), []) if step is not None]
    found = {step.result.index: step.agreement for step in steps}
    assert found[22] == {} and found[27] == {1: 1.0, 2: 1.0}


def test_a_continued_run_ends_once_ten_frames_in_a_row_are_as_they_were(colour, wrong):
    notes: list[str] = []
    assert indices(colour, plan(wrong, 0, 20, first=20), notes) == list(range(20, 26 + AGREED)) and not notes


def test_both_directions_end_by_themselves(colour, wrong):
    found = indices(colour, plan(wrong, 22, first=22, directions=(1, -1)), [])
    assert found == [*range(22, 26 + AGREED), *range(21, 19 - AGREED, -1)]


def test_without_earlier_masks_a_run_goes_on_to_the_end(colour):
    notes: list[str] = []
    assert indices(colour, plan(None, 0, 20, first=20), notes) == list(range(20, FRAMES)) and not notes


def test_a_run_does_not_end_before_a_correction_that_lies_ahead(colour, tmp_path):
    masks = [labels * (n not in (20, 45)) for n, (_, labels) in enumerate(CLIP)]
    found = indices(colour, plan(written(tmp_path, masks), 0, 20, 45, first=20), [])
    assert found == list(range(20, 46 + AGREED))


@pytest.mark.parametrize("broken", [None, b"", b"\x89PNG\r\n\x1a\n"])
def test_a_mask_that_is_missing_or_broken_is_no_agreement(colour, tmp_path, broken):
    masks = written(tmp_path, [labels for _, labels in CLIP])
    (tmp_path / "00012.png").unlink()
    if broken is not None:
        (tmp_path / "00012.png").write_bytes(broken)
    assert indices(colour, plan(masks, 5, first=5), []) == list(range(5, 13 + AGREED))


def test_marked_frames_do_not_count_because_their_masks_are_given(colour, tmp_path):
    masks = written(tmp_path, [labels for _, labels in CLIP])
    found = indices(colour, plan(masks, *range(5, 9), first=5), [])
    assert found == list(range(5, 9 + AGREED))


def test_a_corrected_frame_stays_as_it_is_bit_for_bit_whatever_comes_after(colour, tmp_path):
    painted = CLIP[30][1].copy()
    painted[40:47, 3:9] = 2  # nothing that the network would find
    masks = {10: CLIP[10][1], 30: painted}
    shape = painted.shape
    for first in (10, 30):
        prompts = tuple(Prompt.from_mask(labels, frame=n) for n, labels in masks.items())
        known = {n: encode_mask(labels) for n, labels in masks.items()}
        wanted = Plan(*shape, 0, FRAMES, first, prompts, (1, -1), known)
        steps = [step.result for step in follow(colour, wanted, Pictures(), []) if step is not None]
        (corrected,) = [one for one in steps if one.index == 30]
        assert np.array_equal(corrected.labels, painted)
