"""Laws of a run that goes on from masks: after corrections, and after Stop."""

import numpy as np
import pytest
from pages import FRAMES, SETTINGS, notice

from stm_core.runs.agreement import AGREED


def test_a_correction_recomputes_only_what_follows_and_is_pinned(bench, user, clip):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    before = [user.work.run.mask_path(n).stat().st_mtime_ns for n in range(FRAMES)]
    stroke = {"kind": "stroke", "frame": 10, "points": [[5, 60]], "radius": 3}
    view = bench.mark.edit(user, stroke, 0)
    assert view["fix"]["interactive"] and "Frame 11 corrected" in view["stage"]["hint"]
    assert notice(bench.tracked(bench.opened(clip[0]), "forward")[0])
    *_, last = bench.tracked(user, "forward")
    after = [user.work.run.mask_path(n).stat().st_mtime_ns for n in range(FRAMES)]
    made = [a != b for a, b in zip(before, after, strict=True)]
    assert made == [10 <= n <= 10 + AGREED for n in range(FRAMES)]  # the rest comes out as it was
    assert 10 in user.work.pinned and 10 in last["stage"]["pinned"]
    assert user.work.result(10)[60, 5] == 1


def test_a_correction_can_go_backward(bench, user):
    bench.click(user, 12, 8 + 16 * (12 % 6), 8)
    bench.tracked(user)
    stamps = [user.work.run.mask_path(n).stat().st_mtime_ns for n in range(FRAMES)]
    bench.mark.edit(user, {"kind": "stroke", "frame": 5, "points": [[5, 60]], "radius": 3}, 0)
    bench.tracked(user, "backward")
    changed = [n for n in range(FRAMES) if user.work.run.mask_path(n).stat().st_mtime_ns != stamps[n]]
    assert changed == list(range(6))


@pytest.mark.parametrize(("direction", "first"), [("forward", 5), ("backward", 15), ("both", 5)])
def test_one_run_takes_in_all_corrections_whichever_frame_is_shown(bench, user, direction, first):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    for frame in (15, 5):
        bench.mark.edit(user, {"kind": "stroke", "frame": frame, "points": [[60, 60]], "radius": 3}, 0)
    bench.mark.seek(user, {"frame": 20 - first})
    bench.tracked(user, direction)
    assert user.work.run.job.plan.first == first
    assert user.work.fixes() == [] and user.work.pinned == (0, 5, 15)
    assert all(user.work.result(n)[60, 60] == 1 for n in (5, 15))


def test_a_stopped_run_resumes_where_it_was_and_computes_only_what_is_missing(bench, user, clip):
    x = 8 + 16 * (9 % 6)
    bench.click(user, 9, x, 8)
    bench.track.get_ready(user, *SETTINGS)
    run = bench.track.track(user)
    next(run)
    next(run)
    bench.track.stop(user)
    *_, last = run
    done = dict(user.work.run.records)
    assert 0 < len(done) < FRAMES - 9 and user.work.rest == [(max(done), 1), (9, -1)]
    assert last["fix"]["interactive"] and last["fix"]["variant"] == "primary"
    assert str(max(done) + 2) in last["fix"]["value"]  # the next frame, as the page counts
    before = {n: user.work.run.mask_path(n).read_bytes() for n in done}
    bench.tracked(user, "forward")
    assert user.work.rest == [(9, -1)] and len(user.work.run.fresh) == FRAMES - max(done)
    bench.tracked(user, "forward")  # the rest lies before the mark, whatever the direction says
    assert user.work.rest == [] and sorted(user.work.run.records) == list(range(FRAMES))
    assert all(user.work.run.mask_path(n).read_bytes() == mask for n, mask in before.items())
    assert all(np.array_equal(user.work.result(n) == 1, clip[1][n] == 1) for n in range(FRAMES))


def test_a_correction_stays_usable_for_the_other_direction(bench, user):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    bench.mark.edit(user, {"kind": "stroke", "frame": 10, "points": [[60, 60]], "radius": 3}, 0)
    *_, last = bench.tracked(user, "backward")
    assert user.work.fixes() == [] and last["fix"]["interactive"] and last["fix"]["variant"] == "secondary"
    assert " 11 " in last["progress"]  # the frame after which nothing was done yet
    *_, last = bench.tracked(user, "forward")
    assert user.work.run.fresh == set(range(10, 11 + AGREED))
    bench.tracked(user)  # from scratch: all marks are in it
    assert user.work.corrected == []
