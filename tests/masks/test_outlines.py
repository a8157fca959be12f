"""Outlines and runs of masks: exact both ways, for every mask."""

import numpy as np
import pytest

from stm_core.errors import MaskError
from stm_core.masks.outlines import area, bridged, fill, outlines
from stm_core.masks.rle import (
    coco_counts,
    compress,
    counts_of,
    decompress,
    mask_of_coco,
    pixels_of,
)


def random_masks():
    random = np.random.default_rng(1)
    for n in range(60):
        yield random.random(random.integers(1, 13, 2)) < (0.0, 0.2, 0.5, 0.9, 1.0)[n % 5]


def test_outlines_fill_to_the_same_mask_and_enclose_as_many_pixels():
    for mask in random_masks():
        loops = outlines(mask)
        np.testing.assert_array_equal(fill(loops, *mask.shape), mask)
        assert sum(map(area, loops)) == mask.sum()
        if loops:
            np.testing.assert_array_equal(fill([bridged(loops)], *mask.shape), mask)


def test_loops_keep_to_pixel_edges_and_pass_no_corner_twice_in_one_direction():
    for mask in random_masks():
        for loop in outlines(mask):
            steps = np.roll(loop, -1, axis=0) - loop
            assert ((steps == 0).sum(axis=1) == 1).all()


def test_pixels_that_touch_at_a_corner_are_two_loops_and_a_hole_goes_the_other_way():
    assert len(outlines(np.eye(2, dtype=bool))) == len(outlines(np.eye(2, dtype=bool)[::-1])) == 2
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert [area(loop) for loop in outlines(ring)] == [9, -1]


def test_runs_are_those_of_pycocotools_plain_and_compressed():
    coco = pytest.importorskip("pycocotools.mask")
    for mask in [*random_masks(), np.zeros((300, 400), bool), np.tri(300, 400) > 0]:
        counts = coco_counts(mask)
        text = coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        assert compress(counts) == text and decompress(text, "a") == counts
        for form in (counts, text):
            np.testing.assert_array_equal(mask_of_coco(form, *mask.shape, "a"), mask)
        np.testing.assert_array_equal(pixels_of(counts_of(mask.ravel()), mask.size, "a"), mask.ravel())


NO_RUNS = [[3], [5, -1], [1.5, 2.5], [[4]], [[1], [2, 1]], "abc", "\x00", "o" * 50, None, ["a"]]
OVERFLOWS = [2**62, 2**62, 2**62, 2**62 + 4]  # 4 in all, in 64 bits


@pytest.mark.parametrize("counts", [*NO_RUNS, OVERFLOWS, compress(OVERFLOWS)])
def test_runs_that_are_no_mask_of_this_size_are_refused(counts):
    with pytest.raises(MaskError):
        mask_of_coco(counts, 2, 2, "a.json")
