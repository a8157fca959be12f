"""Before a run: the forecast, the plan, and what happens meanwhile."""

import time

import numpy as np
from pages import FRAMES, SETTINGS, masks_of, notice


def test_stop_while_waiting_in_the_queue_ends_the_run_before_it_begins(bench, session):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    stopped = bench.runs.stop(session)
    assert "before it began" in stopped["progress"] and stopped["track"]["interactive"]
    assert list(bench.runs.track(session, *SETTINGS)) == [{}] and not session.records


def test_stop_while_a_run_is_planned_keeps_what_the_run_before_it_made(bench, session, monkeypatch):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    said = []
    monkeypatch.setattr(bench.engine, "rate", lambda *_: said.append(bench.runs.stop(session)) or 0.1)
    assert bench.tracked(session) == [{}] and "before it began" in said[0]["progress"]
    assert len(session.records) == FRAMES and not session.waiting and not session.running


def test_a_clip_opened_while_a_run_is_planned_is_not_tracked(bench, session, clip, monkeypatch):
    bench.click(session, 0, 8, 8)

    def rate(*_):
        list(bench.handlers.open_clip(session, str(clip[0])))
        session.waiting = True  # and Track was pressed on it
        return 0.1

    monkeypatch.setattr(bench.engine, "rate", rate)
    assert bench.tracked(session) == [{}] and not session.records
    assert session.waiting  # its own run comes next


def test_marks_that_change_while_a_run_is_planned_are_those_that_it_takes(bench, session, monkeypatch):
    bench.click(session, 0, 8, 8)
    bench.marking.order(session, {"kind": "add"})
    bench.click(session, 0, 24, 24)

    def rate(*_):
        bench.click(session, 12, 8 + 16 * (13 % 6), 24)
        bench.marking.order(session, {"kind": "delete", "object": 1})
        return 0.1

    monkeypatch.setattr(bench.engine, "rate", rate)
    bench.tracked(session)
    assert {n for labels in masks_of(session) for n in np.unique(labels)} == {0, 2}
    assert session.pinned == (0, 12) and not session.fixes()


def test_the_forecast_goes_by_how_long_a_visitor_waited_for_a_frame(bench, session, monkeypatch):
    bench.click(session, 0, 8, 8)
    bench.runs.forecast(session, *SETTINGS)
    (measured,) = bench.engine.rates.values()
    steps = bench.runs.steps

    def slowed(*arguments):
        for step in steps(*arguments):
            time.sleep(0.02)  # as a slow decoder would
            yield step

    monkeypatch.setattr(bench.runs, "steps", slowed)
    bench.tracked(session)
    (found,) = bench.engine.rates.values()
    assert found > 0.02 and found != measured
    bench.marking.edit(session, {"kind": "stroke", "frame": 20, "points": [[5, 60]], "radius": 3}, 0)
    bench.tracked(session, "forward")  # four frames say little
    assert list(bench.engine.rates.values()) == [found]


def test_the_forecast_tells_bytes_and_seconds_and_follows_the_preset(bench, session):
    bounded = bench.runs.forecast(session, *SETTINGS)["prediction"]
    first = bench.runs.forecast(session, "first", 64, 5, 0)["prediction"]
    assert "Bank at most" in bounded and "about" in bounded and "1 frames" in first
    for wrong in (("best", 64, 5, 0), ("bounded", 0, 5, 0), ("bounded", 1e9, 5, 0), ("bounded", None, 5, 0)):
        assert notice(bench.runs.forecast(session, *wrong)), wrong


def test_a_page_closed_before_the_first_frame_of_a_run_loses_nothing_of_the_one_before(bench, session):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    before = session.report, session.pinned, session.curve
    bench.runs.get_ready(session)
    run = bench.runs.track(session, *SETTINGS)
    next(run)
    run.close()  # so does Gradio
    assert (session.report, session.pinned, session.curve) == before and not session.running
    assert len(masks_of(session)) == FRAMES
