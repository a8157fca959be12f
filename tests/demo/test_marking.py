"""Marks without a browser: clicks, strokes, mask files and objects, called with plain values."""

import numpy as np
import pytest
from pages import HEIGHT, WIDTH, masks_of, notice
from PIL import Image


def test_a_click_gives_the_mask_of_the_object(bench, session, clip):
    view = bench.click(session, 0, 8, 8)
    assert not notice(view) and view["stage"]["marks"].startswith("data:image/png")
    assert np.array_equal(session.labels(0) == 1, clip[1][0] == 1)
    assert [dot[:3] for dot in view["stage"]["dots"]] == [[8, 8, 1]]


def test_each_object_has_its_own_clicks(bench, session, clip):
    bench.click(session, 0, 8, 8)
    bench.marking.order(session, {"kind": "add"})
    bench.click(session, 0, 24, 24)
    assert np.array_equal(session.labels(0), clip[1][0])


def test_undo_takes_back_clicks_strokes_and_clear_in_turn(bench, session):
    bench.click(session, 0, 8, 8)
    clicked = session.labels(0)
    bench.marking.edit(session, {"kind": "stroke", "frame": 0, "points": [[60, 50]], "radius": 5}, 0)
    assert session.labels(0)[50, 60] == 1
    bench.marking.order(session, {"kind": "clear", "frame": 0})
    assert session.labels(0) is None
    bench.marking.order(session, {"kind": "undo"})
    assert session.labels(0)[50, 60] == 1
    bench.marking.order(session, {"kind": "undo"})
    assert np.array_equal(session.labels(0), clicked)
    bench.marking.order(session, {"kind": "undo"})
    assert session.labels(0) is None
    assert "nothing to undo" in notice(bench.marking.order(session, {"kind": "undo"}))


def test_a_brush_paints_hard_edges_and_the_eraser_only_its_object(bench, session):
    bench.marking.edit(
        session, {"kind": "stroke", "frame": 0, "points": [[10, 10], [40, 10]], "radius": 4}, 0
    )
    assert set(np.unique(session.labels(0))) == {0, 1} and session.labels(0)[10, 25] == 1
    bench.marking.order(session, {"kind": "add"})
    bench.marking.edit(session, {"kind": "stroke", "frame": 0, "points": [[60, 40]], "radius": 4}, 0)
    wide = {"kind": "stroke", "frame": 0, "points": [[0, 10], [95, 40]], "radius": 200, "erase": True}
    bench.marking.edit(session, wide, 0)
    assert set(np.unique(session.labels(0))) == {0, 1}


def test_a_mask_file_brings_its_objects(bench, session, clip, tmp_path):
    Image.fromarray(clip[1][0] * 60).save(tmp_path / "grey.png")
    picture = Image.fromarray(clip[1][0])
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "mask.png")
    view = bench.marking.import_mask(session, str(tmp_path / "mask.png"))
    assert not notice(view) and np.array_equal(session.labels(0), clip[1][0])
    assert [subject.id for subject in session.subjects] == [1, 2]


@pytest.mark.parametrize(
    "data, words",
    [
        ({"kind": "click", "frame": 0, "x": WIDTH, "y": 3}, "outside the picture"),
        ({"kind": "click", "frame": 0, "x": -1, "y": 3}, "outside the picture"),
        ({"kind": "click", "frame": 0, "x": "nan", "y": 3}, "no place in a clip"),
        ({"kind": "click", "frame": [], "x": 1, "y": 3}, "expected a number"),
        ({"kind": "stroke", "frame": 0, "points": "all", "radius": 3}, "incomplete"),
        ({"kind": "stroke", "frame": 0, "points": [[1, 1]], "radius": -3}, "outside every picture"),
        ({"kind": "stroke", "frame": 0, "points": [[1, 1]] * 5000, "radius": 3}, "shorter strokes"),
    ],
)
def test_marks_that_make_no_sense_are_refused_in_a_sentence(bench, session, data, words):
    assert words in notice(bench.marking.edit(session, data, 0))
    assert not session.marks


def test_masks_that_do_not_fit_are_refused_in_a_sentence(bench, session, tmp_path):
    Image.new("P", (50, 50)).save(tmp_path / "small.png")
    Image.new("P", (WIDTH, HEIGHT)).save(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("small.png", "empty.png", "text.png"):
        assert notice(bench.marking.import_mask(session, str(tmp_path / name))), name
    assert not session.marks


def test_objects_can_be_added_up_to_the_limit_named_and_deleted(bench, session):
    bench.click(session, 0, 8, 8)
    for _ in range(7):
        bench.marking.order(session, {"kind": "add"})
    assert "8 objects" in notice(bench.marking.order(session, {"kind": "add"}))
    bench.marking.order(session, {"kind": "rename", "object": 2, "name": "  my <b>koi</b>\n\x00"})
    assert session.subjects[2].name == "my <b>koi</b>"
    bench.marking.order(session, {"kind": "delete", "object": 1})
    assert list(session.subjects.by_id) == list(range(2, 9)) and not session.marks
    assert "no object 77" in notice(bench.marking.order(session, {"kind": "select", "object": 77}))


def test_a_mark_stays_on_its_frame_when_the_visitor_moves_on_meanwhile(bench, session, monkeypatch):
    answer = bench.engine.click

    def slowly(*values):
        bench.marking.seek(session, 9)
        return answer(*values)

    monkeypatch.setattr(bench.engine, "click", slowly)
    bench.click(session, 0, 8, 8)
    assert list(session.marks) == [0] and session.frame == 9
    bench.marking.order(session, {"kind": "undo"})
    assert not session.marks and session.frame == 0


def test_an_answer_for_a_clip_that_was_closed_is_dropped(bench, session, clip, monkeypatch):
    answer = bench.engine.click

    def slowly(*values):
        list(bench.handlers.open_clip(session, str(clip[0])))
        return answer(*values)

    monkeypatch.setattr(bench.engine, "click", slowly)
    assert bench.click(session, 0, 8, 8) == {} and not session.marks


def test_an_answer_after_track_began_is_dropped_and_said(bench, session, monkeypatch):
    bench.click(session, 0, 8, 8)
    answer = bench.engine.click

    def slowly(*values):
        session.running = True
        return answer(*values)

    monkeypatch.setattr(bench.engine, "click", slowly)
    assert "racking is running" in notice(bench.click(session, 5, 8, 8)) and list(session.marks) == [0]


def test_a_deleted_object_is_gone_from_results_and_corrections(bench, session):
    bench.click(session, 0, 8, 8)
    bench.marking.order(session, {"kind": "add"})
    bench.click(session, 0, 24, 24)
    bench.tracked(session)
    assert any((labels == 2).any() for labels in masks_of(session))
    view = bench.marking.order(session, {"kind": "delete", "object": 2})
    assert "Object 2" not in view["timeline"] and all(2 not in r.areas for r in session.records.values())
    stroke = {"kind": "stroke", "frame": 10, "points": [[60, 60]], "radius": 3}
    bench.marking.edit(session, stroke, 0)
    bench.tracked(session, "forward")
    assert not any((labels == 2).any() for labels in masks_of(session))


def test_deleting_the_last_object_empties_the_results(bench, session):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    view = bench.marking.order(session, {"kind": "delete", "object": 1})
    assert not session.records and not session.pinned and view["player"] is None
    assert not view["results"]["visible"] and "Object" not in view["timeline"]


def test_undo_still_knows_the_marks_of_the_objects_that_remain(bench, session):
    bench.click(session, 0, 8, 8)
    bench.click(session, 0, 10, 10)
    bench.marking.order(session, {"kind": "add"})
    bench.click(session, 0, 24, 24)
    bench.marking.order(session, {"kind": "delete", "object": 2})
    bench.marking.order(session, {"kind": "undo"})  # the click on the deleted object, which is gone already
    bench.marking.order(session, {"kind": "undo"})
    assert [dot[:2] for dot in session.marks[0].dots] == [(8, 8)]


def test_an_undone_correction_is_no_longer_pinned(bench, session):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    assert session.pinned == (0,)
    bench.marking.order(session, {"kind": "undo"})
    assert session.pinned == () and session.records


def test_deleting_an_object_corrects_no_frame(bench, session):
    bench.click(session, 0, 8, 8)
    bench.marking.order(session, {"kind": "add"})
    bench.marking.edit(session, {"kind": "stroke", "frame": 10, "points": [[5, 60]], "radius": 3}, 0)
    bench.tracked(session)
    view = bench.marking.order(session, {"kind": "delete", "object": 2})
    assert session.fixes() == [] and not view["fix"]["interactive"]
    assert set(session.marks) == {0} and session.pinned == (0,)  # nothing is left of the brush's frame
