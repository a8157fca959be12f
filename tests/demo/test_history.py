"""Undo and redo of everything, tracked versions included; objects that are gone for a while."""

from pathlib import Path

import numpy as np
import pytest
from pages import FRAMES, masks_of, notice

from demo.work import history
from demo.work.reviewing import queue


@pytest.fixture
def two(bench, user):
    """A visitor whose clip with two objects was tracked."""
    bench.mark_two(user)
    bench.tracked(user)
    return user


def order(bench, visitor, kind: str, **data) -> dict:
    return bench.mark.order(visitor, {"kind": kind, **data})


def paint(bench, visitor, frame: int) -> None:
    bench.mark.edit(visitor, {"kind": "stroke", "frame": frame, "points": [[60, 60]], "radius": 3}, 0)


def state(work) -> tuple:
    """What a visitor sees of a work, to be compared."""
    names = {one.id: one.name for one in work.objects}
    shown = [work.labels(n) for n in range(FRAMES)]
    masks = [None if one is None else one.tobytes() for one in shown]
    return names, dict(work.marks), masks, work.pinned, work.fixes(), dict(work.absent), set(work.flagged)


def test_every_step_is_undone_and_done_again_in_turn(bench, user):
    fix = next(panel for panel in bench.host.panels if panel.name == "fix")
    steps = [
        lambda: bench.click(user, 0, 8, 8),
        lambda: order(bench, user, "add"),
        lambda: bench.click(user, 0, 24, 24),
        lambda: order(bench, user, "rename", object=2, name="Cat"),
        lambda: bench.tracked(user),
        lambda: fix.review(user, {"kind": "flag", "frame": 7}),
        lambda: order(bench, user, "absent", frame=9, first=5),
        lambda: paint(bench, user, 12),
        lambda: bench.tracked(user, "forward"),
        lambda: order(bench, user, "delete", object=1),
        lambda: order(bench, user, "clear", frame=12),
    ]
    states = [state(user.work)]
    for step in steps:
        step()
        states.append(state(user.work))
        assert states[-1] != states[-2]
    for expected in states[-2::-1]:
        order(bench, user, "undo")
        assert state(user.work) == expected
    assert "stm-info" in notice(order(bench, user, "undo"))
    for expected in states[1:]:
        order(bench, user, "redo")
        assert state(user.work) == expected
    assert "stm-info" in notice(order(bench, user, "redo"))


def test_what_is_done_after_an_undo_cannot_be_redone_over(bench, user):
    bench.click(user, 0, 8, 8)
    order(bench, user, "undo")
    order(bench, user, "rename", object=1, name="Dog")
    assert "stm-info" in notice(order(bench, user, "redo")) and not user.work.marks


def test_a_refused_step_is_no_step(bench, user):
    assert notice(order(bench, user, "delete", object=9)) and not len(user.work.history)


def test_the_last_tracked_versions_come_back_without_a_run(bench, user, monkeypatch):
    kept, versions = 4, []
    assert history.RUNS_KEPT == 10
    monkeypatch.setattr(history, "RUNS_KEPT", kept)
    bench.click(user, 0, 8, 8)
    for n in range(kept + 2):
        paint(bench, user, 1 + n)
        bench.tracked(user, "forward" if n else "")
        versions.append([mask.tobytes() for mask in masks_of(user)])
    folders = list(Path(user.work.clip.folder).glob("run-*"))
    assert len(folders) <= kept + 1
    for expected in versions[-2 : -kept - 1 : -1]:
        order(bench, user, "undo")  # the run
        assert [mask.tobytes() for mask in masks_of(user)] == expected
        order(bench, user, "undo")  # what was painted before it
    while "stm-info" not in notice(order(bench, user, "undo")):
        assert user.work.run is None or user.work.result(3) is not None


# gone for a while -------------------------------------------------------------------------------------------


def test_an_object_that_is_gone_is_empty_at_once_and_in_the_next_run(bench, two):
    before = masks_of(two)
    view = order(bench, two, "absent", frame=9, first=6)
    assert two.work.absent == {2: ((6, 9),)} and view["stage"]["absent"] == [[2, 6, 9]]
    assert not [one for one in queue(two.work) if one.obj == 2 and one.frame in range(6, 10)]

    def right() -> None:
        for n, (old, new) in enumerate(zip(before, masks_of(two), strict=True)):
            np.testing.assert_array_equal(new, np.where((old == 2) & (6 <= n <= 9), 0, old))
            area = two.work.run.records[n].areas[2]
            assert (area == 0) == (6 <= n <= 9)

    right()
    bench.tracked(two)
    right()


def test_a_range_that_is_taken_back_is_tracked_with_the_next_run(bench, two):
    before = masks_of(two)
    order(bench, two, "absent", frame=6, first=9)
    order(bench, two, "present", frame=7)
    assert two.work.absent[2] == () and two.work.rest == [(5, 1)]
    bench.tracked(two, "forward")
    np.testing.assert_array_equal(masks_of(two), before)


def test_an_object_is_either_marked_on_a_frame_or_gone(bench, two):
    assert notice(order(bench, two, "absent", frame=3, first=0)) and not two.work.absent  # frame 0 is marked
    order(bench, two, "absent", frame=9, first=6)
    x = 8 + 16 * ((7 + 1) % 6)
    assert "gone" in notice(bench.click(two, 7, x, 24)) and set(two.work.marks) == {0}
    assert notice(order(bench, two, "present", frame=3))


def test_the_object_that_was_named_is_gone_whichever_is_selected_by_then(bench, two):
    order(bench, two, "select", object=1)
    order(bench, two, "absent", frame=9, first=6, object=2)
    assert two.work.absent == {2: ((6, 9),)}
    order(bench, two, "present", frame=7, object=2)
    assert two.work.absent[2] == () and two.work.objects.selected == 1
    assert notice(order(bench, two, "absent", frame=9, first=6, object=3)) and 3 not in two.work.absent


def test_the_selected_object_is_deleted_where_none_is_named(bench, two):
    order(bench, two, "add")
    order(bench, two, "delete", object=None)
    assert [one.id for one in two.work.objects] == [1, 2]


def test_ranges_survive_a_saved_session(bench, two):
    from demo.work import saved

    order(bench, two, "absent", frame=9, first=6)
    again = bench.arrive()
    archive = bench.result.file(two.work, two.work.run, "everything")
    list(bench.clip.open_clip(again, archive))
    assert again.work.absent == {2: ((6, 9),)} and not again.work.result(7)[again.work.result(7) == 2].any()
    assert saved.to_json(again.work)["absent"] == {"2": ((6, 9),)}


@pytest.mark.parametrize("kind", ["delete", "absent"])
def test_the_memory_chart_is_there_again_after_an_object_was_taken_out(bench, two, kind):
    order(bench, two, kind, object=2, first=5, frame=9)
    two.reloaded = two.work
    view, *_ = bench.clip.come_back(two)
    assert "stm-bank" in view["readout"]
