"""Other programs: exports with names of one's own, masks brought in, and the run as a command."""

import io
import json
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
import taken
from conftest import colour_model, squares
from pages import FRAMES, SETTINGS, Bench, notice
from PIL import Image

from demo.panels.share import recipe
from demo.work.shown import stage_state
from stm_core.masks.mask_files import encode_mask, read_labels
from stm_core.masks.rle import coco_counts


@pytest.fixture
def tracked(bench, user):
    bench.mark_two(user)
    bench.tracked(user)
    return bench, user


def packed(path: Path, frames: dict[int, np.ndarray]) -> Path:
    with zipfile.ZipFile(path, "w") as pack:
        for index, labels in frames.items():
            pack.writestr(f"{index:05d}.png", encode_mask(labels))
    return path


def truth(frames=range(FRAMES)) -> dict[int, np.ndarray]:
    labels = [one for _, one in squares(FRAMES, objects=2)]
    return {index: labels[index] for index in frames}


def test_an_export_has_the_names_that_were_shown_and_is_made_once(tracked):
    bench, user = tracked
    shown = bench.share.preview(user, "coco", "{frame}-of-{clip}")["names"]
    for _ in range(2):
        *_, last = bench.share.make(user, "coco", "{frame}-of-{clip}")
        path = Path(last["exported"])
        assert path.name == "squares_coco.zip" and path.is_relative_to(user.work.run.folder)
    assert len(list((Path(user.work.run.folder) / "files").glob("*/*.zip"))) == 1
    with zipfile.ZipFile(path) as pack:
        assert "00001-of-squares.jpg" in shown and "images/default/00001-of-squares.jpg" in pack.namelist()
        rows = json.loads(pack.read("annotations/instances_default.json"))["annotations"]
    assert len(rows) == 2 * FRAMES
    row, expected = rows[3], truth()[1] == 2
    assert (row["image_id"], row["category_id"]) == (2, 2) and row["area"] == expected.sum()
    bench.mark.order(user, {"kind": "rename", "object": 1, "name": "A fish"})
    *_, last = bench.share.make(user, "matte-mp4", "")
    with zipfile.ZipFile(last["exported"]) as pack:
        assert sorted(pack.namelist()) == ["squares_A_fish_matte.mp4", "squares_Object_2_matte.mp4"]


def test_names_that_cannot_be_are_told_at_once_and_make_nothing(tracked):
    bench, user = tracked
    for which, template in (("matte-mp4", "{clip}"), ("yolo", "a/b"), ("coco", "{x}")):
        assert "alert" in bench.share.preview(user, which, template)["names"]
        *_, last = bench.share.make(user, which, template)
        assert "alert" in notice(last) and "exported" not in last
    assert "alert" in notice(list(bench.share.make(user, "jpeg", ""))[-1])
    assert not list((Path(user.work.run.folder) / "files").glob("*/*"))


def test_nothing_is_exported_before_there_are_masks(bench, user):
    assert bench.share.preview(user, "coco", "") == {"names": ""}
    *_, last = bench.share.make(user, "coco", "")
    assert "alert" in notice(last)


def test_the_run_is_told_as_command_and_python(tracked):
    _, user = tracked
    view = recipe(user.work)
    words = shlex.split(view["as_command"])
    assert (
        words[3:5] == ["segment", "squares.mp4"]
        and "--click=8,8,1,1" in words
        and "--click=24,24,1,2" in words
    )
    assert user.work.clip.folder not in str(view) and "segment_clip" in view["as_python"]
    assert recipe(None)["as_command"] == ""


def test_a_part_stopped_and_continued_is_told_as_a_command_that_gives_its_masks(
    tmp_path, clip, command, monkeypatch
):
    monkeypatch.setattr("stm_core.networks.weights.load_model", lambda *_, **__: colour_model())
    bench = Bench(tmp_path, max_frames=10)
    user = bench.opened(clip[0])
    list(bench.clip.choose_part(user, 0.5))
    work, begun = user.work, user.work.clip.start
    assert begun > 0 and not notice(bench.click(user, begun, 8 + 16 * (begun % 6), 8))
    bench.track.get_ready(user, *SETTINGS)
    for _ in bench.track.track(user):
        bench.track.stop(user)
    assert work.run.state == "stopped"
    bench.tracked(user, "forward")
    view = recipe(work)
    words = shlex.split(view["as_command"])
    assert words[words.index("--part") + 1] == f"{begun}-{work.clip.stop - 1}" and "--prompts" not in words
    words[words.index("squares.mp4")], words[-1] = work.clip.path, str(tmp_path / "out")
    assert command(*words[3:])[0] == 0
    found = sorted((tmp_path / "out" / "masks").iterdir())
    assert [int(path.stem) for path in found] == list(range(begun, work.clip.stop))
    assert all(np.array_equal(read_labels(path), work.result(int(path.stem))) for path in found)
    assert len(taken.read_film(tmp_path / "out" / "overlay.mp4", "gray")[0]) == 10


def test_few_masks_become_marks_that_can_be_undone(bench, user, tmp_path):
    view = bench.share.bring(user, [str(packed(tmp_path / "masks.zip", truth([3, 9])))])
    assert "status" in notice(view) and sorted(user.work.marks) == [3, 9] and user.work.frame == 3
    assert np.array_equal(user.work.labels(9), truth()[9]) and len(user.work.objects) == 2
    bench.tracked(user)
    assert all(np.array_equal(user.work.result(n), one) for n, one in truth().items())
    assert user.work.undo() and sorted(user.work.marks) == [3, 9] and user.work.run is None
    assert user.work.undo() and not user.work.marks


def test_many_masks_become_a_result_that_can_be_corrected(bench, user, tmp_path):
    wrong = truth()
    for index in range(10, FRAMES):
        wrong[index] = np.where(wrong[index] == 2, 0, wrong[index]).astype(np.uint8)
    bench.share.bring(user, [str(packed(tmp_path / "masks.zip", wrong))])
    assert user.work.tracked and not user.work.marks and len(user.work.objects) == 2
    hint = stage_state(user)["hint"]
    assert all(np.array_equal(user.work.result(n), one) for n, one in wrong.items())
    assert Path(bench.result.show_film(user)["player"]).exists()
    bench.share.bring(user, [str(packed(tmp_path / "right.zip", truth([10])))])
    assert user.work.fixes() == [10]
    bench.tracked(user, "forward")
    assert stage_state(user)["hint"] == hint  # what may be done with masks, wherever they are from
    for index, one in truth().items():
        assert np.array_equal(user.work.result(index), one), index


def test_a_coco_file_comes_in_and_a_refused_one_leaves_all_as_it_was(tracked, tmp_path):
    bench, user = tracked
    run, records = user.work.run, dict(user.work.run.records)
    mask = truth()[4] == 1
    content = {
        "images": [{"id": 1, "file_name": "f_4.jpg", "width": mask.shape[1], "height": mask.shape[0]}],
        "annotations": [
            {
                "image_id": 1,
                "category_id": 1,
                "segmentation": {"size": [*mask.shape], "counts": coco_counts(mask)},
            }
        ],
    }
    path = tmp_path / "a.json"
    many = np.arange(64 * 96, dtype=np.uint8).reshape(64, 96) % 20
    small = io.BytesIO()
    Image.fromarray(np.ones((5, 5), np.uint8)).save(small, "PNG")
    with zipfile.ZipFile(tmp_path / "small.zip", "w") as pack:
        pack.writestr("3.png", small.getvalue())
    (tmp_path / "no.json").write_text("{}")
    (tmp_path / "no.mp4").write_bytes(b"no film")
    bad = [
        packed(tmp_path / "many.zip", {1: many}),
        *(tmp_path / n for n in ("small.zip", "no.json", "no.mp4")),
    ]
    for one in bad:
        assert "alert" in notice(bench.share.bring(user, [str(one)])), one
        assert user.work.run is run and run.records == records and sorted(user.work.marks) == [0]
        assert len(user.work.objects) == 2
    path.write_text(json.dumps(content))
    bench.share.bring(user, [str(path)])
    assert sorted(user.work.marks) == [0, 4] and user.work.fixes() == [4] and user.work.run is run
