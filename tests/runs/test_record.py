"""What is noted of a frame: sizes, places, pieces and neighbours, and at what cost."""

import time

import numpy as np
import pytest

from stm_core.runs.record import Shape, record_from


def drawn(*boxes, height=120, width=200) -> np.ndarray:
    labels = np.zeros((height, width), np.uint8)
    for i, top, bottom, left, right in boxes:
        labels[top:bottom, left:right] = i
    return labels


def test_areas_are_exact_and_centres_are_where_the_objects_are():
    record = record_from(drawn((1, 10, 50, 20, 60), (7, 60, 100, 120, 180)), [1, 7, 9], {1: 0.5})
    assert record.areas == {1: 1600, 7: 2400, 9: 0} and set(record.shapes) == {1, 7}
    assert record.shapes[1].x == pytest.approx(39.5, abs=2) and record.shapes[1].y == pytest.approx(
        29.5, abs=2
    )
    assert record.shapes[1].touches == () and record.shapes[1].pieces == 1


def test_pieces_are_parts_that_do_not_touch_and_crumbs_are_none():
    ring = drawn((1, 10, 90, 10, 90), (0, 30, 70, 30, 70))
    assert record_from(ring, [1], {}).shapes[1].pieces == 1
    comb = drawn((1, 10, 90, 10, 30), (1, 10, 90, 60, 80), (1, 70, 90, 10, 80))  # joined below
    assert record_from(comb, [1], {}).shapes[1].pieces == 1
    apart = drawn((1, 10, 90, 10, 30), (1, 10, 90, 60, 80), (2, 10, 90, 30, 60), (1, 100, 102, 150, 152))
    shapes = record_from(apart, [1, 2], {}).shapes
    assert shapes[1].pieces == 2 and shapes[2].pieces == 1
    assert shapes[1].touches == (2,) and shapes[2].touches == (1,)


def test_an_object_of_one_pixel_has_a_place():
    assert record_from(drawn((3, 5, 6, 8, 9), height=640, width=640), [3], {}).shapes == {3: Shape(8, 5)}


def test_without_an_object_nothing_is_left_of_it():
    record = record_from(
        drawn((1, 0, 20, 0, 20), (2, 20, 40, 0, 20)), [1, 2], {1: 1.0, 2: 1.0}, refused={2: 0.1}
    )
    left = record.without(2)
    assert set(left.areas) == set(left.confidence) == set(left.shapes) == {1} and not left.refused


def test_a_frame_costs_well_under_the_time_of_a_frame():
    labels = drawn((1, 100, 300, 100, 400), (2, 200, 400, 500, 700), height=480, width=854)
    record_from(labels, [1, 2], {})
    begin = time.process_time()
    for _ in range(10):
        record_from(labels, [1, 2], {})
    assert (time.process_time() - begin) / 10 < 0.02  # 1 ms on an idle core; this one is shared
