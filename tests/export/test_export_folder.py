"""The export of a run into a folder: names, what may be replaced, and mistakes told in one sentence."""

import errno
import json
import zipfile

import numpy as np
import pytest
import taken
from conftest import colour_model, is_one_line, squares
from pages import write_clip
from PIL import Image

from stm_core.engine.prompts import Prompt
from stm_core.errors import DiskError, OptionError, StmError
from stm_core.export.finished_run import read_result
from stm_core.export.names import Template, safe
from stm_core.export.order import Options, Order
from stm_core.export.registry import FORMATS
from stm_core.export.writing import export_file
from stm_core.runs.folder import run_to_folder

CONTRACT = (
    "davis coco yolo cvat labelstudio labelme matte-mp4 prores4444 rgba-png rgba-webm green-mp4 "
    "outlines-json inpainting"
)


@pytest.fixture
def run(tmp_path):
    return taken.make_run(tmp_path, taken.labels_of(3, objects=2))


def test_the_formats_that_were_promised_are_in_the_table():
    assert set(CONTRACT.split()) <= set(FORMATS)
    assert all(name == one.name and one.sentence and one.ending[0] == "." for name, one in FORMATS.items())


def test_every_format_makes_the_files_that_it_said_and_no_other(run, command, tmp_path):
    code, _, err = command("export", run, "--format", *FORMATS, "--out", tmp_path / "out")
    assert code == 0, err
    result, report = read_result(run), json.loads((tmp_path / "out" / "export.json").read_text())
    for name, one in FORMATS.items():
        said = Order(result, one, Options()).names()
        made = [path.relative_to(tmp_path / "out" / name) for path in (tmp_path / "out" / name).rglob("*.*")]
        assert sorted(said) == sorted(path.as_posix() for path in made), name
        assert {f"{name}/{file}" for file in said} <= set(report["files"])


def test_segments_own_folder_is_exported_without_being_told_the_clip(tmp_path, command):
    write_clip(tmp_path / "clip.mp4", frames=4)
    truth = [labels for _, labels in squares(4, objects=2)]
    run_to_folder(colour_model(), tmp_path / "clip.mp4", Prompt.from_mask(truth[0]), tmp_path / "run")
    code, out, err = command("export", tmp_path / "run", "--format", "yolo", "--out", tmp_path / "out")
    assert code == 0 and not err and "4 frames" in out
    taken.same(taken.read_yolo(tmp_path / "out" / "yolo", truth[0].shape), taken.truth(truth))
    assert len(list((tmp_path / "out").rglob("clip_*.jpg"))) == 4


def test_a_session_of_the_page_brings_its_clip_and_the_objects_names(run, tmp_path):
    (run / "report.json").unlink()
    taken.make_film(run / "source.mp4", taken.labels_of(3), [0, 0.1, 0.2])
    with pytest.raises(StmError, match="68x46"):  # the film is padded to even sides
        read_result(run)
    (run / "source.mp4").unlink()
    (run / "session.json").write_text(json.dumps({"objects": [{"id": 1, "name": "Fish"}, {"id": 2}, 7]}))
    assert read_result(run).objects == {1: "Fish", 2: "object2"}


def test_a_file_that_is_not_ours_stays_and_our_own_are_replaced(run, command, tmp_path):
    out = tmp_path / "out"
    words = ("export", run, "--out", out, "--format")
    assert command(*words, "coco")[0] == command(*words, "cvat")[0] == 0
    assert command(*words, "coco")[0] == 0  # again
    foreign = out / "yolo" / "labels" / "train" / "My_clip_00001.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    code, _, err = command(*words, "davis", "yolo")
    assert code == 2 and is_one_line(err) and foreign.read_text() == "mine"
    assert not (out / "davis").exists()
    (out / "cvat" / "annotations.xml").write_text("edited")
    code, _, err = command(*words, "cvat")
    assert code == 2 and is_one_line(err) and (out / "cvat" / "annotations.xml").read_text() == "edited"


@pytest.mark.parametrize(
    "text",
    ["{clip", "{frame}/{clip}", "{colour}", "{0}", "{}", "{frame:03d}", "{clip!r}", " ", "a" * 200, "a\nb"],
)
def test_templates_that_make_no_name_are_refused(text):
    with pytest.raises(OptionError) as error:
        Options(template=text)
    assert "\n" not in str(error.value) and "{frame}" in str(error.value)


def test_a_field_without_a_value_goes_with_what_joins_it():
    template = Template("{clip}_{object}_{frame}")
    assert template.fill(clip="koi", obj="Fish 1", frame=7) == "koi_Fish_1_00007"
    assert template.fill(clip="koi", frame=7) == "koi_00007"
    assert template.fill(clip="koi", obj="a") == "koi_a"
    assert Template("{object}-{frame} x").fill(clip="koi", frame=7) == "00007 x"
    assert Template("{object}").fill(clip="koi") == "koi"
    assert safe("../../etc/passwd\0") == "etc_passwd" and safe("...") and safe("")


@pytest.mark.parametrize("letter", ["a", "鯉", "🐟"])
def test_long_names_fit_a_file_system_and_keep_the_frame(letter):
    name = Template("{clip}_{object}_{frame}").fill(clip=200 * letter, obj=200 * letter, frame=7)
    assert name.endswith("_00007") and len(f"{name}.json".encode()) <= 255


def test_names_that_would_be_double_are_refused(run, command, tmp_path):
    words = ("export", run, "--out", tmp_path / "out", "--format")
    for name, template in (("yolo", "{clip}"), ("labelme", "{object}"), ("matte-mp4", "{clip}")):
        code, _, err = command(*words, name, "--template", template)
        assert code == 2 and is_one_line(err) and "two files" in err
    assert not (tmp_path / "out").exists()
    assert command(*words, "yolo", "--template", "{frame}-of-{clip}")[0] == 0
    assert (tmp_path / "out" / "yolo" / "labels" / "train" / "00001-of-My_clip.txt").exists()


def test_objects_of_one_name_are_told_apart_by_their_number(run):
    (run / "session.json").write_text(json.dumps({"objects": [{"id": n, "name": "Fish"} for n in (1, 2)]}))
    names = Order(read_result(run), FORMATS["matte-mp4"], Options()).names()
    assert names == ["My_clip_Fish-1_matte.mp4", "My_clip_Fish-2_matte.mp4"]


def test_a_zip_that_the_disk_refuses_at_its_end_leaves_nothing(run, tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "_write_end_record", refused)
    (tmp_path / "out").mkdir()
    with pytest.raises(DiskError):
        list(export_file(read_result(run), FORMATS["coco"], tmp_path / "out" / "a.zip", Options(), []))
    assert not list((tmp_path / "out").iterdir())


def test_mistakes_are_told_in_a_line(run, command, tmp_path):
    out = ("--out", tmp_path / "out")
    smaller = tmp_path / "smaller"
    smaller.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(smaller / "0.png")
    short = taken.make_run(tmp_path / "short", taken.labels_of(2)).parent / "My clip"
    for words in [
        (run, "--format", "jpeg", *out),
        (tmp_path / "none", "--format", "coco", *out),
        (tmp_path, "--format", "coco", *out),
        (run, "--format", "coco", "--clip", tmp_path / "none.mp4", *out),
        (run, "--format", "coco", "--clip", smaller, *out),
        (run, "--format", "rgba-png", "--clip", short, *out),
        (run, "--format", "inpainting", "--margin", "-1", *out),
        (run, "--format", "coco", "--out", run / "report.json"),
    ]:
        code, _, err = command("export", *words)
        assert code == 2 and is_one_line(err), words
    (tmp_path / "My clip").rename(tmp_path / "gone")
    code, _, err = command("export", run, "--format", "green-mp4", *out)
    assert code == 2 and is_one_line(err) and "--clip" in err
