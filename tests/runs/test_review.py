"""The review queue on made-up records: every reason, its order, what is merged and what is left out."""

import math

import pytest

from stm_core.runs.record import Record, Shape
from stm_core.runs.review import MERGED, MOST, REASONS, suggestions
from stm_core.runs.review_score import COLUMNS, counted


def quiet(frames: int, objects=(1,), **odd) -> dict[int, Record]:
    """Records of objects that move evenly, all alike; odd: (frame, what else of object 1)."""
    found = {}
    for n in range(frames):
        shapes = {i: Shape(50.0 + n, 40.0 * i) for i in objects}
        found[n] = Record(dict.fromkeys(objects, 1000), dict.fromkeys(objects, 0.97), n == 0, shapes)
    return found


def changed(records: dict[int, Record], frame: int, **what) -> dict[int, Record]:
    old = records[frame]
    shape = what.pop("shape", None)
    parts = {name: {**getattr(old, name), 1: value} for name, value in what.items()}
    if shape:
        parts["shapes"] = {**old.shapes, 1: shape}
    return {**records, frame: Record(**{**vars(old), **parts})}


@pytest.mark.parametrize(
    "reason, what",
    [
        ("low", {"confidence": 0.7}),
        ("area", {"areas": 2500}),
        ("area", {"areas": 400}),
        ("vanished", {"areas": 0}),
        ("pieces", {"shape": Shape(70, 40, pieces=3)}),
        ("course", {"shape": Shape(70, 80)}),
        ("touches", {"shape": Shape(70, 40, touches=(2,))}),
        ("lookalike", {"refused": 0.5}),
        ("unlike", {"agreement": 0.4}),
    ],
)
def test_each_reason_is_found_on_its_frame(reason, what):
    (first, *others) = suggestions(changed(quiet(40), 20, **what), [1])
    assert first.frame == 20 and first.obj == 1 and first.reasons[0] == reason
    assert first.sentence == REASONS[reason] and not others


def test_quiet_records_need_no_look_and_marked_frames_neither():
    assert suggestions(quiet(40, (1, 2)), [1, 2]) == []
    records = changed(quiet(40), 20, areas=0)
    marked = {**records, 20: Record(**{**vars(records[20]), "prompted": True})}
    assert [one.reasons for one in suggestions(marked, [1])] == [("back",)]


def test_an_object_that_comes_back_is_a_reason_of_its_own():
    records = quiet(60)
    for n in range(20, 40):
        records = changed(records, n, areas=0, confidence=0.0)
    assert [(one.frame, one.reasons[0]) for one in suggestions(records, [1])] == [
        (20, "vanished"),
        (40, "back"),
    ]


def test_an_object_that_is_said_to_be_absent_did_not_vanish():
    records = quiet(60)
    for n in range(20, 40):
        records = changed(records, n, areas=0, confidence=0.0)
    found = suggestions(records, [1], absent={1: [(20, 29), (30, 39)], 2: [(40, 59)]})
    assert [(one.frame, one.reasons) for one in found] == [(40, ("back",))]


def test_frames_near_a_weightier_one_are_merged_into_it():
    records = quiet(60)
    for n, sure in ((20, 0.8), (25, 0.6), (25 + MERGED, 0.8), (26 + MERGED, 0.9)):
        records = changed(records, n, confidence=sure)
    assert [one.frame for one in suggestions(records, [1])] == [25, 26 + MERGED]


def test_an_object_has_fifteen_suggestions_at_most_and_all_are_ranked_together():
    records = quiet(40 * MERGED, (1, 2))
    for n in range(5, 40 * MERGED, MERGED + 1):
        records = changed(records, n, confidence=0.9 - n / 2000)
    records[200].confidence[2] = 0.0
    found = suggestions(records, [1, 2])
    assert len(found) == MOST + 1 and found[0].obj == 2
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_what_a_person_found_right_leaves_and_what_a_person_flagged_comes_first():
    records = changed(changed(quiet(60), 20, areas=0), 45, confidence=0.5)
    assert {one.frame for one in suggestions(records, [1], seen=[(20, 1)])} == {45}
    assert {one.frame for one in suggestions(records, [1], seen=[(20, 2)])} >= {20, 45}
    flagged = suggestions(records, [1], flagged=[(33, 1)])
    assert flagged[0].frame == 33 and flagged[0].reasons == ("flagged",) and math.isinf(flagged[0].score)


def test_a_run_that_has_only_part_of_the_frames_does_not_look_across_the_gap():
    records = changed(quiet(40), 20, areas=3000)
    del records[19]
    assert suggestions({n: r for n, r in records.items() if n <= 20}, [1]) == []


def test_the_measure_counts_wrong_frames_near_the_first_suggestions():
    records = quiet(100)
    for n in range(50, 60):
        records = changed(records, n, confidence=0.5)
    scores = {n: {1: 0.5 if 50 <= n < 60 or n == 80 else 0.9} for n in records}
    row = dict(zip(COLUMNS, counted(records, scores), strict=True))
    assert row["wrong frames"] == 11 and row["suggested"] == 1 == row["of them wrong"]
    assert row["found within 10"] == 10 and row["within 5"] == 6
    assert row["fixed limits: within 10"] == 10


def test_an_object_that_vanished_comes_before_one_that_left_its_course():
    records = changed(quiet(60), 40, areas=0)
    records = changed(records, 10, shape=Shape(700, 400), areas=400)
    first, second, *_ = [one.reasons[0] for one in suggestions(records, [1])]
    assert (first, second) == ("vanished", "course")


def test_an_object_that_vanished_comes_before_one_for_which_all_else_speaks():
    records = changed(quiet(60, (1, 2)), 40, areas=0)
    odd = Shape(90_000, 400, pieces=9, touches=(2,))
    most = {"areas": 10**9, "confidence": 0.0, "refused": 1.0, "agreement": 0.0, "shape": odd}
    first, second, *_ = suggestions(changed(records, 20, **most), [1, 2])
    assert (first.frame, second.frame) == (40, 20) and len(second.reasons) == 7
