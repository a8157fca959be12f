"""One user's work is changed by two events at once, and nothing of it is lost."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pages import SETTINGS, notice, wait_for
from PIL import Image

from demo.work import reviewing
from demo.work.pictures import SHARP_KEPT


class Held:
    """A function that stops in the middle of its first call, until it is let go."""

    def __init__(self, function):
        self.function, self.calls = function, []
        self.inside, self.go = threading.Event(), threading.Event()

    def __call__(self, *values, **named):
        self.calls.append(values)
        if len(self.calls) == 1:
            self.inside.set()
            assert self.go.wait(30)
        return self.function(*values, **named)


@pytest.fixture
def lane():
    """Another lane: what is submitted to it runs beside the test."""
    with ThreadPoolExecutor(1) as found:
        yield found


@pytest.fixture
def mask_file(clip, tmp_path):
    picture = Image.fromarray(clip[1][0])
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "mask.png")
    return str(tmp_path / "mask.png")


def test_a_slow_click_refines_the_mask_that_came_in_meanwhile(
    bench, user, clip, lane, mask_file, monkeypatch
):
    held = Held(bench.engine.click)
    monkeypatch.setattr(bench.engine, "click", held)
    clicked = lane.submit(bench.click, user, 0, 60, 60)
    assert held.inside.wait(30)
    assert not notice(bench.mark.import_mask(user, mask_file, 0))
    held.go.set()
    assert not notice(clicked.result(30))
    assert held.calls[0][2] is None and np.array_equal(held.calls[1][2], clip[1][0])
    assert user.work.marks[0].clicks == ((60, 60, 1, 1),)
    bench.mark.order(user, {"kind": "undo"})
    assert np.array_equal(user.work.labels(0), clip[1][0])
    bench.mark.order(user, {"kind": "undo"})
    assert not user.work.marks


def test_a_mask_that_was_read_slowly_keeps_the_click_that_came_before_it(
    bench, user, clip, lane, mask_file, monkeypatch
):
    held = Held(bench.guard.pixels)
    monkeypatch.setattr(bench.guard, "pixels", held)
    imported = lane.submit(bench.mark.import_mask, user, mask_file, 0)
    assert held.inside.wait(30)
    bench.click(user, 0, 8, 8)
    held.go.set()
    assert not notice(imported.result(30))
    assert np.array_equal(user.work.labels(0), clip[1][0]) and user.work.marks[0].dots == ((8, 8, 1, 1),)
    bench.mark.order(user, {"kind": "undo"})
    assert np.array_equal(user.work.labels(0) == 1, clip[1][0] == 1) and not (user.work.labels(0) == 2).any()


def test_a_click_belongs_to_the_object_that_was_selected_when_it_was_made(bench, user, lane, monkeypatch):
    held = Held(bench.engine.click)
    monkeypatch.setattr(bench.engine, "click", held)
    clicked = lane.submit(bench.click, user, 0, 8, 8)
    assert held.inside.wait(30)
    bench.mark.order(user, {"kind": "add"})
    held.go.set()
    clicked.result(30)
    assert user.work.marks[0].clicks == ((8, 8, 1, 1),) and user.work.objects.selected == 2


def test_a_stroke_between_a_runs_plan_and_its_begin_is_in_the_run(bench, user, monkeypatch):
    bench.click(user, 0, 8, 8)
    predict, stroke = bench.runner.predict, {"kind": "stroke", "frame": 5, "points": [[60, 50]], "radius": 4}

    def planned(*values):
        monkeypatch.setattr(bench.runner, "predict", predict)
        assert not notice(bench.mark.edit(user, stroke, 0))
        return predict(*values)

    monkeypatch.setattr(bench.runner, "predict", planned)
    bench.tracked(user)
    assert user.work.result(5)[50, 60] == 1 and user.work.pinned == (0, 5) and not user.work.fixes()


@pytest.mark.parametrize("kind", ["absent", "undo"])
def test_what_is_said_between_a_runs_plan_and_its_begin_is_in_the_run(bench, user, monkeypatch, kind):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    bench.tracked(user, settings=("every-5", *SETTINGS[1:]))
    stroke = {"kind": "stroke", "frame": 5, "points": [[60, 50]], "radius": 4}
    said = {"absent": {"kind": "absent", "frame": 20, "first": 15}, "undo": {"kind": "undo"}}
    if kind == "absent":
        bench.mark.edit(user, stroke, 0)
    else:  # the same marks, and another run
        user.work.rest = [(10, 1)]
        user.work.history.past[-1].values["rest"] = [(10, 1)]
    predict, planned = bench.runner.predict, []

    def meanwhile(*values):
        planned.append(values)
        if len(planned) == 1:
            assert not notice(bench.mark.order(user, said[kind]))
        return predict(*values)

    monkeypatch.setattr(bench.runner, "predict", meanwhile)
    bench.tracked(user, "forward")
    assert len(planned) == 2 and user.work.run.job.plan.absent == user.work.absent
    assert kind == "undo" or not user.work.result(17).any()


def test_clear_is_about_its_own_frame_whatever_is_looked_at_meanwhile(bench, user, monkeypatch):
    for frame in (0, 3):
        bench.click(user, frame, 8 + 16 * (frame % 6), 8)
    go = type(user.work).go
    monkeypatch.setattr(type(user.work), "go", lambda work, index: (go(work, index), go(work, 3))[0])
    bench.mark.order(user, {"kind": "clear", "frame": 0})
    assert list(user.work.marks) == [3]


def test_a_picture_that_was_just_removed_is_made_again(bench, user, monkeypatch):
    bench.mark.seek(user, {"frame": 5})
    opened = Image.open

    def removed(path):
        monkeypatch.setattr(Image, "open", opened)
        path.unlink()
        return opened(path)

    monkeypatch.setattr(Image, "open", removed)
    assert not notice(bench.click(user, 5, 60, 60)) and (bench.folder(user) / "sharp" / "00005.png").exists()


def test_two_events_that_look_at_many_frames_remove_old_pictures_once(bench, user, lane, monkeypatch):
    user.work.sharp = dict.fromkeys(range(100, 200))  # as after many frames
    held = Held(Path.unlink)

    def unlink(path, **how):  # a function, and so a method
        return held(path, **how)

    monkeypatch.setattr(Path, "unlink", unlink)
    first = lane.submit(bench.mark.seek, user, {"frame": 5})
    assert held.inside.wait(30)
    with ThreadPoolExecutor(1) as other:
        second = other.submit(bench.mark.seek, user, {"frame": 6})
        wait_for((bench.folder(user) / "sharp" / "00006.png").exists)
        held.go.set()
        assert not notice(first.result(30)) and not notice(second.result(30))
    assert {5, 6} <= set(user.work.sharp) and len(user.work.sharp) == SHARP_KEPT


def test_the_lock_of_a_visitor_keeps_others_out_and_lets_its_holder_in_again(user):
    with user.alone(), ThreadPoolExecutor(1) as thread:
        assert not thread.submit(user.alone().acquire, False).result(30)
        assert user.alone().acquire(False)
        user.alone().release()


@pytest.fixture
def going(bench, user):
    """A run of one object that has shown its first frame, and goes on."""
    run = bench.begun(user)
    while not user.work.tracked:
        next(run)
    yield run
    run.close()


def grows(work):
    """The run of the work comes to another frame."""
    work.run.records[1000 + len(work.run.records)] = work.run.records[0]


def test_what_is_told_of_a_run_can_be_asked_for_while_it_comes_to_other_frames(
    bench, user, going, monkeypatch
):
    suggestions, before = reviewing.suggestions, dict(user.work.run.records)

    def listed(records, *values, **named):
        for _ in records:
            grows(user.work)
        return suggestions(records, *values, **named)

    class Sure(dict):
        def get(self, *values):
            grows(user.work)
            return super().get(*values)

    monkeypatch.setattr(reviewing, "suggestions", listed)
    assert not notice(bench.fix.review(user, {"kind": "flag", "frame": 3}))
    assert not notice(bench.mark.seek(user, {"frame": 2}))
    monkeypatch.setattr(reviewing, "suggestions", suggestions)
    for index, one in list(user.work.run.records.items()):
        user.work.run.records[index] = replace(one, confidence=Sure(one.confidence))
    assert not notice(bench.fix.review(user, {"kind": "flag", "frame": 4}))
    user.work.run.records = before


@pytest.mark.parametrize("change", ["show", "finish"])
def test_a_run_changes_the_work_when_nobody_else_does(bench, user, lane, change, monkeypatch):
    held = Held(getattr(user.work, change))
    monkeypatch.setattr(user.work, change, held)
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user, *SETTINGS)
    run = lane.submit(lambda: list(bench.track.track(user)))
    assert held.inside.wait(30)
    free = user.alone().acquire(blocking=False)  # as a flag, which may be set while a run goes
    held.go.set()
    assert run.result(30) and not free


def test_a_run_waits_for_the_edit_that_came_before_it(bench, user, lane):
    bench.click(user, 0, 8, 8)
    user.edits += 1
    bench.track.get_ready(user, *SETTINGS)
    run = lane.submit(lambda: list(bench.track.track(user)))
    time.sleep(0.2)
    stroke = {"kind": "stroke", "frame": 5, "points": [[60, 50]], "radius": 4}
    assert not user.work.running and not notice(bench.mark.edit(user, stroke, 0))
    user.edits -= 1
    run.result(60)
    assert user.work.pinned == (0, 5) and not user.work.fixes()
