"""One visitor's work is changed by two events at once, and nothing of it is lost."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pages import notice
from PIL import Image


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
    bench, session, clip, lane, mask_file, monkeypatch
):
    held = Held(bench.engine.click)
    monkeypatch.setattr(bench.engine, "click", held)
    clicked = lane.submit(bench.click, session, 0, 8, 8)
    assert held.inside.wait(30)
    assert not notice(bench.marking.import_mask(session, mask_file))
    held.go.set()
    assert not notice(clicked.result(30))
    assert held.calls[0][2] is None and np.array_equal(held.calls[1][2], clip[1][0])
    assert session.marks[0].clicks == ((8, 8, 1, 1),)
    bench.marking.order(session, {"kind": "undo"})
    assert np.array_equal(session.labels(0), clip[1][0])
    bench.marking.order(session, {"kind": "undo"})
    assert not session.marks


def test_a_mask_that_was_read_slowly_keeps_the_click_that_came_before_it(
    bench, session, clip, lane, mask_file, monkeypatch
):
    held = Held(bench.guard.pixels)
    monkeypatch.setattr(bench.guard, "pixels", held)
    imported = lane.submit(bench.marking.import_mask, session, mask_file)
    assert held.inside.wait(30)
    bench.click(session, 0, 8, 8)
    held.go.set()
    assert not notice(imported.result(30))
    assert np.array_equal(session.labels(0), clip[1][0]) and session.marks[0].dots == ((8, 8, 1, 1),)
    bench.marking.order(session, {"kind": "undo"})
    assert np.array_equal(session.labels(0) == 1, clip[1][0] == 1) and not (session.labels(0) == 2).any()


def test_a_click_belongs_to_the_object_that_was_selected_when_it_was_made(bench, session, lane, monkeypatch):
    held = Held(bench.engine.click)
    monkeypatch.setattr(bench.engine, "click", held)
    clicked = lane.submit(bench.click, session, 0, 8, 8)
    assert held.inside.wait(30)
    bench.marking.order(session, {"kind": "add"})
    held.go.set()
    clicked.result(30)
    assert session.marks[0].clicks == ((8, 8, 1, 1),) and session.subjects.selected == 2


def test_a_stroke_between_a_runs_plan_and_its_begin_is_in_the_run(bench, session, monkeypatch):
    bench.click(session, 0, 8, 8)
    predict, stroke = bench.runs.predict, {"kind": "stroke", "frame": 5, "points": [[60, 50]], "radius": 4}

    def planned(*values):
        monkeypatch.setattr(bench.runs, "predict", predict)
        assert not notice(bench.marking.edit(session, stroke, 0))
        return predict(*values)

    monkeypatch.setattr(bench.runs, "predict", planned)
    bench.tracked(session)
    assert session.result(5)[50, 60] == 1 and session.pinned == (0, 5) and not session.fixes()


def test_the_lock_is_one_for_a_session_and_its_copies_and_no_part_of_them(session):
    one, other = copy.deepcopy(session), pickle.loads(pickle.dumps(session))
    with session.alone(), ThreadPoolExecutor(1) as thread:
        for copied in (session, one, other):
            assert copied.alone() is session.alone()
            assert not thread.submit(copied.alone().acquire, False).result(30)
        assert session.alone().acquire(False)  # by its holder, again
        session.alone().release()
