"""Runs without a browser: Track, Stop, Continue, the forecast, called with plain values."""

import itertools
import threading
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
from pages import FRAMES, SETTINGS, masks_of, notice, wait_for

from demo.engine.device import Engine
from demo.web.events import RUNNING
from demo.work.work import unpack
from stm_core.engine.prompts import Prompt
from stm_core.errors import LimitError
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.folder import run_to_folder


def test_tracking_gives_the_masks_of_the_command_bit_for_bit(bench, session, clip, tmp_path):
    bench.click(session, 0, 8, 8)
    *_, last = bench.tracked(session)
    assert f"done: {FRAMES} of {FRAMES} frames" in last["progress"]
    run_to_folder(bench.engine.model, clip[0], Prompt.from_clicks([(8, 8, 1, 1)]), tmp_path / "out")
    for index, labels in enumerate(masks_of(session)):
        ours = (Path(session.clip.folder) / "masks" / f"{index:05d}.png").read_bytes()
        assert ours == (tmp_path / "out" / "masks" / f"{index:05d}.png").read_bytes()
        assert np.array_equal(labels == 1, clip[1][index] == 1)


def test_marks_in_mid_clip_are_tracked_both_ways_like_the_command(bench, session, clip, tmp_path):
    x = 8 + 16 * (9 % 6)
    bench.click(session, 9, x, 8)
    bench.marking.order(session, {"kind": "add"})
    bench.click(session, 15, 8 + 16 * (16 % 6), 24)
    bench.tracked(session)
    assert sorted(session.records) == list(range(FRAMES))
    prompts = [
        Prompt.from_clicks([(x, 8, 1, 1)], frame=9),
        Prompt.from_clicks([(8 + 16 * (16 % 6), 24, 1, 2)], frame=15),
    ]
    run_to_folder(bench.engine.model, clip[0], prompts, tmp_path / "out")
    for index, labels in enumerate(masks_of(session)):
        expected = unpack((tmp_path / "out" / "masks" / f"{index:05d}.png").read_bytes())
        assert np.array_equal(labels, expected), index


def test_the_page_shows_a_preview_and_what_the_memory_holds_while_it_runs(bench, session):
    bench.click(session, 0, 8, 8)
    views = bench.tracked(session)
    live = [view for view in views if view.get("stage", {}).get("live")]
    assert live and live[0]["stage"]["live"].startswith("data:image/jpeg")
    readouts = [view["readout"] for view in views if "readout" in view]
    assert " held of" in readouts[-1] and "<svg" in readouts[-1]
    assert not session.running and session.report["frames_out"] == FRAMES


def test_stop_keeps_what_is_done(bench, session):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    run = bench.runs.track(session, *SETTINGS)
    next(run)
    next(run)
    bench.runs.stop(session)
    *_, last = run
    assert "stopped" in last["progress"] and 0 < len(session.records) < FRAMES
    assert session.result(0) is not None and not session.running
    assert list(bench.downloads.make(session, "palette"))[-1]["file"].endswith(".zip")


def test_a_run_that_fails_before_its_first_frame_keeps_what_the_run_before_it_made(
    bench, session, monkeypatch
):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    before, report = masks_of(session), session.report

    def refused(job):
        raise LimitError("you have no GPU time left")
        yield

    for refusal in (refused, lambda job: iter([1 / 0])):
        monkeypatch.setattr(bench.engine, "track", refusal)
        *_, last = bench.tracked(session)
        assert notice(last) and last["results"]["visible"] and not session.running
        assert len(masks_of(session)) == FRAMES and session.report == report
        assert all(map(np.array_equal, masks_of(session), before))


def test_what_zerogpu_refuses_is_told_in_its_own_words(bench, session, monkeypatch):
    def out_of_quota(*_):
        raise gr.Error("You have exceeded your GPU quota.", print_exception=False)
        yield

    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    library = SimpleNamespace(GPU=lambda duration: lambda function: out_of_quota)
    monkeypatch.setattr("demo.engine.device.spaces", library)
    engine = Engine(bench.engine.model, bench.guard)
    bench.click(session, 0, 8, 8)
    monkeypatch.setattr(bench.engine, "track", engine.track)
    *_, last = bench.tracked(session)
    assert "You have exceeded your GPU quota." in notice(last)


def test_a_clip_opened_at_the_last_frame_of_a_run_takes_nothing_of_it(bench, session, clip, monkeypatch):
    bench.click(session, 0, 8, 8)
    steps = bench.runs.steps

    def and_open(*arguments):
        yield from steps(*arguments)
        list(bench.handlers.open_clip(session, str(clip[0])))

    monkeypatch.setattr(bench.runs, "steps", and_open)
    assert bench.tracked(session)[-1] == {"progress": ""}
    assert not session.records and session.report is None and not session.curve


def test_editing_in_the_queue_leaves_stop_at_hand(bench, session):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    view = bench.click(session, 0, 12, 12)
    assert view["stop"]["interactive"] and not view["track"]["interactive"]
    assert len(list(bench.runs.track(session, *SETTINGS))) > 1 and len(session.records) == FRAMES
    assert list(bench.runs.track(session, *SETTINGS)) == [{}]  # stopped and pressed again: one run, not two


def test_a_job_whose_visitor_left_the_queue_does_not_begin(bench, session):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    bench.handlers.leave(session)
    assert list(bench.runs.track(session, *SETTINGS)) == [{}] and not session.records


def test_a_clip_opened_in_the_queue_is_not_tracked_by_itself(bench, session, clip):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    first, *_ = bench.handlers.open_clip(session, str(clip[0]))
    assert "was ended" in notice(first) and first["progress"] == ""
    bench.click(session, 0, 8, 8)
    assert list(bench.runs.track(session, *SETTINGS)) == [{}] and not session.records


def test_a_correction_recomputes_only_what_follows_and_is_pinned(bench, session, clip):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    before = [session.mask_path(n).stat().st_mtime_ns for n in range(FRAMES)]
    stroke = {"kind": "stroke", "frame": 10, "points": [[5, 60]], "radius": 3}
    view = bench.marking.edit(session, stroke, 0)
    assert view["fix"]["interactive"] and "Frame 10 corrected" in view["stage"]["hint"]
    assert "press Track" in notice(bench.tracked(bench.opened(clip[0]), "forward")[0])
    *_, last = bench.tracked(session, "forward")
    after = [session.mask_path(n).stat().st_mtime_ns for n in range(FRAMES)]
    assert before[:10] == after[:10] and all(a != b for a, b in zip(before[10:], after[10:], strict=True))
    assert 10 in session.pinned and 10 in last["stage"]["pinned"]
    assert session.result(10)[60, 5] == 1


def test_a_correction_can_go_backward(bench, session):
    bench.click(session, 12, 8 + 16 * (12 % 6), 8)
    bench.tracked(session)
    stamps = [session.mask_path(n).stat().st_mtime_ns for n in range(FRAMES)]
    bench.marking.edit(session, {"kind": "stroke", "frame": 5, "points": [[5, 60]], "radius": 3}, 0)
    bench.tracked(session, "backward")
    changed = [n for n in range(FRAMES) if session.mask_path(n).stat().st_mtime_ns != stamps[n]]
    assert changed == list(range(6))


def test_a_run_without_marks_or_with_an_emptied_object_is_refused(bench, session):
    assert "nothing is marked" in notice(bench.tracked(session)[0]).lower()
    bench.click(session, 0, 8, 8)
    bench.marking.order(session, {"kind": "add"})
    assert "has no pixels" in notice(bench.tracked(session)[0])


def test_a_second_track_during_a_run_is_refused_and_the_first_goes_on(bench, session):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    run = bench.runs.track(session, *SETTINGS)
    next(run)
    assert "being tracked already" in notice(bench.runs.get_ready(session))
    assert list(bench.runs.track(session, *SETTINGS)) == [{}]
    assert "press Stop first" in notice(bench.click(session, 0, 20, 20))
    list(run)
    assert len(session.records) == FRAMES


def test_a_new_clip_during_a_run_ends_it_and_leaves_nothing_behind(bench, session, clip):
    bench.click(session, 0, 8, 8)
    old = session.clip.folder
    bench.runs.get_ready(session)
    run = bench.runs.track(session, *SETTINGS)
    next(run)
    list(bench.handlers.open_clip(session, str(clip[0])))
    list(run)
    assert not session.records and not session.running and session.clip.folder != old
    assert not Path(old).exists()


def test_cancelling_a_run_frees_its_memory_bank(bench, session, monkeypatch):
    from stm_core.memory import bank as memory

    banks = []
    monkeypatch.setattr(
        memory.MemoryBank,
        "clear",
        lambda bank, clear=memory.MemoryBank.clear: (banks.append(bank), clear(bank))[1],
    )
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    run = bench.runs.track(session, *SETTINGS)
    next(run)
    next(run)
    run.close()
    assert banks and not session.running
    wait_for(lambda: all(bank.nbytes == 0 for bank in banks))


def test_marked_frames_that_the_budget_cannot_hold_are_refused_before_the_run(bench, session, monkeypatch):
    monkeypatch.setattr(bench.runs, "memory", lambda *_: MemoryConfig(budget_bytes=10_000))
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    before = bench.runs.forecast(session, *SETTINGS)["prediction"]
    for frame in (1, 2, 3, 4):
        x = 8 + 16 * (frame % 6)
        bench.click(session, frame, x, 8)
    assert "5 prompted frame(s)" in notice(bench.runs.forecast(session, *SETTINGS))
    [view] = bench.tracked(session)
    assert "5 prompted frame(s)" in notice(view) and "give a budget of at least" in notice(view)
    assert len(session.records) == FRAMES and session.report["run"]["frames_done"] == FRAMES
    monkeypatch.setattr(bench.runs, "memory", lambda *_: MemoryConfig(budget_bytes=30_000, every=24))
    assert "7 frames ×" in bench.runs.forecast(session, *SETTINGS)["prediction"] != before


def test_a_stopped_run_has_recorded_every_mask_that_it_wrote(bench, session):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    run = bench.runs.track(session, *SETTINGS)
    next(run)
    bench.runs.stop(session)
    list(run)
    written = {int(path.stem) for path in (Path(session.clip.folder) / "masks").glob("*.png")}
    assert written == set(session.records)


def test_the_views_of_a_run_speak_only_of_what_its_event_updates(bench, session):
    bench.click(session, 0, 8, 8)
    told = bench.tracked(session)
    bench.runs.get_ready(session)
    told += bench.runs.track(session, "no such preset", 64, 5, 0, "")
    assert {name for view in told for name in view} <= set(RUNNING)


def test_a_correction_that_no_frame_was_made_from_stays_to_be_done(bench, session):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    for frame in (15, 5):
        bench.marking.edit(session, {"kind": "stroke", "frame": frame, "points": [[60, 60]], "radius": 3}, 0)
    bench.tracked(session, "backward")
    assert session.fixes() == [15] and session.pinned == (0, 5)
    bench.marking.seek(session, 15)
    bench.tracked(session, "forward")
    assert session.fixes() == [] and session.pinned == (0, 5, 15)
    assert session.result(15)[60, 60] == 1


def test_what_could_not_be_reached_is_told_and_reported(bench, session, monkeypatch):
    for frame in (15, 20):
        bench.click(session, frame, 8 + 16 * (frame % 6), 8)
    frames = bench.guard.frames

    def first_four(*args, **options):
        yield from itertools.islice(frames(*args, **options), 4)

    monkeypatch.setattr(bench.guard, "frames", first_four)
    *_, last = bench.tracked(session)
    for told in (
        "the prompt on frame 20 was not used: the clip ends after frame 18",
        "the frames before 12 could not be read again; this run gave them no mask",
    ):
        assert told in session.report["warnings"] and told[1:] in notice(last)


def test_pictures_asked_for_during_a_run_are_asked_for_again_at_its_end(bench, session):
    bench.click(session, 0, 8, 8)
    views = [view["stage"] for view in bench.tracked(session) if "stage" in view]
    assert views[-1]["revision"] > views[0]["revision"]


def test_closing_a_run_does_not_wait_for_the_frame_it_is_at(bench, session, monkeypatch):
    bench.click(session, 0, 8, 8)
    network = bench.engine.model.network
    gate, reached, frames = threading.Event(), threading.Event(), []
    encode, job = network.encode_query, bench.runs.plan(session, MemoryConfig(), None, "")

    def held(frame):
        frames.append(frame)
        if len(frames) == 3:
            reached.set()
            frames.append("closed in time" if gate.wait(20) else "waited for")
        return encode(frame)

    monkeypatch.setattr(network, "encode_query", held)
    steps = bench.runs.steps(session, job)
    next(steps)
    assert reached.wait(20)
    steps.close()
    gate.set()
    wait_for(lambda: len(frames) > 3)
    assert frames[3] == "closed in time"
