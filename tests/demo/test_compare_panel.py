"""Compare on the page: runs in one turn, none of them twice, with and without the truth."""

import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pages import FRAMES, SETTINGS, Bench, notice

from demo.work.compared import TABLE_5
from stm_core.masks.mask_files import encode_mask

PAIR = ["first", "every-5"]


def compared(bench: Bench, user, *names: str) -> list[dict]:
    ready = bench.compare.get_ready(user, list(names), *SETTINGS)
    assert not notice(ready), notice(ready)
    assert ready["cases"] == list(names)  # what runs is what the page shows as chosen
    return list(bench.compare.compare(user))


def truth_file(folder, masks) -> str:
    """A ZIP of true masks, some of them in a folder of its own."""
    with zipfile.ZipFile(folder / "truth.zip", "w") as pack:
        for t, labels in enumerate(masks):
            pack.writestr(f"some/{t:05d}.png", encode_mask(labels))
        pack.writestr("notes.txt", "no mask")
    return str(folder / "truth.zip")


@pytest.fixture
def marked(bench, user):
    bench.click(user, 0, 8, 8)
    bench.mark.order(user, {"kind": "add"})
    bench.click(user, 0, 24, 24)
    return user


def test_without_truth_the_runs_are_measured_against_every_5(bench, marked):
    *_, last = compared(bench, marked, "first", "previous")
    table = marked.work.compared.table
    assert [row["name"] for row in table["runs"]] == ["first", "previous", "every-5"]
    assert table["reference"] == "every-5" and table["runs"][0]["J"] is None
    shown = last["compared"]
    assert [run["masked"] for run in shown["runs"]] == [[[0, FRAMES]]] * 3
    assert "every-5" in shown["table"] and "<svg" in shown["chart"] and not shown["progress"]
    assert marked.work.run is None and not marked.work.busy  # the page's own run is another thing


def test_with_truth_j_and_f_are_scored_and_the_papers_table_stands_beside(bench, marked, clip, tmp_path):
    bench.compare.take_truth(marked, [truth_file(tmp_path, clip[1])])
    *_, last = compared(bench, marked, *TABLE_5)
    rows = marked.work.compared.table["runs"]
    assert [row["J"] for row in rows] == [1.0] * 5 and [row["F"] for row in rows] == [1.0] * 5
    assert "79.2" in last["compared"]["table"]


def test_truth_that_comes_later_scores_what_has_run(bench, marked, clip, tmp_path):
    compared(bench, marked, "first", "every-5")
    view = bench.compare.take_truth(marked, [truth_file(tmp_path, clip[1])])
    assert marked.work.compared.table["runs"][0]["J"] == 1 and view["truth"] is None


def test_a_run_that_exists_is_not_run_again(bench, marked, monkeypatch):
    bench.tracked(marked)  # bounded, at the clip's own size
    compared(bench, marked, "bounded", "every-5")
    begun, steps = [], bench.runner.steps
    monkeypatch.setattr(bench.runner, "steps", lambda run: begun.append(run) or steps(run))
    compared(bench, marked, "first", "every-5", "bounded")
    assert len(begun) == 1
    assert list(marked.work.compared.runs) == ["first", "every-5", "bounded"]
    bench.tracked(marked)  # the page's run goes, what was compared stays
    assert all(run.labels(5) is not None for run in marked.work.compared.runs.values())
    bench.click(marked, 3, 50, 8)  # other marks: every run is another one
    begun.clear()
    compared(bench, marked, "first", "every-5")
    assert len(begun) == 2


def test_a_comparison_waits_for_the_edit_that_came_before_it(bench, marked):
    marked.edits += 1
    bench.compare.get_ready(marked, PAIR, *SETTINGS)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(lambda: list(bench.compare.compare(marked)))
        time.sleep(0.2)
        stroke = {"kind": "stroke", "frame": 5, "points": [[60, 50]], "radius": 4}
        assert not marked.work.running and not notice(bench.mark.edit(marked, stroke, 0))
        marked.edits -= 1
        run.result(60)
    assert all(5 in run.job.plan.known for run in marked.work.compared.runs.values())


def test_a_comparison_that_waits_for_an_edit_can_be_stopped(bench, marked):
    marked.edits += 1
    bench.compare.get_ready(marked, PAIR, *SETTINGS)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(lambda: list(bench.compare.compare(marked)))
        bench.compare.stop(marked)
        run.result(30)
    assert marked.work.compared is None and not marked.work.busy


def test_a_comparison_ends_when_another_clip_is_opened_while_it_waits(bench, marked):
    marked.edits += 1
    bench.compare.get_ready(marked, PAIR, *SETTINGS)
    before = marked.work
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(lambda: list(bench.compare.compare(marked)))
        time.sleep(0.2)
        marked.take(None)
        run.result(30)
    assert before.compared is None and not before.busy


def test_stop_keeps_what_is_done(bench, marked):
    bench.compare.get_ready(marked, PAIR, *SETTINGS)
    views = []
    for view in bench.compare.compare(marked):
        views.append(view)
        if marked.work.running and len(marked.work.compared.runs) == 2:  # the second has begun
            assert "press Stop first" in notice(bench.click(marked, 0, 20, 20))
            bench.compare.stop(marked)
    assert views[-1]["notice"] == ""  # there is nothing to stop any more
    runs = marked.work.compared.runs
    assert runs["first"].done == FRAMES and marked.work.compared.table["runs"][0]["name"] == "first"
    assert not marked.work.busy


def test_stop_while_the_truth_is_read_ends_the_comparison_before_it_runs(bench, marked, monkeypatch):
    begun = []
    monkeypatch.setattr(bench.runner, "steps", lambda run: begun.append(run) or iter(()))
    monkeypatch.setattr(bench.compare, "_truth", lambda work: bench.compare.stop(marked) and None)
    compared(bench, marked, "first", "every-5")
    assert not begun and not marked.work.busy


def test_track_and_compare_do_not_take_each_others_turn(bench, marked):
    bench.compare.get_ready(marked, PAIR, *SETTINGS)
    assert notice(bench.track.get_ready(marked, *SETTINGS))
    assert list(bench.track.track(marked)) == [{}] and marked.work.busy
    bench.compare.stop(marked)
    *_, last = bench.compare.compare(marked)
    assert not marked.work.busy and last["track"]["interactive"] and marked.work.compared is None
    bench.track.get_ready(marked, *SETTINGS)
    assert notice(bench.compare.get_ready(marked, PAIR, *SETTINGS))
    list(bench.compare.compare(marked))
    assert marked.work.current.state == "waiting"
    list(bench.track.track(marked))
    assert marked.work.run.done == FRAMES


def test_a_page_that_was_closed_ends_the_run_and_keeps_nothing_waiting(bench, marked):
    bench.compare.get_ready(marked, PAIR, *SETTINGS)
    views = bench.compare.compare(marked)
    next(views)
    views.close()
    assert not marked.work.busy and all(not one.under_way for one in marked.work.compared.runs.values())


def test_sizes_and_budgets_are_compared_with_what_is_chosen_for_a_run(bench, marked):
    compared(bench, marked, "size 240", "limit 4 MB", "every-5")
    plans = {name: run.job.plan for name, run in marked.work.compared.runs.items()}
    assert plans["size 240"].size == 240 and plans["size 240"].memory.preset == "bounded"
    assert plans["limit 4 MB"].memory.budget_bytes == 4 * 2**20


@pytest.mark.parametrize("names", [["first"], ["first", "first"], ["first", "best"], []])
def test_a_wrong_choice_is_refused_and_the_page_is_free_again(bench, marked, names):
    bench.compare.get_ready(marked, names, *SETTINGS)
    *_, last = bench.compare.compare(marked)
    assert notice(last) and not marked.work.busy


def test_nothing_marked_is_said_before_anybody_waits(bench, user):
    assert notice(bench.compare.get_ready(user, PAIR, *SETTINGS)) and not user.work.busy


@pytest.mark.parametrize("masks, said", [([], "00000.png"), ([np.ones((8, 8), np.uint8)], "96x64")])
def test_truth_that_is_none_is_refused(bench, user, tmp_path, masks, said):
    assert said in notice(bench.compare.take_truth(user, [truth_file(tmp_path, masks)]))


def test_a_fault_of_ours_leaves_the_page_free_and_nothing_under_way(bench, marked, monkeypatch):
    monkeypatch.setattr(bench.runner, "steps", lambda run: {}["nothing"])
    bench.compare.get_ready(marked, PAIR, *SETTINGS)
    *_, shown, last = bench.compare.compare(marked)
    assert notice(last) and not shown["compared"]["progress"] and not shown["compare_stop"]["interactive"]
    assert not marked.work.busy
