"""Check and fix: the review queue of the page, and a run that continues only as far as it must."""

import re

import numpy as np
import pytest
from pages import SETTINGS, masks_of, notice

from demo.panels.base import Change
from stm_core.runs.agreement import AGREED
from stm_core.runs.record import Record

CLIP = {"frames": 40}


@pytest.fixture
def tracked(bench, user):
    """A visitor whose clip of forty frames was tracked from a click."""
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    assert user.work.run.done == 40
    return user


def fix(bench):
    return next(panel for panel in bench.host.panels if panel.name == "fix")


def looks(view: dict) -> list[int]:
    return [int(n) for n in re.findall(r'data-look="(\d+)"', view["review"])]


def lose(work, *frames: int) -> None:
    """What the run noted says that the object vanished on these frames, and that all others are alike."""
    for n in work.run.records:
        work.run.records[n] = Record({1: 0 if n in frames else 256}, {1: 0.9}, n == 0)


def paint(bench, visitor, frame: int, x: float, y: float) -> dict:
    stroke = {"kind": "stroke", "frame": frame, "radius": 3, "points": [[x, y]]}
    return bench.mark.edit(visitor, stroke, 0)


def test_a_frame_that_is_right_leaves_the_queue_and_a_flag_puts_one_in(bench, tracked):
    lose(tracked.work, 5, 35)
    work, panel = tracked.work, fix(bench)
    view = panel.review(tracked, {"kind": "flag", "frame": 20})
    before = looks(view)
    assert set(view["stage"]["doubtful"]) == {"5", "20", "35"}  # JSON has no other keys than text
    assert before[0] == 20 and set(before) == {5, 20, 35}
    assert looks(panel.review(tracked, {"kind": "right", "frame": 5, "object": 1})) == [20, 35]
    after = looks(panel.review(tracked, {"kind": "flag", "frame": 20}))
    assert after == [35] and work.approved == {(5, 1)}


def test_a_corrected_frame_leaves_the_queue(bench, tracked):
    lose(tracked.work, 10)
    assert 10 in looks(fix(bench).review(tracked, {"kind": "flag", "frame": 35}))
    view = paint(bench, tracked, 10, 90, 55)
    assert 10 not in looks(view) and view["timeline"].count("stm-doubt") == 1  # the flag alone


@pytest.mark.parametrize("data", [{}, {"kind": "flag", "frame": 99}, {"kind": "flag", "frame": "x"}])
def test_an_order_that_makes_no_sense_changes_nothing(bench, tracked, data):
    assert notice(fix(bench).review(tracked, data)) and not tracked.work.flagged
    assert notice(fix(bench).review(tracked, {"kind": "right", "frame": 3, "object": 9}))


def test_continue_ends_where_the_masks_come_out_as_they_were(bench, tracked):
    first = masks_of(tracked)
    paint(bench, tracked, 12, 90, 55)
    *_, last = bench.tracked(tracked, "forward")
    run = tracked.work.run
    assert run.done == 1 + AGREED and run.untouched == 40 - 12 - run.done and not tracked.work.rest
    assert f"{run.done} " in last["progress"] and f"{run.untouched} " in last["progress"]
    second = masks_of(tracked)
    assert len(second) == 40 and second[12][55, 90] == 1
    for n in {*range(40)} - {12}:
        np.testing.assert_array_equal(first[n], second[n])
    assert run.report["run"]["frames_untouched"] == run.untouched


def test_continue_goes_on_to_the_end_when_that_was_asked_for(bench, tracked):
    paint(bench, tracked, 12, 90, 55)
    bench.track.get_ready(tracked, *SETTINGS, "forward", True)
    list(bench.track.track(tracked))
    assert tracked.work.run.done == 28 and not tracked.work.run.untouched


# boxes and clicks that move ---------------------------------------------------------------------------------


def test_a_box_becomes_the_selected_objects_mask_and_can_be_undone(bench, user):
    bench.click(user, 0, 24, 24)  # object 1 is the second square
    bench.mark.order(user, {"kind": "add"})
    bench.mark.edit(user, {"kind": "box", "frame": 0, "box": [15.2, 15.8, 0, 0]}, 0)
    labels = user.work.labels(0)
    assert (labels == 2).any() and not (labels == 2)[17:].any() and (labels[16:32, 16:32] == 1).all()
    bench.mark.order(user, {"kind": "undo"})
    assert set(np.unique(user.work.labels(0))) == {0, 1}


@pytest.mark.parametrize("box", [None, [1, 2, 3], [5, 5, 6, 6], ["a", 0, 9, 9], [900, 900, 990, 990]])
def test_a_box_that_is_none_is_refused_and_changes_nothing(bench, user, box):
    assert notice(bench.mark.edit(user, {"kind": "box", "frame": 0, "box": box}, 0)) and not user.work.marks


def test_a_click_moves_to_the_selected_object(bench, user):
    bench.click(user, 0, 8, 8)
    bench.mark.order(user, {"kind": "add"})
    bench.mark.edit(user, {"kind": "move", "frame": 0, "dot": 0}, 0)
    assert user.work.marks[0].dots == ((8, 8, 1, 2),) and set(np.unique(user.work.labels(0))) == {0, 2}
    for dot in (1, -1, "x", None):
        assert notice(bench.mark.edit(user, {"kind": "move", "frame": 0, "dot": dot}, 0))
    bench.mark.edit(user, {"kind": "stroke", "frame": 0, "radius": 3, "points": [[60, 50]]}, 0)
    assert "undo" in notice(bench.mark.edit(user, {"kind": "move", "frame": 0, "dot": 0}, 0))


def test_frames_without_the_object_stand_beside_the_mean_confidence(bench, tracked):
    lose(tracked.work, *range(10, 17))
    view = fix(bench).refresh(tracked, Change.RESULTS)
    (head,) = re.findall(r"</b><span>(.*?)</span>", view["timeline"])
    assert [int(n) for n in re.findall(r"\d+", head)] == [90, 7, 40]


def test_a_frame_made_without_an_object_counts_as_one_without_it(bench, user):
    bench.mark_two(user)
    bench.tracked(user)
    for n in range(20, 40):  # as after a correction that only the other object has
        user.work.run.records[n] = Record({1: 256}, {1: 0.9})
    view = fix(bench).refresh(user, Change.RESULTS)
    heads = re.findall(r"</b><span>(.*?)</span>", view["timeline"])
    assert [int(n) for n in re.findall(r"\d+", heads[1])][1:] == [20, 40]


def test_an_object_is_missed_only_from_its_first_mark_on(bench, user):
    bench.click(user, 0, 8, 8)
    bench.mark.order(user, {"kind": "add"})
    bench.click(user, 12, 24, 24)
    view = bench.tracked(user)[-1]
    heads = re.findall(r"</b><span>(.*?)</span>", view["timeline"])
    assert [len(re.findall(r"\d+", head)) for head in heads] == [1, 1]  # the mean, and no missing frame
