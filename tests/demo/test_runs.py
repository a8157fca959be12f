"""Runs without a browser: Track, Stop, Continue, the forecast, called with plain values."""

import itertools
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from pages import FRAMES, SETTINGS, masks_of, notice, wait_for

from demo.draw import html
from demo.engine.device import Engine
from demo.panels.base import EMPTIED
from demo.work.run import Run
from stm_core.engine.prompts import Prompt
from stm_core.errors import LimitError
from stm_core.masks.mask_files import decode_mask
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.folder import run_to_folder


def test_tracking_gives_the_masks_of_the_command_bit_for_bit(bench, user, clip, tmp_path):
    bench.click(user, 0, 8, 8)
    *_, last = bench.tracked(user)
    assert f"Done: {FRAMES} of {FRAMES} frames" in last["progress"]
    run_to_folder(bench.engine.model, clip[0], Prompt.from_clicks([(8, 8, 1, 1)]), tmp_path / "out")
    for index, labels in enumerate(masks_of(user)):
        ours = user.work.run.mask_path(index).read_bytes()
        assert ours == (tmp_path / "out" / "masks" / f"{index:05d}.png").read_bytes()
        assert np.array_equal(labels == 1, clip[1][index] == 1)


def test_marks_in_mid_clip_are_tracked_both_ways_like_the_command(bench, user, clip, tmp_path):
    x = 8 + 16 * (9 % 6)
    bench.click(user, 9, x, 8)
    bench.mark.order(user, {"kind": "add"})
    bench.click(user, 15, 8 + 16 * (16 % 6), 24)
    bench.tracked(user)
    assert sorted(user.work.run.records) == list(range(FRAMES))
    prompts = [
        Prompt.from_clicks([(x, 8, 1, 1)], frame=9),
        Prompt.from_clicks([(8 + 16 * (16 % 6), 24, 1, 2)], frame=15),
    ]
    run_to_folder(bench.engine.model, clip[0], prompts, tmp_path / "out")
    for index, labels in enumerate(masks_of(user)):
        expected = decode_mask((tmp_path / "out" / "masks" / f"{index:05d}.png").read_bytes())
        assert np.array_equal(labels, expected), index


def test_the_page_shows_a_preview_and_what_the_memory_holds_while_it_runs(bench, user):
    bench.click(user, 0, 8, 8)
    views = bench.tracked(user)
    live = [view for view in views if view.get("stage", {}).get("live")]
    assert live and live[0]["stage"]["live"].startswith("data:image/jpeg")
    readouts = [view["readout"] for view in views if "readout" in view]
    assert "stm-lead" in readouts[-1] and "<details" in readouts[-1] and "<svg" in readouts[-1]
    assert not user.work.running and user.work.run.report["frames_out"] == FRAMES


def test_stop_keeps_what_is_done(bench, user):
    run = bench.begun(user)
    next(run)
    bench.track.stop(user)
    *_, last = run
    assert "notice" not in last and "Stopped" in last["progress"] and 0 < len(user.work.run.records) < FRAMES
    assert user.work.result(0) is not None and not user.work.running
    assert list(bench.result.make(user, "palette"))[-1]["file"].endswith(".zip")


def test_a_run_that_fails_before_its_first_frame_keeps_what_the_run_before_it_made(bench, user, monkeypatch):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    before, report = masks_of(user), user.work.run.report

    def refused(job):
        raise LimitError("you have no GPU time left")
        yield

    for refusal in (refused, lambda job: iter([1 / 0])):
        monkeypatch.setattr(bench.engine, "track", refusal)
        *_, last = bench.tracked(user)
        assert notice(last) and last["results"]["visible"] and not user.work.running
        assert len(masks_of(user)) == FRAMES and user.work.run.report == report
        assert all(map(np.array_equal, masks_of(user), before))


def test_what_zerogpu_refuses_is_told_in_its_own_words(bench, user, monkeypatch):
    def out_of_quota(*_):
        raise gr.Error("You have exceeded your GPU quota.", print_exception=False)
        yield

    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    library = SimpleNamespace(GPU=lambda duration: lambda function: out_of_quota)
    monkeypatch.setattr("demo.engine.device.spaces", library)
    engine = Engine(bench.engine.model, bench.guard)
    bench.click(user, 0, 8, 8)
    monkeypatch.setattr(bench.engine, "track", engine.track)
    *_, last = bench.tracked(user)
    assert "You have exceeded your GPU quota." in notice(last)


def test_a_clip_opened_at_the_last_frame_of_a_run_takes_nothing_of_it(bench, user, clip, monkeypatch):
    bench.click(user, 0, 8, 8)
    steps = bench.runner.steps

    def and_open(*arguments):
        yield from steps(*arguments)
        list(bench.clip.open_clip(user, str(clip[0])))

    monkeypatch.setattr(bench.runner, "steps", and_open)
    last = bench.tracked(user)[-1]
    assert set(last) == {"progress"} and "progressbar" not in last["progress"]
    assert user.work.run is None and not user.work.busy


def test_editing_in_the_queue_leaves_stop_at_hand(bench, user):
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user, *SETTINGS)
    view = bench.click(user, 0, 12, 12)
    assert view["stop"]["interactive"] and not view["track"]["interactive"]
    assert len(list(bench.track.track(user))) > 1 and len(user.work.run.records) == FRAMES
    assert list(bench.track.track(user)) == [{}]  # stopped and pressed again: one run, not two


def test_what_was_set_at_the_last_press_counts_whichever_request_comes_first(bench, user):
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user, *SETTINGS, "forward", True)
    bench.track.stop(user)
    bench.track.get_ready(user, *SETTINGS)
    bench.track.get_ready(user, "every-5", 64, 3, 0, 8)
    list(bench.track.track(user))  # may be the first press's
    memory = user.work.run.job.plan.memory
    assert (memory.preset, memory.every) == ("every-5", 3) and not user.work.run.continues
    assert list(bench.track.track(user)) == [{}]


def test_what_is_set_anew_while_a_run_is_planned_counts(bench, user, monkeypatch):
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user, *SETTINGS)
    plan = bench.runner.plan

    def slowly(*given):
        monkeypatch.setattr(bench.runner, "plan", plan)
        bench.track.get_ready(user, "every-5", *SETTINGS[1:])
        return plan(*given)

    monkeypatch.setattr(bench.runner, "plan", slowly)
    list(bench.track.track(user))
    assert user.work.run.job.plan.memory.preset == "every-5"


def test_a_job_whose_visitor_left_the_queue_does_not_begin(bench, user):
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user, *SETTINGS)
    user.leave()
    assert list(bench.track.track(user)) == [{}] and user.work.run is None


def test_a_clip_opened_in_the_queue_is_not_tracked_by_itself(bench, user, clip):
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user, *SETTINGS)
    first, *_ = bench.clip.open_clip(user, str(clip[0]))
    assert "was stopped" in notice(first) and "progressbar" not in first["progress"]
    bench.click(user, 0, 8, 8)
    assert list(bench.track.track(user)) == [{}] and user.work.run is None


def test_a_run_without_marks_or_with_an_emptied_object_is_refused(bench, user):
    assert "nothing is marked" in notice(bench.tracked(user)[0]).lower()
    bench.click(user, 0, 8, 8)
    bench.mark.order(user, {"kind": "add"})
    assert "is not marked" in notice(bench.tracked(user)[0])


def test_a_second_track_during_a_run_is_refused_and_the_first_goes_on(bench, user):
    run = bench.begun(user)
    assert "being tracked already" in notice(bench.track.get_ready(user, *SETTINGS))
    assert list(bench.track.track(user)) == [{}]
    assert "press Stop first" in notice(bench.click(user, 0, 20, 20))
    *_, last = run
    assert len(user.work.run.records) == FRAMES
    assert last["notice"] == ""  # there is nothing to stop any more


def test_a_new_clip_during_a_run_ends_it_and_leaves_nothing_behind(bench, user, clip):
    bench.click(user, 0, 8, 8)
    old = user.work.clip.folder
    bench.track.get_ready(user, *SETTINGS)
    run = bench.track.track(user)
    next(run)
    list(bench.clip.open_clip(user, str(clip[0])))
    list(run)
    assert user.work.run is None and not user.work.busy and user.work.clip.folder != old
    assert not Path(old).exists()


def test_cancelling_a_run_frees_its_memory_bank(bench, user, monkeypatch):
    from stm_core.memory import bank as memory

    banks = []
    monkeypatch.setattr(
        memory.MemoryBank,
        "clear",
        lambda bank, clear=memory.MemoryBank.clear: (banks.append(bank), clear(bank))[1],
    )
    run = bench.begun(user)
    next(run)
    run.close()
    assert banks and not user.work.running
    wait_for(lambda: all(bank.nbytes == 0 for bank in banks))


def test_marked_frames_that_the_budget_cannot_hold_are_refused_before_the_run(bench, user, monkeypatch):
    monkeypatch.setattr(bench.runner, "memory", lambda *_: MemoryConfig(budget_bytes=10_000))
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    before = bench.memory.forecast(user, *SETTINGS)["prediction"]
    for frame in (1, 2, 3, 4):
        stroke = {"kind": "stroke", "frame": frame, "points": [[60, 60]], "radius": 3}
        bench.mark.edit(user, stroke, 0)
    assert "(5)" in notice(bench.memory.forecast(user, *SETTINGS))
    [view] = bench.tracked(user)
    assert "(5)" in notice(view)
    assert len(user.work.run.records) == FRAMES and user.work.run.report["run"]["frames_done"] == FRAMES
    monkeypatch.setattr(bench.runner, "memory", lambda *_: MemoryConfig(budget_bytes=30_000, every=24))
    assert "at most 7 frames" in bench.memory.forecast(user, *SETTINGS)["prediction"] != before


def test_a_stopped_run_has_recorded_every_mask_that_it_wrote(bench, user):
    run = bench.begun(user)
    bench.track.stop(user)
    list(run)
    written = {int(path.stem) for path in (Path(user.work.run.folder) / "masks").glob("*.png")}
    assert written == set(user.work.run.records)


def test_the_views_of_a_run_speak_only_of_what_its_event_updates(bench, user):
    bench.click(user, 0, 8, 8)
    told = bench.tracked(user)
    bench.track.get_ready(user, "no such preset", *SETTINGS[1:])
    told += bench.track.track(user)
    live = [name for panel in bench.host.panels for name in panel.live]
    assert {name for view in told for name in view} <= {"notice", *EMPTIED, *live}


def test_what_could_not_be_reached_is_told_and_reported(bench, user, monkeypatch):
    for frame in (15, 20):
        bench.click(user, frame, 8 + 16 * (frame % 6), 8)
    frames = bench.guard.frames

    def first_four(*args, **options):
        yield from itertools.islice(frames(*args, **options), 4)

    monkeypatch.setattr(bench.guard, "frames", first_four)
    *_, last = bench.tracked(user)
    for told in (
        "the prompt on frame 20 was not used: the clip ends after frame 18",
        "the frames before 12 could not be read again, so this run gave them no mask",
    ):
        assert told in user.work.run.report["warnings"] and html.from_one(told)[1:] in notice(last)


def test_pictures_asked_for_during_a_run_are_asked_for_again_at_its_end(bench, user):
    bench.click(user, 0, 8, 8)
    views = [view["stage"] for view in bench.tracked(user) if "stage" in view]
    live, ended = views[-2], views[-1]
    assert live["run"] == ended["run"] and live["run_state"] != ended["run_state"]
    bench.tracked(user)
    assert user.work.run.folder.endswith(ended["run"].split("/")[0]) is False  # another run, another address


def test_closing_a_run_does_not_wait_for_the_frame_it_is_at(bench, user, monkeypatch):
    bench.click(user, 0, 8, 8)
    network = bench.engine.model.network
    gate, reached, frames = threading.Event(), threading.Event(), []
    encode, job = network.encode_query, bench.runner.plan(user.work, MemoryConfig(), None, "")

    def held(frame):
        frames.append(frame)
        if len(frames) == 3:
            reached.set()
            frames.append("closed in time" if gate.wait(20) else "waited for")
        return encode(frame)

    monkeypatch.setattr(network, "encode_query", held)
    run = Run.new(user.work.clip.folder)
    run.begin(replace(job, folder=run.folder), None)
    steps = bench.runner.steps(run)
    next(steps)
    assert reached.wait(20)
    steps.close()
    gate.set()
    wait_for(lambda: len(frames) > 3)
    assert frames[3] == "closed in time"


@pytest.mark.parametrize(
    "budget, capacity, limit",
    [(64, 8, "8 frames is"), (0.01, 99, "MB is"), (64, 99, "neither limit")],
)
def test_the_forecast_names_the_limit_that_acts(bench, user, monkeypatch, budget, capacity, limit):
    config = MemoryConfig(every=1, budget_bytes=int(budget * 2**20), capacity=capacity)
    monkeypatch.setattr(bench.runner, "memory", lambda *_: config)
    view = bench.memory.forecast(user, *SETTINGS)
    assert limit in view["prediction"] and limit in view["readout"]
