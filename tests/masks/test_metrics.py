"""J and F: hand-made cases with known values, the definition pixel by pixel, the DAVIS statistics."""

import numpy as np
import pytest

from stm_core.errors import MaskError
from stm_core.masks.metrics import boundary_f, evaluate_masks, jaccard, statistics


def square(top=20, left=20, side=20, shape=(60, 80)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


EMPTY = np.zeros((60, 80), bool)


@pytest.mark.parametrize(
    "predicted, truth, score",
    [
        (square(), square(), 1),
        (EMPTY, EMPTY, 1),
        (square(), EMPTY, 0),
        (EMPTY, square(), 0),
        (square(0, 0, 10), square(40, 60, 10), 0),
    ],
    ids=["the same", "both empty", "no truth", "nothing found", "apart"],
)
def test_what_is_plain_scores_one_or_nothing(predicted, truth, score):
    assert jaccard(predicted, truth) == boundary_f(predicted, truth) == score


def test_one_pixel_shift_has_the_known_area_and_a_full_boundary():
    assert jaccard(square(), square(left=21)) == pytest.approx(380 / 420)
    # 0.008 of the diagonal 100 is 1 pixel after rounding up: every boundary pixel is within reach
    assert boundary_f(square(), square(left=21)) == 1


def test_three_pixel_shift_matches_only_the_long_sides():
    # boundary of a 20 px square: 80 pixels; beyond 1 px sideways only parts of the top and bottom edges meet
    found = boundary_f(square(), square(left=23))
    assert found == pytest.approx(slow_boundary_f(square(), square(left=23), 1), abs=1e-12)
    assert 0.4 < found < 0.6


def slow_boundary_f(predicted, truth, radius):
    """The definition, pixel by pixel."""

    def edge(mask):
        height, width = mask.shape
        out = np.zeros_like(mask)
        for y in range(height):
            for x in range(width):
                right = mask[y, x + 1] if x + 1 < width else mask[y, x]
                below = mask[y + 1, x] if y + 1 < height else mask[y, x]
                across = mask[y + 1, x + 1] if x + 1 < width and y + 1 < height else mask[y, x]
                inner = y + 1 < height and x + 1 < width
                out[y, x] = right != mask[y, x] or below != mask[y, x] or (inner and across != mask[y, x])
        return np.argwhere(out)

    ours, true = edge(predicted), edge(truth)
    if not len(ours) or not len(true):
        return float(len(ours) == len(true))
    near = ((ours[:, None] - true[None]) ** 2).sum(axis=2) <= radius**2
    precision, recall = near.any(axis=1).mean(), near.any(axis=0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("seed", range(12))
def test_boundary_f_equals_the_slow_definition(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 40, 2))
    blocks = rng.random((shape[0] // 3 + 1, shape[1] // 3 + 1)) > 0.6
    truth = np.kron(blocks, np.ones((3, 3)))[: shape[0], : shape[1]] > 0
    predicted = np.roll(truth, rng.integers(-2, 3, 2), (0, 1)) ^ (rng.random(shape) > 0.97)
    for radius in (1, 2, 5):
        assert boundary_f(predicted, truth, tolerance=radius) == pytest.approx(
            slow_boundary_f(predicted, truth, radius)
        )


def test_tolerance_is_a_share_of_the_diagonal_rounded_up():
    shape = (480, 854)  # diagonal 979.7, times 0.008 is 7.8: 8 pixels
    truth = square(100, 100, 200, shape)
    assert boundary_f(square(100, 108, 200, shape), truth) == 1
    assert boundary_f(square(100, 109, 200, shape), truth) < 1


def test_ignored_pixels_are_not_scored():
    truth = square().astype(np.uint8)
    truth[20:40, 40:60] = 255
    predicted = square().astype(np.uint8)
    predicted[20:40, 40:60] = 1
    assert evaluate_masks(predicted, truth)["J&F"] == 1


def test_statistics_cut_quarters_as_davis_does():
    # 10 frames: cuts at frames 1, 3, 6, 8, 10 (counted from 1); quarters share their end frames
    values = np.arange(10) / 10
    found = statistics(values)
    assert found == pytest.approx({"mean": 0.45, "recall": 0.4, "decay": 0.1 - 0.8})
    assert statistics([0.7]) == pytest.approx({"mean": 0.7, "recall": 1.0, "decay": 0.0})
    assert statistics([0.5, 0.5])["recall"] == 0
    assert statistics([1.0] * 500 + [0.0] * 500)["decay"] == 1  # beyond 256 frames


def test_scores_are_per_object_and_averaged():
    truth = np.zeros((4, 60, 80), np.uint8)
    truth[:, 5:25, 5:25], truth[:, 30:50, 40:60] = 1, 7
    predicted = truth.copy()
    predicted[predicted == 7] = 0
    found = evaluate_masks(predicted, truth)
    assert found["objects"][1]["J"]["mean"] == 1 and found["objects"][7]["J"]["mean"] == 0
    assert found["J"] == pytest.approx({"mean": 0.5, "recall": 0.5, "decay": 0.0})
    assert found["J&F"] == pytest.approx(0.5)


def test_order_of_object_ids_does_not_matter():
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(0, 4, (3, 6, 8)), np.ones((1, 8, 8))).astype(np.uint8)
    predicted = np.roll(truth, 2, axis=2)
    swap = np.array([0, 3, 1, 2], np.uint8)
    assert evaluate_masks(predicted, truth)["J&F"] == pytest.approx(
        evaluate_masks(swap[predicted], swap[truth])["J&F"]
    )


def test_an_object_that_appears_late_is_scored_over_all_frames():
    truth = np.zeros((4, 60, 80), np.uint8)
    truth[2:, 5:25, 5:25] = 3
    early = truth.copy()
    early[0] = truth[2]  # predicted once before it was there
    assert evaluate_masks(truth, truth)["J"]["mean"] == 1
    assert evaluate_masks(early, truth)["J"]["mean"] == pytest.approx(3 / 4)
    assert evaluate_masks(early, truth)["F"]["mean"] == pytest.approx(3 / 4)


def test_the_ends_can_be_left_out():
    truth = np.stack([square()] * 5).astype(np.uint8)
    predicted = truth.copy()
    predicted[0] = predicted[-1] = 0
    assert evaluate_masks(iter(predicted), iter(truth), drop_ends=True)["J"]["mean"] == 1
    assert evaluate_masks(predicted, truth)["J"]["mean"] == pytest.approx(3 / 5)


def test_without_the_ends_every_number_up_to_the_largest_of_the_first_frame_is_an_object():
    truth = np.stack([square()] * 4).astype(np.uint8) * 3
    found = evaluate_masks(truth, truth, drop_ends=True)
    assert list(found["objects"]) == [1, 2, 3] and found["J&F"] == 1
    assert evaluate_masks(0 * truth, truth, drop_ends=True)["J"]["mean"] == pytest.approx(2 / 3)


def test_an_empty_truth_makes_every_prediction_wrong_and_none_right():
    nothing, something = np.zeros((2, 60, 80), np.uint8), np.stack([square()] * 2).astype(np.uint8)
    assert evaluate_masks(nothing, nothing)["J&F"] == 1
    assert evaluate_masks(something, nothing)["J&F"] == 0
    assert evaluate_masks(np.stack([square()]), np.stack([EMPTY]))["J&F"] == 0


@pytest.mark.parametrize(
    "predicted, truth, named",
    [
        (np.zeros((2, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8), None),
        (np.zeros((2, 4, 5), np.uint8), np.zeros((2, 4, 4), np.uint8), "4, 5"),
        (np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), "float64"),
        (np.zeros((0, 4, 4), np.uint8), np.zeros((0, 4, 4), np.uint8), None),
        (np.full((2, 4, 4), 255, np.uint8), np.full((2, 4, 4), 255, np.uint8), "255"),
        ([None], [None], "NoneType"),
    ],
)
def test_bad_masks_are_refused_in_words(predicted, truth, named):
    with pytest.raises(MaskError, match=named) as caught:
        evaluate_masks(predicted, truth)
    assert "\n" not in str(caught.value)


def test_an_error_of_the_caller_s_own_iterator_is_not_taken_for_a_bad_mask():
    mine, mask = ValueError("the disk"), square().astype(np.uint8)

    def breaks():
        yield mask
        raise mine

    for pair in ((breaks(), [mask] * 2), ([mask] * 2, breaks())):
        with pytest.raises(ValueError) as caught:
            evaluate_masks(*pair)
        assert caught.value is mine
