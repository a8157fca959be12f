"""What visitors share: places in the queue, time on the device, memory, the disk."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import colour_model
from pages import FRAMES, SETTINGS, Bench, notice

from demo.work.run import Run
from stm_core.errors import LimitError
from stm_core.memory.policy import MemoryConfig
from stm_core.runs import clip as core

MINUTES = "1e-09 minutes"


def test_one_more_run_than_may_wait_is_refused_and_its_button_stays(tmp_path, clip):
    bench = Bench(tmp_path, queue_size=2)
    first, second, third = (bench.opened(clip[0]) for _ in range(3))
    for one in (first, second, third):
        bench.click(one, 0, 8, 8)
    for one in (first, second):
        assert not notice(bench.track.get_ready(one)) and one.work.busy
    assert "2 runs are waiting" in notice(bench.track.get_ready(third)) and not third.work.busy
    assert (
        "2 runs are waiting" in notice(bench.compare.get_ready(third, [], *SETTINGS)) and not third.work.busy
    )
    bench.track.stop(first)
    assert not notice(bench.compare.get_ready(third, [], *SETTINGS)) and third.work.busy


def test_a_place_that_no_browser_comes_for_is_given_to_another_run(tmp_path, clip, monkeypatch):
    bench = Bench(tmp_path, queue_size=1)
    first, second = (bench.opened(clip[0]) for _ in range(2))
    for one in (first, second):
        bench.click(one, 0, 8, 8)
    bench.track.get_ready(first)
    monkeypatch.setattr("demo.work.waiting.GRACE", -1)
    assert notice(bench.track.get_ready(second)) and first.work.busy  # its browser has asked
    bench.host.waiting.comes = lambda visitor: visitor is not first
    assert not notice(bench.track.get_ready(second)) and second.work.busy and not first.work.busy


def test_a_comparison_that_has_begun_waits_no_longer(tmp_path, clip):
    bench = Bench(tmp_path, queue_size=1)
    first, second = (bench.opened(clip[0]) for _ in range(2))
    for one in (first, second):
        bench.click(one, 0, 8, 8)
    bench.compare.get_ready(first, ["first", "every-5"], *SETTINGS)
    views = bench.compare.compare(first)
    next(views)
    assert not notice(bench.track.get_ready(second)) and second.work.busy
    views.close()


def test_a_second_press_while_a_run_waits_takes_no_second_place(tmp_path, clip):
    bench = Bench(tmp_path, queue_size=2)
    user = bench.opened(clip[0])
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user)
    run = user.work.current
    bench.host.waiting.join(
        user, user.work, Run.new(user.work.clip.folder), ("every-5",)
    )  # in another thread
    assert user.work.current is run and run.asked == ("every-5",)
    other = bench.opened(clip[0])
    bench.click(other, 0, 8, 8)
    assert not notice(bench.track.get_ready(other))


def test_a_run_ends_at_the_hosts_time_and_keeps_what_is_done(tmp_path, clip):
    bench = Bench(tmp_path, run_minutes=1e-9)
    user = bench.opened(clip[0])
    bench.click(user, 0, 8, 8)
    views = bench.tracked(user)
    assert MINUTES in notice(views[-1]) and 0 < len(user.work.run.records) < FRAMES
    assert all(user.work.run.mask_path(n).exists() for n in user.work.run.records)
    assert "svg" in views[-2]["timeline"] and not user.work.running


def test_the_forecast_tells_of_the_hosts_time(tmp_path, clip):
    bench = Bench(tmp_path, run_minutes=1e-9)
    user = bench.opened(clip[0])
    assert "a run may take" in bench.memory.forecast(user, *SETTINGS)["prediction"]
    assert "a run may take" not in Bench(tmp_path).memory.forecast(user, *SETTINGS)["prediction"]


@pytest.mark.parametrize(
    "most, asked, seen", [(1080, 480, 128), (1080, 100, 100), (80, 480, 80), (1080, 0, 64)]
)
def test_a_small_clip_is_enlarged_as_far_as_was_chosen_and_the_host_allows(tmp_path, clip, most, asked, seen):
    model = colour_model()
    model.network.least_side = 128
    bench = Bench(tmp_path, model, max_side=most)
    user = bench.opened(clip[0])
    settings = (*SETTINGS[:3], asked, SETTINGS[4])
    bench.click(user, 0, 8, 8)
    bench.memory.forecast(user, *settings)
    assert (
        min(bench.engine.seen(*user.work.clip.size, bench.runner.side(*user.work.clip.size, asked))) == seen
    )
    bench.tracked(user, settings=settings)
    run = user.work.run
    assert run.report["memory"]["peak_bytes"] == run.forecast.bank_bytes
    found = np.stack([run.labels(n) for n in range(FRAMES)])
    assert (found == (np.stack(clip[1]) == 1)).mean() > 0.95  # cells and squares may lie askew


@pytest.mark.parametrize("size", [(10, 40), (2, 2), (3, 50)])
@pytest.mark.parametrize("least", [None, 480])
def test_what_a_tiny_clip_costs_can_be_told(tmp_path, size, least):
    model = colour_model()
    model.network.least_side = least
    bench, memory = Bench(tmp_path, model), MemoryConfig()
    for asked in (0, 480):
        seen = bench.engine.seen(*size, bench.runner.side(*size, asked))
        assert bench.engine.rate(*seen, 1) > 0
        assert bench.engine.predict(memory, *seen, 1, FRAMES, 1).bank_bytes > 0


def test_no_choice_of_size_is_more_than_the_host_allows(tmp_path, clip):
    bench = Bench(tmp_path, max_side=48)
    user = bench.opened(clip[0])
    height, width = user.work.clip.size
    assert min(height, width) > 48
    for chosen, seen in ((0, 48), (None, 48), (9999, 48), (48, 48), (32, 32)):
        assert bench.runner.side(height, width, chosen) == seen, chosen
    assert bench.runner.side(40, 60, 0) == 40
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    assert user.work.run.report["run"]["size"] == 48


def test_a_full_disk_takes_no_clip_and_leaves_no_folder(bench, user, clip, monkeypatch):
    before = set(bench.host.visitors.glob("*/*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    assert "disk is nearly full" in notice(list(bench.clip.open_clip(user, str(clip[0])))[-1])
    with pytest.raises(LimitError, match="disk is nearly full"):
        bench.host.opener.whole(user, str(clip[0]))
    assert set(bench.host.visitors.glob("*/*")) == before and user.work.clip is not None


def test_speed_is_measured_on_small_frames_one_measurement_at_a_time(bench, monkeypatch):
    seen = []

    def calibrate(height, width, objects):
        assert bench.engine.measuring.locked()
        seen.append((height, width))
        return 0.5

    monkeypatch.setattr(bench.engine, "_calibrate", calibrate)
    assert bench.engine.rate(240, 320, 1) == 0.5
    assert bench.engine.rate(960, 1280, 1) == pytest.approx(2.0)
    assert bench.engine.rate(960, 1280, 1) == pytest.approx(2.0)
    assert seen == [(240, 320), (480, 640)]


def test_a_run_that_only_reads_marks_obeys_its_time_before_its_first_frame(tmp_path, clip, monkeypatch):
    bench = Bench(tmp_path, run_minutes=5)
    user = bench.opened(clip[0])
    for frame in (0, 3, 6, 9):
        bench.click(user, frame, 8 + 16 * (frame % 6), 8)
    bench.tracked(user)
    bench.mark.edit(user, {"kind": "stroke", "frame": 20, "points": [[60, 60]], "radius": 3}, 0)
    now, before = [0.0], user.work.result(20)
    monkeypatch.setattr("demo.engine.runner.time", SimpleNamespace(monotonic=lambda: now[0]))
    read = core._reference

    def slow(*values):
        now[0] += 120
        return read(*values)

    monkeypatch.setattr(core, "_reference", slow)
    *_, last = bench.tracked(user, "forward")  # three marks take six minutes to read
    assert now[0] == 360 and "ended after 5 minutes" in notice(last)
    assert np.array_equal(user.work.result(20), before) and len(user.work.run.records) == FRAMES
