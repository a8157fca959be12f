"""Annotation formats: what is written reads back as the same pixels, with strict readers."""

import json
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
import taken
import yaml
from PIL import Image

from stm_core.runs.evaluate import find_sequences


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder of a run with eight objects, its truth)."""
    labels = taken.labels_of()
    return taken.make_run(tmp_path_factory.mktemp("run"), labels), taken.truth(labels)


def test_coco_reads_back_with_pycocotools(run, tmp_path):
    coco_module = pytest.importorskip("pycocotools.coco")
    folder, truth = run
    [path] = [path for path in taken.exported(folder, "coco", tmp_path) if path.suffix == ".json"]
    coco = coco_module.COCO(path)
    found = {}
    for image in coco.imgs.values():
        rows = coco.imgToAnns[image["id"]]
        found[image["frame"]] = {row["category_id"]: coco.annToMask(row).astype(bool) for row in rows}
        with Image.open(tmp_path / "coco" / "images" / "default" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == taken.SIZE[::-1]
        for row in rows:
            mask = found[image["frame"]][row["category_id"]]
            rows_, columns = np.nonzero(mask)
            box = [columns.min(), rows_.min(), np.ptp(columns) + 1, np.ptp(rows_) + 1]
            assert row["area"] == mask.sum() and row["bbox"] == box
    taken.same(found, truth)
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == [f"object{n}" for n in range(1, 9)]


def test_yolo_reads_back_with_holes_and_pieces_in_one_outline(run, tmp_path):
    folder, truth = run
    taken.exported(folder, "yolo", tmp_path)
    taken.same(taken.read_yolo(tmp_path / "yolo", taken.SIZE), truth)
    names = {path.stem for path in (tmp_path / "yolo" / "labels").rglob("*.txt")}
    assert names == {path.stem for path in (tmp_path / "yolo" / "images").rglob("*.jpg")} and len(names) == 5


def test_yolo_says_its_folders_from_its_own_file_on_and_names_in_any_script(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    names = {1: 'Fish "1"', 2: "🐟", 3: "鯉: no", 4: "null"}
    (folder / "session.json").write_text(
        json.dumps({"objects": [{"id": n, "name": name} for n, name in names.items()]})
    )
    taken.exported(folder, "yolo", tmp_path / "out")
    root = tmp_path / "out" / "yolo"
    said = yaml.safe_load((root / "data.yaml").read_text("utf-8"))
    assert "path" not in said  # which would count from where somebody trains
    assert all(len(list((root / said[part]).glob("*.jpg"))) == 5 for part in ("train", "val"))
    assert said["names"] == {n - 1: names.get(n, f"object{n}") for n in range(1, 9)}


@pytest.mark.parametrize("name", ["cvat", "labelme"])
def test_masks_in_boxes_read_back(run, tmp_path, name):
    folder, truth = run
    taken.exported(folder, name, tmp_path)
    taken.same(getattr(taken, f"read_{name}")(tmp_path / name), truth)


def test_label_studio_reads_back_as_its_brush_is_described(run, tmp_path):
    folder, truth = run
    [path] = [path for path in taken.exported(folder, "labelstudio", tmp_path) if path.suffix == ".json"]
    taken.same(taken.read_labelstudio(path), truth)
    interface = ElementTree.parse(path.with_name("config.xml")).getroot()
    image, brush = interface.find("Image"), interface.find("BrushLabels")
    row = json.loads(path.read_text())[0]["annotations"][0]["result"][0]
    assert image.get("value") == "$image" and image.get("name") == brush.get("toName") == row["to_name"]
    assert brush.get("name") == row["from_name"]
    assert [one.get("value") for one in brush] == [f"object{n}" for n in range(1, 9)]


def test_outlines_read_back_path_by_path(run, tmp_path):
    folder, truth = run
    [path] = taken.exported(folder, "outlines-json", tmp_path)
    taken.same(taken.read_outlines(path), truth)


def test_davis_is_what_evaluate_reads_and_youtube_says_where_each_object_is(run, tmp_path):
    folder, truth = run
    for name in ("davis", "youtube-vos"):
        taken.exported(folder, name, tmp_path)
        taken.same(taken.read_davis(tmp_path / name), truth)
    [sequence] = find_sequences(tmp_path / "davis", 2017, "val")
    assert sequence.name == "My_clip" and len(sequence.frames) == len(truth)
    about = json.loads((tmp_path / "youtube-vos" / "meta.json").read_text())["videos"]["My_clip"]["objects"]
    assert {int(n): list(map(int, one["frames"])) for n, one in about.items()} == {
        n: [t for t, objects in truth.items() if n in objects] for n in range(1, 9)
    }


@pytest.mark.parametrize("name", ["coco", "yolo", "cvat", "labelstudio", "labelme", "davis"])
def test_without_the_clip_the_annotations_stand_alone(run, tmp_path, name):
    labels = taken.labels_of(3)
    folder = taken.make_run(tmp_path, labels)
    (tmp_path / "My clip").rename(tmp_path / "elsewhere")
    files = taken.exported(folder, name, tmp_path / "out")
    assert files and not [path for path in files if path.suffix == ".jpg"]
    files = taken.exported(folder, name, tmp_path / "out", tmp_path / "elsewhere")
    assert len([path for path in files if path.suffix == ".jpg"]) == len(labels)


def test_one_pixel_is_a_clip_too(tmp_path):
    labels = [np.ones((1, 1), np.uint8), np.zeros((1, 1), np.uint8)]
    folder, truth = taken.make_run(tmp_path, labels), taken.truth(labels)
    for name in ("yolo", "cvat", "labelme", "davis"):
        taken.exported(folder, name, tmp_path)
    taken.same(taken.read_yolo(tmp_path / "yolo", (1, 1)), truth)
    for name in ("cvat", "labelme", "davis"):
        taken.same(getattr(taken, f"read_{name}")(tmp_path / name), truth)
