"""Before a run: the forecast, the plan, and what happens meanwhile."""

import time

import numpy as np
from pages import FRAMES, SETTINGS, masks_of, notice


def test_stop_while_waiting_in_the_queue_ends_the_run_before_it_begins(bench, user):
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user, *SETTINGS)
    stopped = bench.track.stop(user)
    assert "before it began" in stopped["progress"] and stopped["track"]["interactive"]
    assert list(bench.track.track(user)) == [{}] and user.work.run is None


def test_stop_while_a_run_is_planned_keeps_what_the_run_before_it_made(bench, user, monkeypatch):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    said = []
    monkeypatch.setattr(bench.engine, "rate", lambda *_: said.append(bench.track.stop(user)) or 0.1)
    assert bench.tracked(user) == [{}] and "before it began" in said[0]["progress"]
    assert len(user.work.run.records) == FRAMES and not user.work.busy


def test_a_clip_opened_while_a_run_is_planned_is_not_tracked(bench, user, clip, monkeypatch):
    bench.click(user, 0, 8, 8)

    def rate(*_):
        list(bench.clip.open_clip(user, str(clip[0])))
        bench.click(user, 0, 8, 8)
        bench.track.get_ready(user, *SETTINGS)  # and Track was pressed on it
        return 0.1

    monkeypatch.setattr(bench.engine, "rate", rate)
    assert bench.tracked(user) == [{}] and user.work.run is None
    assert user.work.current.state == "waiting"  # its own run comes next


def test_marks_that_change_while_a_run_is_planned_are_those_that_it_takes(bench, user, monkeypatch):
    bench.mark_two(user)

    def rate(*_):
        bench.click(user, 12, 8 + 16 * (13 % 6), 24)
        bench.mark.order(user, {"kind": "delete", "object": 1})
        return 0.1

    monkeypatch.setattr(bench.engine, "rate", rate)
    bench.tracked(user)
    assert {n for labels in masks_of(user) for n in np.unique(labels)} == {0, 2}
    assert user.work.pinned == (0, 12) and not user.work.fixes()


def test_the_forecast_goes_by_how_long_a_visitor_waited_for_a_frame(bench, user, monkeypatch):
    bench.click(user, 0, 8, 8)
    bench.memory.forecast(user, *SETTINGS)
    (measured,) = bench.engine.rates.values()
    steps = bench.runner.steps

    def slowed(*arguments):
        for step in steps(*arguments):
            time.sleep(0.02)  # as a slow decoder would
            yield step

    monkeypatch.setattr(bench.runner, "steps", slowed)
    bench.tracked(user)
    (found,) = bench.engine.rates.values()
    assert found > 0.02 and found != measured
    bench.mark.edit(user, {"kind": "stroke", "frame": 20, "points": [[5, 60]], "radius": 3}, 0)
    bench.tracked(user, "forward")  # four frames say little
    assert list(bench.engine.rates.values()) == [found]


def test_the_forecast_tells_bytes_and_seconds_and_follows_the_preset(bench, user):
    bounded = bench.memory.forecast(user, *SETTINGS)["prediction"]
    first = bench.memory.forecast(user, "first", 64, 5, 0)["prediction"]
    assert "Memory bank" in bounded and "about" in bounded and "at most 1 frame " in first
    for wrong in (("best", 64, 5, 0), ("bounded", 0, 5, 0), ("bounded", 1e9, 5, 0), ("bounded", None, 5, 0)):
        assert notice(bench.memory.forecast(user, *wrong)), wrong


def test_a_page_closed_before_the_first_frame_of_a_run_loses_nothing_of_the_one_before(bench, user):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    before, shown = (user.work.run.report, user.work.pinned), user.work.run
    bench.track.get_ready(user, *SETTINGS)
    run = bench.track.track(user)
    next(run)
    run.close()  # so does Gradio
    assert (user.work.run.report, user.work.pinned) == before and not user.work.busy
    assert user.work.run is shown
    assert len(masks_of(user)) == FRAMES
