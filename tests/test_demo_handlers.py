"""The page without a browser: handlers called with plain values."""

import copy
import io
import json
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pages import FRAMES, HEIGHT, SETTINGS, WIDTH, Bench, notice, write_clip
from PIL import Image

from demo.clip import unpack
from demo.session import Session
from stm_core.prompts import Prompt
from stm_core.save import run_to_folder

SQUARE = {"frame": 0, "x": 8, "y": 8}  # inside the first square of frame 0


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> tuple[Path, list[np.ndarray]]:
    path = tmp_path_factory.mktemp("clip") / "squares.mp4"
    return path, write_clip(path)


@pytest.fixture
def session(bench, clip) -> Session:
    return bench.opened(clip[0])


def masks_of(session: Session) -> list[np.ndarray]:
    return [session.result(index) for index in sorted(session.records)]


# the clip ---------------------------------------------------------------------------------------------------


def test_an_upload_shows_its_first_frame_before_all_frames_are_counted(bench, clip):
    session = bench.handlers.arrive()
    views = bench.handlers.open_clip(session, str(clip[0]))
    first = next(views)
    assert first["stage"]["clip"] and first["stage"]["sharp"] == [[0, 1]]
    assert (Path(session.clip.folder) / "sharp" / "00000.png").exists()
    *_, last = views
    assert f"{FRAMES} frames" in last["report"] and "about" not in last["report"]
    assert last["stage"]["proxies"] == [[0, FRAMES]]


def test_a_bad_upload_is_refused_and_the_open_clip_stays(bench, session, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no film at all")
    before = session.clip
    [view] = bench.handlers.open_clip(session, str(tmp_path / "bad.mp4"))
    assert "&#x27;bad.mp4&#x27; is not a clip" in view["notice"] and session.clip is before
    assert view["upload"] is None  # room for the next file
    assert len(list(Path(session.folder).iterdir())) == 1


def test_an_example_comes_marked_and_a_visitors_own_mark_is_kept(bench, clip):
    folder = bench.handlers.examples
    folder.mkdir()
    (folder / "squares.mp4").write_bytes(clip[0].read_bytes())
    about = {"sentence": "Squares.", "objects": ["red"], "clicks": [[0, 8, 8, 1, 1]]}
    (folder / "squares.json").write_text(json.dumps(about))
    session = bench.handlers.arrive()
    list(bench.handlers.pick_example(session, "squares"))
    view = bench.marking.mark_example(session)
    assert view["track"]["interactive"] and view["stage"]["dots"] and session.subjects[0].name == "red"
    assert np.array_equal(session.labels(0) == 1, clip[1][0] == 1)
    assert bench.marking.mark_example(session) == {}


def test_a_run_ends_without_a_word_when_its_clip_is_replaced(bench, session, clip):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    run = bench.runs.track(session, *SETTINGS, "")
    next(run)
    list(bench.handlers.open_clip(session, str(clip[0])))
    assert list(run)[-1] == {"progress": ""} and not session.running and not session.records


def test_a_clip_over_the_limit_is_tracked_in_the_part_that_was_chosen(tmp_path, clip):
    bench = Bench(tmp_path, max_frames=10)
    session = bench.handlers.arrive()
    first = next(bench.handlers.open_clip(session, str(clip[0])))
    assert first["part"]["visible"] and "frames 0 to 9" in first["report"]
    list(bench.handlers.choose_part(session, 1.0))  # 12 frames a second
    assert (session.clip.start, session.clip.stop, session.frame) == (12, 22, 12)
    bench.click(session, 12, 8 + 16 * (12 % 6), 8)
    bench.tracked(session)
    assert sorted(session.records) == list(range(12, 22))


def test_a_frame_that_is_looked_at_is_shown_without_loss(bench, session, clip):
    view = bench.marking.seek(session, 17)
    assert view["stage"]["frame"] == 17
    assert (Path(session.clip.folder) / "sharp" / "00017.png").exists()
    assert bench.marking.seek(session, 10_000)["stage"]["frame"] == FRAMES - 1


def test_nothing_works_before_there_is_a_clip(bench):
    session = bench.handlers.arrive()
    for view in (
        bench.click(session, 0, 1, 1),
        bench.marking.seek(session, 3),
        bench.marking.order(session, {"kind": "add"}),
        *bench.tracked(session),
    ):
        assert "no clip yet" in notice(view)


# marks ------------------------------------------------------------------------------------------------------


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
    assert session.subject(2).name == "my <b>koi</b>"
    bench.marking.order(session, {"kind": "delete", "object": 1})
    assert [s.id for s in session.subjects] == list(range(2, 9)) and not session.marks
    assert "no object 77" in notice(bench.marking.order(session, {"kind": "select", "object": 77}))


# runs -------------------------------------------------------------------------------------------------------


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
    assert " held of" in live[-1]["readout"] and "<svg" in live[-1]["readout"]
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
    assert list(bench.runs.download(session, "palette"))[-1]["file"].endswith(".zip")


def test_stop_while_waiting_in_the_queue_ends_the_run_before_it_begins(bench, session):
    bench.click(session, 0, 8, 8)
    bench.runs.get_ready(session)
    assert "leaves the queue" in bench.runs.stop(session)["progress"]
    [view] = bench.runs.track(session, *SETTINGS)
    assert "before it began" in view["progress"] and not session.records


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
    assert "being tracked already" in notice(next(bench.runs.track(session, *SETTINGS)))
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
    import stm_core.memory as memory

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
    assert banks and all(bank.nbytes == 0 for bank in banks) and not session.running


def test_the_forecast_tells_bytes_and_seconds_and_follows_the_preset(bench, session):
    bounded = bench.runs.forecast(session, *SETTINGS)["prediction"]
    first = bench.runs.forecast(session, "first", 64, 5, 0)["prediction"]
    assert "Bank at most" in bounded and "about" in bounded and "1 frames" in first
    for wrong in (("best", 64, 5, 0), ("bounded", 0, 5, 0), ("bounded", 1e9, 5, 0), ("bounded", None, 5, 0)):
        assert notice(bench.runs.forecast(session, *wrong)), wrong


# results ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory, clip):
    bench = Bench(tmp_path_factory.mktemp("finished"))
    session = bench.opened(clip[0])
    bench.click(session, 0, 8, 8)
    bench.marking.order(session, {"kind": "add"})
    bench.click(session, 0, 24, 24)
    bench.tracked(session)
    return bench, session


def made(finished, kind: str) -> Path:
    bench, session = finished
    *_, last = bench.runs.download(session, kind)
    return Path(last["file"])


def test_the_films_have_every_frame_and_its_time(finished):
    import av

    for kind, codec in (("overlay", "h264"), ("green", "h264"), ("alpha", "vp9")):
        with av.open(str(made(finished, kind))) as film:
            stream = film.streams.video[0]
            times = [float(frame.pts * stream.time_base) for frame in film.decode(stream)]
            assert stream.codec_context.codec.canonical_name == codec
            assert np.allclose(times, np.arange(FRAMES) / 12, atol=2e-3)


def test_the_mask_archives_have_one_mask_per_frame_and_object(finished, clip):
    with zipfile.ZipFile(made(finished, "palette")) as pack:
        assert pack.namelist() == [f"masks/{n:05d}.png" for n in range(FRAMES)]
        assert np.array_equal(unpack(pack.read("masks/00007.png")), clip[1][7])
    with zipfile.ZipFile(made(finished, "binary")) as pack:
        white = np.array(Image.open(io.BytesIO(pack.read("binary/object_2/00007.png"))))
        assert set(np.unique(white)) == {0, 255} and np.array_equal(white > 0, clip[1][7] == 2)


def test_the_report_says_what_was_run(finished):
    report = json.loads(made(finished, "report").read_text())
    assert report["frames_out"] == report["run"]["frames_done"] == FRAMES
    assert report["memory"]["preset"] == "bounded" and report["memory_log"][-1]["frames"] == FRAMES


def test_everything_can_be_dropped_back_in_to_resume(finished, clip):
    bench, session = finished
    archive = made(finished, "everything")
    again = bench.handlers.arrive()
    *_, last = bench.handlers.open_clip(again, str(archive))
    assert "Taken up" in notice(last) and len(again.records) == FRAMES
    assert again.marks[0].clicks == session.marks[0].clicks and again.pinned == (0,)
    assert all(np.array_equal(a, b) for a, b in zip(masks_of(again), masks_of(session), strict=True))
    bench.marking.edit(again, {"kind": "stroke", "frame": 20, "points": [[5, 60]], "radius": 3}, 0)
    *_, last = bench.tracked(again, "forward")
    assert "done: 4 of 4" in last["progress"]


def test_a_resumed_archive_that_was_tampered_with_does_no_harm(finished, tmp_path):
    bench, session = finished
    archive = made(finished, "everything")
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(evil, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "session.json":
                data = json.dumps({"objects": [{"id": 10**9}, 3], "marks": [], "records": 7}).encode()
            if name == "masks/00003.png":
                data = b"not a png"
            new.writestr(name, data)
        new.writestr("../../outside.png", b"x")
        new.writestr("masks/../../outside.png", b"x")
    again = bench.handlers.arrive()
    views = list(bench.handlers.open_clip(again, str(evil)))
    assert "damaged" in notice(views[-1]) and again.clip is not None
    assert not list(Path(bench.limits.root).parent.glob("**/outside.png"))


# many visitors ----------------------------------------------------------------------------------------------


def test_a_session_can_be_copied_and_pickled_at_any_time_and_is_small(finished):
    _, session = finished
    assert copy.deepcopy(session) == session
    assert len(pickle.dumps(session)) < 60_000


def test_two_visitors_share_nothing(bench, clip):
    one, two = bench.opened(clip[0]), bench.opened(clip[0])
    bench.click(one, 0, 8, 8)
    bench.click(two, 0, 24, 24)
    bench.tracked(one)
    assert not two.records and one.folder != two.folder
    bench.tracked(two)
    assert np.array_equal(one.result(5) == 1, clip[1][5] == 1)
    assert np.array_equal(two.result(5) == 1, clip[1][5] == 2)


def test_a_visitor_who_leaves_takes_the_files_along_and_old_folders_are_swept(bench, session, clip):
    other = bench.opened(clip[0])
    bench.handlers.leave(session)
    assert not Path(session.folder).exists() and Path(other.folder).exists()
    assert bench.handlers.sweep() == 0
    assert bench.handlers.sweep(time.time() + 61 * 60) == 1
    assert not Path(other.folder).exists()


def test_something_unforeseen_becomes_a_sentence(bench, session, monkeypatch):
    monkeypatch.setattr(bench.handlers.engine, "click", lambda *_: 1 / 0)
    view = bench.click(session, 0, 8, 8)
    assert "went wrong on the server" in notice(view) and "division" not in notice(view)
