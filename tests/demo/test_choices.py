"""What a first click may mean: laws of the stage's handlers, called with plain values."""

import numpy as np
import pytest
from pages import HEIGHT, SETTINGS, WIDTH, Bench, notice

from demo.engine.choosing import RATIO, around
from demo.panels.mark import MarkPanel
from demo.work.marks import Marks
from demo.work.offered import open_click


@pytest.fixture
def choices(bench, monkeypatch) -> MarkPanel:
    """The stage over an engine that finds three masks under every click: a part, a thing, and all."""

    def three(image, click, size):
        masks = np.zeros((3, HEIGHT, WIDTH), bool)
        masks[0, :8, :8], masks[1, :16, :16], masks[2, :32, :32] = True, True, True
        return list(masks)

    monkeypatch.setattr(bench.engine, "choices", three)
    return bench.mark


def chosen(number) -> dict:
    return {"number": number, "frame": 0}


def offered(view: dict) -> list[dict]:
    return view.get("stage", {}).get("choices", [])


def test_an_unsure_first_click_offers_masks_and_the_shown_one_is_marked(bench: Bench, user, choices):
    bench.click(user, 0, 8, 8)
    masks = offered(choices.offer(user, 0))
    assert len(masks) == 3 and [mask["on"] for mask in masks] == [False, True, False]
    assert all(mask["src"].startswith("data:image/jpeg") for mask in masks)


def test_a_chosen_mask_is_the_frames_mask_and_undo_brings_the_clicks_back(bench: Bench, user, choices):
    bench.click(user, 0, 8, 8)
    clicked = user.work.labels(0)
    choices.offer(user, 0)
    view = choices.choose(user, chosen(2))
    assert not notice(view) and (user.work.labels(0) == 1).sum() == 32 * 32
    assert [mask["on"] for mask in offered(view)] == [False, False, True]
    assert (user.work.labels(0) == 1).sum() == 32 * 32
    assert not notice(choices.choose(user, chosen(0))) and (user.work.labels(0) == 1).sum() == 64
    bench.mark.order(user, {"kind": "undo"})
    bench.mark.order(user, {"kind": "undo"})
    assert np.array_equal(user.work.labels(0), clicked)


def test_a_choice_leaves_other_objects_their_pixels(bench: Bench, user, choices):
    bench.mark_two(user)
    choices.offer(user, 0)
    choices.choose(user, chosen(2))
    labels = user.work.labels(0)
    assert (labels == 1).sum() == 256 and (labels == 2).sum() == 32 * 32 - 256


@pytest.mark.parametrize("number", [3, -1, None, "x", 10**9])
def test_a_choice_that_is_not_there_is_refused(bench: Bench, user, choices, number):
    bench.click(user, 0, 8, 8)
    before = user.work.labels(0)
    choices.offer(user, 0)
    assert notice(choices.choose(user, chosen(number)))
    assert np.array_equal(user.work.labels(0), before)


def test_choices_end_with_the_next_mark(bench: Bench, user, choices):
    bench.click(user, 0, 8, 8)
    choices.offer(user, 0)
    bench.mark.edit(user, {"kind": "stroke", "frame": 0, "points": [[60, 50]], "radius": 5}, 0)
    assert not offered(choices.offer(user, 0)) and notice(choices.choose(user, chosen(0)))


def test_only_the_first_click_on_an_object_is_open():
    on, off = (8, 8, 1, 1), (9, 9, 0, 1)
    assert open_click(Marks((on,)), 1) == on
    assert open_click(None, 1) is None and open_click(Marks((off,)), 1) is None
    assert open_click(Marks((on, off)), 1) is None and open_click(Marks((on,)), 2) is None


def test_the_hint_tells_of_the_masks_and_they_go_when_a_run_begins(bench: Bench, user, choices):
    before = bench.click(user, 0, 8, 8)["stage"]
    view = choices.offer(user, 0)
    assert view["stage"]["hint"] != before["hint"] and len(offered(view)) == 3 and not before["choices"]
    assert (
        offered(bench.mark.seek(user, {"frame": 1})) == []
        and len(offered(bench.mark.seek(user, {"frame": 0}))) == 3
    )
    assert not offered(bench.track.get_ready(user, *SETTINGS))
    *_, last = bench.track.track(user)
    assert last["stage"]["choices"] == [] and not offered(choices.offer(user, 0))


@pytest.mark.parametrize("place", [(0, 0, 4, 4), (20, 30, 40, 90), (0, 0, 64, 96), (5, 90, 60, 96)])
def test_a_small_picture_shows_the_whole_mask_and_keeps_its_shape_where_there_is_room(place):
    top, left, bottom, right = place
    mask = np.zeros((64, 96), bool)
    mask[top:bottom, left:right] = True
    rows, columns = around(mask)
    assert mask[rows, columns].sum() == mask.sum() and 0 <= rows.start < rows.stop <= 64
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    assert abs(wide - RATIO * high) <= 1 or high == 64 or wide == 96
