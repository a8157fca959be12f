"""The page without a browser: handlers called with plain values."""

import io
import json
import os
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pages import FRAMES, SETTINGS, Bench, notice, wait_for
from PIL import Image

from demo.web.events import Events
from demo.web.page import launch_options
from stm_core.errors import VideoError


def test_an_upload_shows_its_first_frame_before_all_frames_are_counted(bench, clip):
    user = bench.arrive()
    views = bench.clip.open_clip(user, str(clip[0]))
    first = next(views)
    assert first["stage"]["clip"] and first["stage"]["sharp"] == [[0, 1]]
    assert (Path(user.work.clip.folder) / "sharp" / "00000.png").exists()
    *_, last = views
    assert f"{FRAMES} frames" in last["report"] and "about" not in last["report"]
    assert last["stage"]["proxies"] == [[0, FRAMES]]


def test_a_bad_upload_is_refused_and_the_open_clip_stays(bench, user, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no film at all")
    before = user.work.clip
    [view] = bench.clip.open_clip(user, str(tmp_path / "bad.mp4"))
    assert "&#x27;bad.mp4&#x27;" in view["notice"] and user.work.clip is before
    assert view["upload"] is None  # room for the next file
    assert len(list(Path(user.folder).iterdir())) == 1


def test_an_example_comes_marked_and_a_visitors_own_mark_is_kept(bench, clip):
    folder = bench.host.examples
    folder.mkdir()
    (folder / "squares.mp4").write_bytes(clip[0].read_bytes())
    about = {"sentence": "Squares.", "objects": ["red"], "clicks": [[0, 8, 8, 1, 1]]}
    (folder / "squares.json").write_text(json.dumps(about))
    user = bench.arrive()
    list(bench.clip.pick_example(user, "squares"))
    view = bench.mark.mark_example(user)
    assert view["track"]["interactive"] and view["stage"]["dots"] and user.work.objects[1].name == "red"
    assert np.array_equal(user.work.labels(0) == 1, clip[1][0] == 1)
    assert bench.mark.mark_example(user) == {}


def test_an_example_that_could_not_be_read_at_first_comes_later(bench, clip, monkeypatch):
    bench.host.examples.mkdir()
    (bench.host.examples / "squares.mp4").write_bytes(clip[0].read_bytes())

    def stalled(*_, **__):
        raise VideoError("no progress")

    with monkeypatch.context() as busy:
        busy.setattr(bench.guard, "call", stalled)
        gallery = bench.clip.show_examples(bench.arrive())["gallery"]
        assert gallery == {"value": "", "visible": False}
    gallery = bench.clip.show_examples(bench.arrive())["gallery"]
    assert 'data-example="squares"' in gallery["value"] and gallery["visible"]


def test_a_run_ends_when_its_clip_is_replaced_and_the_new_clip_says_so(bench, user, clip):
    bench.click(user, 0, 8, 8)
    bench.track.get_ready(user, *SETTINGS)
    run = bench.track.track(user)
    next(run)
    first, *_ = bench.clip.open_clip(user, str(clip[0]))
    assert "was stopped" in notice(first)
    last = list(run)[-1]
    assert set(last) == {"progress"} and "progressbar" not in last["progress"]
    assert user.work.run is None and not user.work.busy


def test_a_clip_over_the_limit_is_tracked_in_the_part_that_was_chosen(tmp_path, clip):
    bench = Bench(tmp_path, max_frames=10)
    user = bench.arrive()
    first = next(bench.clip.open_clip(user, str(clip[0])))
    assert first["part"]["visible"] and "data-counted" not in first["report"]
    *_, last = bench.clip.choose_part(user, 1.0)  # 12 frames a second
    assert "data-counted" in last["report"] and "frames 13 to 22" in last["report"]  # on the page from 1
    assert (user.work.clip.start, user.work.clip.stop, user.work.frame) == (12, 22, 12)
    bench.click(user, 12, 8 + 16 * (12 % 6), 8)
    bench.tracked(user)
    assert sorted(user.work.run.records) == list(range(12, 22))


def test_a_frame_that_is_looked_at_is_shown_without_loss(bench, user, clip):
    view = bench.mark.seek(user, {"frame": 17})
    assert view["stage"]["frame"] == 17
    assert (Path(user.work.clip.folder) / "sharp" / "00017.png").exists()
    assert bench.mark.seek(user, {"frame": 10_000})["stage"]["frame"] == FRAMES - 1


def test_nothing_works_before_there_is_a_clip(bench):
    user = bench.arrive()
    for view in (
        bench.click(user, 0, 1, 1),
        bench.mark.seek(user, {"frame": 3}),
        bench.mark.order(user, {"kind": "add"}),
        *bench.tracked(user),
    ):
        assert "no clip yet" in notice(view)


def test_two_visitors_share_nothing(bench, clip):
    one, two = bench.opened(clip[0]), bench.opened(clip[0])
    bench.click(one, 0, 8, 8)
    bench.click(two, 0, 24, 24)
    bench.tracked(one)
    assert two.work.run is None and one.folder != two.folder
    bench.tracked(two)
    assert np.array_equal(one.work.result(5) == 1, clip[1][5] == 1)
    assert np.array_equal(two.work.result(5) == 1, clip[1][5] == 2)


def test_the_files_of_a_visitor_who_left_stay_for_their_lifetime_and_are_swept_then(bench, user):
    user.leave()
    assert bench.host.sweep(time.time() + 59 * 60) == 0 and Path(user.folder).exists()
    assert bench.host.sweep(time.time() + 61 * 60) == 1 and not Path(user.folder).exists()


def test_a_lost_connection_ends_the_run_and_keeps_the_work_for_the_visitor_who_comes_back(bench, user):
    events, tab = Events(bench.host, None, None, {}), SimpleNamespace(session_hash="tab")
    key = events.visits.begin(user)
    events.visits.show("tab", user)
    run = bench.begun(user)
    next(run)
    before = set(threading.enumerate())
    going = user.work.current
    events._left(tab)
    run.close()  # so does Gradio
    done = len(user.work.run.records)
    assert going.stop and set(threading.enumerate()) <= before  # no clock runs against the user
    assert events._known(key, tab) is user and 0 < done < FRAMES
    wait_for(lambda: user.work.result(0) is not None)  # written behind
    assert user.work.run.report["run"]["frames_done"] == done and user.work.pinned == (0,)
    back = bench.track.stop(user)  # all that can be pressed in that tab
    assert back["track"]["interactive"] and not back["stage"]["running"] and "is kept" in back["progress"]
    bench.tracked(user)
    assert len(user.work.run.records) == FRAMES


def test_what_the_host_keeps_in_the_cache_folder_is_neither_swept_nor_served(bench, user):
    theirs = bench.limits.root / "letters" / "secret.txt"
    theirs.parent.mkdir()
    theirs.write_text("of the host")
    for path in (theirs, theirs.parent):
        os.utime(path, (0, 0))
    assert bench.host.sweep(time.time() + 61 * 60) == 1 and theirs.exists()
    served = [Path(path) for path in launch_options(bench.limits)["allowed_paths"]]
    assert not any(theirs.is_relative_to(path) for path in served)
    assert any(Path(user.folder).is_relative_to(path) for path in served)


def test_something_unforeseen_becomes_a_sentence(bench, user, monkeypatch):
    monkeypatch.setattr(bench.host.engine, "click", lambda *_: 1 / 0)
    view = bench.click(user, 0, 8, 8)
    assert "went wrong on the server" in notice(view) and "division" not in notice(view)


def test_whoever_does_anything_keeps_the_files(bench, user):
    later = time.time() + 59 * 60
    assert bench.host.sweep(later) == 0
    os.utime(user.folder, (0, 0))
    for path in Path(user.folder).glob("**/*"):
        os.utime(path, (0, 0))
    user.touch()
    assert bench.host.sweep(later) == 0 and bench.host.sweep(later + 120) == 1


def test_an_upload_that_another_one_overtook_leaves_no_files(bench, user, clip):
    first = bench.clip.open_clip(user, str(clip[0]))
    inspect, guard = bench.guard.call, bench.guard

    def slowly(task, **values):
        guard.call = inspect
        list(bench.clip.open_clip(user, str(clip[0])))
        return inspect(task, **values)

    guard.call = slowly
    assert list(first) == [{}] and not user.coming
    assert [path.name for path in Path(user.folder).glob("clip-*")] == [Path(user.work.clip.folder).name]


def test_a_bad_file_that_comes_while_a_good_one_is_read_takes_nothing_away(bench, clip, tmp_path):
    user, inspect, guard = bench.arrive(), bench.guard.call, bench.guard
    (tmp_path / "bad.mp4").write_bytes(b"no video")

    def slowly(task, **values):
        guard.call = inspect
        assert notice(list(bench.clip.open_clip(user, str(tmp_path / "bad.mp4")))[-1])
        return inspect(task, **values)

    guard.call = slowly
    shown, *_ = bench.clip.open_clip(user, str(clip[0]))
    assert shown["stage"]["clip"] and user.work is not None and not user.coming


def test_a_page_that_is_loaded_again_while_a_clip_is_read_shows_it(bench, clip):
    user, inspect, guard = bench.arrive(), bench.guard.call, bench.guard

    def slowly(task, **values):
        guard.call = inspect
        user.reloaded, user.awaited = user.work, max(user.coming.values())
        return inspect(task, **values)

    guard.call = slowly
    list(bench.clip.open_clip(user, str(clip[0])))
    shown, *_ = bench.clip.come_back(user)
    assert shown["stage"]["clip"] and not user.awaited


def test_a_folder_of_pictures_that_breaks_off_is_closed_again(bench, tmp_path):
    with zipfile.ZipFile(tmp_path / "frames.zip", "w") as pack:
        for number, side in enumerate((64, 64, 32)):
            data = io.BytesIO()
            Image.new("RGB", (side, side)).save(data, "PNG")
            pack.writestr(f"{number:05d}.png", data.getvalue())
    user = bench.arrive()
    *_, view = bench.clip.open_clip(user, str(tmp_path / "frames.zip"))
    assert notice(view) and user.work is None and view["stage"]["clip"] is None


def test_a_part_typed_or_dragged_to_where_it_is_changes_nothing(bench, user):
    before = user.work.clip
    assert list(bench.clip.choose_part(user, 0.0)) == [{}] and user.work.clip is before
    bench.click(user, 0, 8, 8)
    first, *_ = bench.clip.choose_part(user, 0.5)
    assert "value" not in first["part"]  # the slider may show the next choice by now
    assert "another part of the clip" in notice(first) and user.work.clip.start == 6


@pytest.mark.parametrize("second", [float("nan"), float("inf"), None])
def test_a_part_that_makes_no_sense_is_refused_in_a_sentence(bench, user, second, caplog):
    before = user.work
    assert "the part is" in notice(list(bench.clip.choose_part(user, second))[-1]).lower()
    assert user.work is before and not caplog.records
