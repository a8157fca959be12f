"""Marks without a browser: clicks, strokes, mask files and objects, called with plain values."""

import numpy as np
import pytest
from pages import HEIGHT, WIDTH, masks_of, notice
from PIL import Image

from demo.work.run import Run

HUGE = 10**400  # a number in JSON, and none in Python's float


def test_a_click_gives_the_mask_of_the_object(bench, user, clip):
    view = bench.click(user, 0, 8, 8)
    assert not notice(view) and view["stage"]["marks"].startswith("data:image/png")
    assert np.array_equal(user.work.labels(0) == 1, clip[1][0] == 1)
    assert [dot[:3] for dot in view["stage"]["dots"]] == [[8, 8, 1]]


def test_each_object_has_its_own_clicks(bench, user, clip):
    bench.mark_two(user)
    assert np.array_equal(user.work.labels(0), clip[1][0])


def test_undo_takes_back_clicks_strokes_and_clear_in_turn(bench, user):
    bench.click(user, 0, 8, 8)
    clicked = user.work.labels(0)
    bench.mark.edit(user, {"kind": "stroke", "frame": 0, "points": [[60, 50]], "radius": 5}, 0)
    assert user.work.labels(0)[50, 60] == 1
    bench.mark.order(user, {"kind": "clear", "frame": 0})
    assert user.work.labels(0) is None
    bench.mark.order(user, {"kind": "undo"})
    assert user.work.labels(0)[50, 60] == 1
    bench.mark.order(user, {"kind": "undo"})
    assert np.array_equal(user.work.labels(0), clicked)
    bench.mark.order(user, {"kind": "undo"})
    assert user.work.labels(0) is None
    assert "nothing to undo" in notice(bench.mark.order(user, {"kind": "undo"}))


def test_a_brush_paints_hard_edges_and_the_eraser_only_its_object(bench, user):
    bench.mark.edit(user, {"kind": "stroke", "frame": 0, "points": [[10, 10], [40, 10]], "radius": 4}, 0)
    assert set(np.unique(user.work.labels(0))) == {0, 1} and user.work.labels(0)[10, 25] == 1
    bench.mark.order(user, {"kind": "add"})
    bench.mark.edit(user, {"kind": "stroke", "frame": 0, "points": [[60, 40]], "radius": 4}, 0)
    wide = {"kind": "stroke", "frame": 0, "points": [[0, 10], [95, 40]], "radius": 200, "erase": True}
    bench.mark.edit(user, wide, 0)
    assert set(np.unique(user.work.labels(0))) == {0, 1}


def test_a_mask_file_brings_its_objects(bench, user, clip, tmp_path):
    Image.fromarray(clip[1][0] * 60).save(tmp_path / "grey.png")
    picture = Image.fromarray(clip[1][0])
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "mask.png")
    view = bench.mark.import_mask(user, str(tmp_path / "mask.png"), 0)
    assert not notice(view) and np.array_equal(user.work.labels(0), clip[1][0])
    assert [one.id for one in user.work.objects] == [1, 2]


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "click", "frame": 0, "x": WIDTH, "y": 3},
        {"kind": "click", "frame": 0, "x": -1, "y": 3},
        {"kind": "click", "frame": 0, "x": "nan", "y": 3},
        {"kind": "click", "frame": [], "x": 1, "y": 3},
        {"kind": "stroke", "frame": 0, "points": "all", "radius": 3},
        {"kind": "stroke", "frame": 0, "points": [[1, 1]], "radius": -3},
        {"kind": "stroke", "frame": 0, "points": [[1, 1]] * 5000, "radius": 3},
        {"kind": ["click"], "frame": 0, "y": 3},
        {"kind": "click", "frame": HUGE, "x": 1, "y": 3},
        {"kind": "box", "frame": 0, "box": [HUGE, 0, 9, 9]},
        {"kind": "stroke", "frame": 0, "points": [[HUGE, 1]], "radius": 3},
        {"kind": "stroke", "frame": 0, "points": [[1, 1]], "radius": HUGE},
    ],
)
def test_marks_that_make_no_sense_are_refused_in_a_sentence(bench, user, data, caplog):
    assert notice(bench.mark.edit(user, data, 0))
    assert not user.work.marks and not caplog.records  # foreseen: the log has no traceback of it


def test_a_look_that_was_asked_for_before_an_undo_does_not_lead_away_from_it(bench, user):
    bench.click(user, 0, 8, 8)
    asked = {"frame": 5, "jump": bench.mark.seek(user, {"frame": 5})["stage"]["jump"]}
    assert bench.mark.order(user, {"kind": "undo", "frame": 5})["stage"]["frame"] == 0
    assert bench.mark.seek(user, asked)["stage"]["frame"] == user.work.frame == 0
    assert bench.mark.seek(user, {**asked, "jump": user.work.jump})["stage"]["frame"] == 5


def test_masks_that_do_not_fit_are_refused_in_a_sentence(bench, user, tmp_path):
    Image.new("P", (50, 50)).save(tmp_path / "small.png")
    Image.new("P", (WIDTH, HEIGHT)).save(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("small.png", "empty.png", "text.png"):
        assert notice(bench.mark.import_mask(user, str(tmp_path / name), 0)), name
    assert not user.work.marks


def test_objects_can_be_added_up_to_the_limit_named_and_deleted(bench, user):
    bench.click(user, 0, 8, 8)
    for _ in range(7):
        bench.mark.order(user, {"kind": "add"})
    assert "8 objects" in notice(bench.mark.order(user, {"kind": "add"}))
    bench.mark.order(user, {"kind": "rename", "object": 2, "name": "  my <b>koi</b>\n\x00"})
    assert user.work.objects[2].name == "my <b>koi</b>"
    bench.mark.order(user, {"kind": "delete", "object": 1})
    assert list(user.work.objects.by_id) == list(range(2, 9)) and not user.work.marks
    assert "no object 77" in notice(bench.mark.order(user, {"kind": "select", "object": 77}))


def test_a_mark_stays_on_its_frame_when_the_visitor_moves_on_meanwhile(bench, user, monkeypatch):
    answer = bench.engine.click

    def slowly(*values):
        bench.mark.seek(user, {"frame": 9})
        return answer(*values)

    monkeypatch.setattr(bench.engine, "click", slowly)
    bench.click(user, 0, 8, 8)
    assert list(user.work.marks) == [0] and user.work.frame == 9
    bench.mark.order(user, {"kind": "undo"})
    assert not user.work.marks and user.work.frame == 0


def test_an_answer_for_a_clip_that_was_closed_is_dropped(bench, user, clip, monkeypatch):
    answer = bench.engine.click

    def slowly(*values):
        list(bench.clip.open_clip(user, str(clip[0])))
        return answer(*values)

    monkeypatch.setattr(bench.engine, "click", slowly)
    assert bench.click(user, 0, 8, 8) == {} and not user.work.marks


def test_an_answer_after_track_began_is_dropped_and_said(bench, user, monkeypatch):
    bench.click(user, 0, 8, 8)
    answer = bench.engine.click

    def slowly(*values):
        user.work.current = Run.new(user.work.clip.folder)
        user.work.current.state = "running"
        return answer(*values)

    monkeypatch.setattr(bench.engine, "click", slowly)
    assert "racking is running" in notice(bench.click(user, 5, 8, 8)) and list(user.work.marks) == [0]


def test_a_deleted_object_is_gone_from_results_and_corrections(bench, user):
    bench.mark_two(user)
    bench.tracked(user)
    assert any((labels == 2).any() for labels in masks_of(user))
    view = bench.mark.order(user, {"kind": "delete", "object": 2})
    assert "Object 2" not in view["timeline"]
    assert all(2 not in record.areas for record in user.work.run.records.values())
    stroke = {"kind": "stroke", "frame": 10, "points": [[60, 60]], "radius": 3}
    bench.mark.edit(user, stroke, 0)
    bench.tracked(user, "forward")
    assert not any((labels == 2).any() for labels in masks_of(user))


def test_deleting_the_last_object_empties_the_results(bench, user):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    view = bench.mark.order(user, {"kind": "delete", "object": 1})
    assert user.work.run is None and not user.work.pinned
    assert bench.result.show_film(user) == {"player": None}
    assert not view["results"]["visible"] and "Object" not in view["timeline"]


def test_undo_brings_back_a_deleted_object(bench, user):
    bench.click(user, 0, 8, 8)
    bench.mark.edit(user, {"kind": "stroke", "frame": 0, "points": [[5, 60]], "radius": 3}, 0)
    bench.mark.order(user, {"kind": "add"})
    bench.click(user, 0, 24, 24)
    bench.mark.order(user, {"kind": "delete", "object": 2})
    assert [dot[:2] for dot in user.work.marks[0].dots] == [(8, 8)] and len(user.work.objects) == 1
    bench.mark.order(user, {"kind": "undo"})  # the object is back, with its click
    assert len(user.work.objects) == 2 and set(np.unique(user.work.labels(0))) == {0, 1, 2}
    for _ in range(3):
        bench.mark.order(user, {"kind": "undo"})
    assert len(user.work.objects) == 1 and set(np.unique(user.work.labels(0))) == {0, 1}


def test_an_undone_correction_is_no_longer_pinned(bench, user):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    run = user.work.run
    bench.mark.edit(user, {"kind": "stroke", "frame": 5, "points": [[60, 60]], "radius": 3}, 0)
    bench.tracked(user, "forward")
    assert user.work.pinned == (0, 5)
    bench.mark.order(user, {"kind": "undo"})  # the run
    assert user.work.pinned == (0,) and user.work.fixes() == [5] and user.work.run is run
    bench.mark.order(user, {"kind": "undo"})
    assert user.work.pinned == (0,) and not user.work.fixes() and user.work.run.records


def test_a_click_or_stroke_that_changes_nothing_says_so_and_is_no_mark(bench, user):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    stroke = {"kind": "stroke", "frame": 0, "points": [[8, 8]], "radius": 2}
    nothing = (
        lambda: bench.click(user, 0, 8, 8),
        lambda: bench.click(user, 0, 60, 60, label=0),
        lambda: bench.mark.edit(user, stroke, 0),
        lambda: bench.mark.edit(user, {**stroke, "points": [[60, 60]], "erase": True}, 0),
    )
    for act in nothing:
        assert "stm-info" in notice(act())
        assert len(user.work.history) == 2 and not user.work.fixes()


def test_an_objects_colour_is_chosen_once_by_what_lies_under_it(bench, user):
    bench.click(user, 0, 8, 8)
    first = user.work.objects[1]
    under = np.array([255, 0, 0])  # the square is reddish: see `squares`
    assert first.tint is not None and np.abs(np.array(first.rgb) - under).sum() > 150
    bench.mark.order(user, {"kind": "add"})
    bench.click(user, 5, 44, 24)
    tints = [one.tint for one in user.work.objects]
    assert tints[0] == first.tint and tints[1] not in (None, tints[0])
    view = bench.mark.seek(user, {"frame": 0})
    assert [one["color"] for one in view["stage"]["objects"]] == [one.color for one in user.work.objects]


def test_deleting_an_object_corrects_no_frame(bench, user):
    bench.click(user, 0, 8, 8)
    bench.mark.order(user, {"kind": "add"})
    bench.mark.edit(user, {"kind": "stroke", "frame": 10, "points": [[5, 60]], "radius": 3}, 0)
    bench.tracked(user)
    view = bench.mark.order(user, {"kind": "delete", "object": 2})
    assert user.work.fixes() == [] and not view["fix"]["interactive"]
    assert set(user.work.marks) == {0} and user.work.pinned == (0,)  # nothing is left of the brush's frame
