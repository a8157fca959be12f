"""What the page tells of a visitor's work: the stage's picture, its hint, and the end of a run."""

import re

import numpy as np
import pytest
from pages import SETTINGS, notice

from demo.draw import html
from demo.work.shown import stage_state

ROW = 16  # pixels of a square; each object has a row of its own


def test_a_marked_frame_shows_all_objects_of_a_run_made_since(bench, user, clip):
    bench.click(user, 0, 8, 8)
    bench.mark.order(user, {"kind": "add", "frame": 5})
    y, x = np.argwhere(clip[1][5] == 2)[0] + ROW // 2
    bench.click(user, 5, x, y)
    assert set(np.unique(user.work.labels(5))) == {0, 2}
    bench.tracked(user)
    user.work.go(5)
    assert set(np.unique(user.work.labels(5))) == {0, 1, 2}
    assert stage_state(user)["marks"] is None  # so the browser shows the run's
    stroke = {"kind": "stroke", "frame": 5, "radius": 3, "points": [[90, 55]]}
    bench.mark.edit(user, stroke, 0)  # what is shown is what a correction changes
    assert set(np.unique(user.work.labels(5))) == {0, 1, 2} and user.work.labels(5)[55, 90] == 2
    assert stage_state(user)["marks"] and user.work.fixes() == [5]


@pytest.mark.parametrize(
    "text, told",
    [
        ("frame 0 and frames 3, 5 and 9", "frame 1 and frames 4, 6 and 10"),
        (
            "there is no frame 60; the clip has frames 0 to 59",
            "there is no frame 61; the clip has frames 1 to 60",
        ),
        ("the clip ends after frame 12, 2 marks", "the clip ends after frame 13, 2 marks"),
        ("the mask is 30x30, the frame 640x360; 8 frames", "the mask is 30x30, the frame 640x360; 8 frames"),
        ("can't read 'frame 3.mp4'", "can't read 'frame 3.mp4'"),
    ],
)
def test_errors_count_frames_from_one_on_the_page(text, told):
    assert html.from_one(text) == told


def test_an_object_that_is_marked_where_it_is_said_to_be_gone_is_told_from_one(bench, user):
    bench.click(user, 0, 8, 8)
    gone = {"kind": "absent", "frame": 3, "first": 0}
    found = re.findall(r"\d+", re.sub("<.*?>|“.*?”", "", notice(bench.mark.order(user, gone))))
    assert found == ["1"] and not user.work.absent


def test_the_hint_names_an_object_that_is_not_marked_yet(bench, user):
    bench.click(user, 0, 8, 8)
    before = stage_state(user)["hint"]
    bench.mark.order(user, {"kind": "add"})
    assert "Object 2" in stage_state(user)["hint"]
    bench.click(user, 0, 24, 24)
    assert stage_state(user)["hint"] == before and "Object" not in before


def test_with_a_correction_the_hint_says_which_other_marks_count(bench, user):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    for frame in (7, 11):
        stroke = {"kind": "stroke", "frame": frame, "radius": 3, "points": [[90, 55]]}
        bench.mark.edit(user, stroke, 0)
        found = [int(n) for n in re.findall(r"\d+", stage_state(user)["hint"])]
        assert found == ([8, 1] if frame == 7 else [12, 1, 8])
        bench.tracked(user, "forward")


def forecast(bench, user, budget) -> dict:
    return bench.memory.forecast(user, "bounded", budget, 5, 0, 8)


def test_what_is_told_of_wrong_settings_goes_when_they_are_right(bench, user):
    bench.click(user, 0, 8, 8)
    good = forecast(bench, user, 64)
    assert "notice" not in good  # what else is told stays
    for wrong in (0, None, 0.01):
        bad = forecast(bench, user, wrong)
        assert notice(bad) and "table" not in bad["prediction"] and "table" not in bad["readout"]
        right = forecast(bench, user, 64)
        assert right["notice"] == "" and "table" in right["prediction"]
    (refused,) = bench.tracked(user, settings=("bounded", 0.101, 5, 0, 1))
    assert notice(refused) and forecast(bench, user, 64)["notice"] == ""
    forecast(bench, user, 0)
    bench.mark.edit(user, {"kind": "move", "frame": 0, "dot": 9}, 0)  # another mistake, told later
    assert "notice" not in forecast(bench, user, 64)


def test_a_page_that_is_loaded_again_has_the_settings_the_chart_and_the_whole(bench, user, clip):
    forecast(bench, user, 14)
    run = bench.begun(user)
    next(run)
    bench.track.stop(user)
    list(run)
    done, total = len(user.work.run.records), user.work.clip.frames
    back, *_ = bench.reload(user)
    assert back["budget"] == 14 and "<svg" in back["readout"] and f"{done} of {total}" in back["progress"]
    last = bench.tracked(user, "forward")[-1]
    new = user.work.run.done
    assert [int(n) for n in re.findall(r"\d+", last["progress"].split("<p")[1])][:3] == [total, total, new]
    always = [int(n) for n in re.findall(r"\d+", last["readout"].split("always kept: ")[1].split("<")[0])]
    assert always == [1]  # not the frame that it went on from


def test_what_was_told_of_a_file_goes_with_its_clip(bench, user, clip):
    assert next(bench.clip.open_clip(user, str(clip[0])))["made"] == ""


def test_a_first_mark_is_told_at_once_and_with_the_time_of_a_run_once_that_is_known(bench, user):
    view = bench.click(user, 0, 8, 8)
    assert view["progress"] == ""  # no longer that nothing is marked
    told = forecast(bench, user, 64)["progress"]
    assert told and bench.click(user, 1, 24, 8)["progress"] == told


def test_a_later_state_of_the_stage_has_a_larger_number(user):
    first, second = stage_state(user), stage_state(user)
    assert first["made"] < second["made"] < 2**53  # whole numbers of a browser
    assert {**first, "made": 0} == {**second, "made": 0}


def test_after_a_run_that_could_not_begin_the_progress_is_that_of_the_masks_shown(bench, user):
    bench.click(user, 0, 8, 8)
    *_, done = bench.tracked(user)
    *_, last = bench.tracked(user, settings=("bounded", -1, 5, 0, 8))
    assert notice(last) and last["progress"] == done["progress"]


def test_after_a_run_that_failed_the_progress_says_so(bench, user, monkeypatch):
    steps = bench.runner.steps

    def failing(run):
        for n, step in enumerate(steps(run)):
            if n == 5:
                raise ZeroDivisionError
            yield step

    monkeypatch.setattr(bench.runner, "steps", failing)
    bench.click(user, 0, 8, 8)
    *_, last = bench.tracked(user)
    assert notice(last) and "Stopped" in last["progress"] and " left" not in last["progress"]


def test_undo_of_a_run_tells_how_the_one_before_went(bench, user):
    bench.click(user, 0, 8, 8)
    *_, first = bench.tracked(user)
    bench.mark.order(user, {"kind": "add"})
    bench.click(user, 0, 24, 24)
    *_, second = bench.tracked(user, settings=("every-5", *SETTINGS[1:]))
    back = bench.mark.order(user, {"kind": "undo"})
    assert (back["progress"], back["readout"]) == (first["progress"], first["readout"])
    assert second["readout"] != first["readout"]
