"""Masks of other programs: what can be meant is accepted, the rest is refused in one sentence."""

import io
import shutil
import zipfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import taken
from conftest import colour_model, is_one_line, squares
from pages import write_clip
from PIL import Image

from stm_core.errors import MaskError, StmError
from stm_core.export.finished_run import read_result
from stm_core.export.order import Options
from stm_core.export.registry import FORMATS
from stm_core.export.writing import export_file
from stm_core.incoming import mattes
from stm_core.incoming.masks import read_masks, sparse
from stm_core.masks.mask_files import read_labels
from stm_core.media.video import probe
from stm_core.runs.compare import read_truth

SIZE, FRAMES = taken.SIZE, 5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    labels = taken.labels_of(FRAMES)
    return read_result(taken.make_run(tmp_path_factory.mktemp("run"), labels)), labels


def back(path, frames=FRAMES, size=SIZE) -> dict:
    return taken.truth_of(read_masks(path, size, frames))


@pytest.mark.parametrize("name", ["coco", "cvat", "palette-png", "binary-png", "davis", "youtube-vos"])
def test_what_we_export_comes_in_again_as_zip_and_as_folder(run, tmp_path, name):
    result, labels = run
    list(export_file(result, FORMATS[name], tmp_path / "all.zip", Options(), []))
    with zipfile.ZipFile(tmp_path / "all.zip") as pack:
        pack.extractall(tmp_path / "folder")
    inside = {"coco": "annotations/instances_default.json", "cvat": "annotations.xml"}.get(name, "")
    for path in (tmp_path / "all.zip", tmp_path / "folder" / inside):
        taken.same(back(path), taken.truth(labels))


def test_a_matte_comes_in_as_one_object_cut_to_the_clips_odd_size(run, tmp_path):
    result, labels = run
    files = taken.exported(result.masks.parent, "matte-mp4", tmp_path)
    taken.same(back(files[1]), {t: {1: one == 2} if (one == 2).any() else {} for t, one in enumerate(labels)})
    with pytest.raises(MaskError, match="5 frames"):
        back(files[1], frames=6)
    [film] = taken.exported(result.masks.parent, "overlay-mp4", tmp_path)
    with pytest.raises(MaskError, match="colours"):
        back(film)


def png_in_mov(path: Path, masks: list[np.ndarray], opaque: bool = False) -> Path:
    """A MOV of PNGs, cut out as the masks say; opaque: white on black instead, with alpha all over."""
    with av.open(str(path), "w", format="mov") as film:
        stream = film.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = masks[0].shape[1], masks[0].shape[0], "rgba"
        for mask in masks:
            seen = np.where(mask, 255, 0).astype(np.uint8)
            grey = seen if opaque else np.random.default_rng(0).integers(0, 255, mask.shape, np.uint8)
            alpha = np.full_like(seen, 255) if opaque else seen
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.dstack([grey] * 3 + [alpha]), "rgba")))
        film.mux(stream.encode(None))
    return path


def test_the_alpha_of_a_film_is_the_mask(run, tmp_path):
    result, labels = run
    expected = taken.truth([(one > 0).astype(np.uint8) for one in labels])
    for name in ("rgba-webm", "prores4444"):
        [film] = taken.exported(result.masks.parent, name, tmp_path)
        taken.same(back(film), expected)
    for opaque in (False, True):  # an alpha that hides nothing says nothing
        taken.same(back(png_in_mov(tmp_path / "a.mov", [one > 0 for one in labels], opaque)), expected)
    with pytest.raises(MaskError, match="5 frames"):
        back(film, frames=6)
    film.write_bytes(film.read_bytes()[:-900])
    with pytest.raises(MaskError, match="5"):  # cut off
        back(film)


@pytest.mark.parametrize("name", ["coco", "cvat", "palette-png", "matte-mp4"])
def test_the_truth_of_a_comparison_is_read_as_masks_that_come_in(run, tmp_path, name):
    result, labels = run
    taken.exported(result.masks.parent, name, tmp_path)
    inside = {"coco": "annotations/instances_default.json", "cvat": "annotations.xml"}.get(name, "")
    truth = read_truth(tmp_path / name / inside, SIZE, FRAMES)
    taken.same(taken.truth_of(truth.items()), taken.truth(labels))


def test_several_mattes_are_an_object_each(run, tmp_path):
    result, labels = run
    files = taken.exported(result.masks.parent, "matte-mp4", tmp_path)
    chosen = {int(path.stem.split("_")[2].removeprefix("object")): path for path in files}
    expected = [np.where(np.isin(one, (2, 5)), one, 0) for one in labels]
    taken.same(back([chosen[5], chosen[2]]), taken.truth(expected))
    for n in (2, 5):  # of one name, as when they are uploaded: counted in their order
        (tmp_path / str(n)).mkdir()
        shutil.copy(chosen[n], tmp_path / str(n) / "matte.mp4")
    found = back([tmp_path / "5" / "matte.mp4", tmp_path / "2" / "matte.mp4"])
    taken.same(found, taken.truth([np.choose(one, [0, 0, 2, 0, 0, 1, 0, 0, 0]) for one in labels]))
    for n in {*chosen} - {2, 5}:
        chosen[n].unlink()
    taken.same(back(tmp_path / "matte-mp4"), taken.truth(expected))
    with pytest.raises(MaskError, match="2 files"):
        back([chosen[2], result.masks / "00000.png"])


def test_a_matte_that_breaks_off_is_refused(run, tmp_path, monkeypatch):
    result, _ = run
    files = taken.exported(result.masks.parent, "matte-mp4", tmp_path)[:2]
    monkeypatch.setattr(mattes, "probe", lambda *given, **how: replace(probe(*given, **how), frames=9))
    for given in (files, files[:1]):
        with pytest.raises(MaskError):
            back(given, frames=9)


def test_pictures_are_of_the_frames_in_their_names(run, tmp_path):
    result, labels = run
    some = [result.masks / f"{t:05d}.png" for t in (3, 1)]
    taken.same(back(some), {t: taken.truth(labels)[t] for t in (1, 3)})
    taken.same(back(some[0]), {3: taken.truth(labels)[3]})
    folder(tmp_path / "other", {"00003.png": some[0].read_bytes()})
    with pytest.raises(MaskError, match=r"00003\.png"):
        back([*some, tmp_path / "other" / "00003.png"])
    (tmp_path / "m99.png").write_bytes(some[0].read_bytes())
    taken.same(back(tmp_path / "m99.png"), {0: taken.truth(labels)[3]})


def test_frames_cut_out_are_the_mask_that_their_alpha_is(run, tmp_path):
    result, labels = run
    taken.exported(result.masks.parent, "rgba-png", tmp_path)
    taken.same(back(tmp_path / "rgba-png"), taken.truth([(one > 0).astype(np.uint8) for one in labels]))


def test_our_own_zip_gives_its_masks_not_its_prompts_or_its_report(run, tmp_path):
    result, labels = run
    with zipfile.ZipFile(tmp_path / "session.zip", "w") as pack:
        for name in ("report.json", "session.json"):
            pack.writestr(name, "{}")
        pack.writestr("prompts/00000.png", picture(np.full(SIZE, 9, np.uint8)))
        for t in range(FRAMES):
            pack.write(result.masks / f"{t:05d}.png", f"masks/{t:05d}.png")
    taken.same(back(tmp_path / "session.zip"), taken.truth(labels))


def picture(array: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form)
    return buffer.getvalue()


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_binary_masks_of_three_channels_are_one_object(tmp_path):
    mask = np.zeros(SIZE, bool)
    mask[5:20, 7:30] = True
    white = np.where(mask, 255, 0).astype(np.uint8)[..., None].repeat(3, axis=2)
    for form, ending in (("PNG", "png"), ("JPEG", "jpg")):
        found = back(
            folder(tmp_path / ending, {f"f{t}.{ending}": picture(white, form) for t in range(FRAMES)})
        )
        taken.same(found, {t: {1: mask} for t in range(FRAMES)})


def test_one_colour_is_one_object_in_all_pictures(tmp_path):
    pictures = {}
    for t, names in enumerate(["ab", "b", "ba", "", "a"]):
        image = np.zeros((*SIZE, 3), np.uint8)
        for n, name in enumerate(names):
            image[10 * n : 10 * n + 8, :8] = {"a": (250, 120, 10), "b": (20, 130, 250)}[name]
        pictures[f"{t + 1:03d}.png"] = picture(image)  # counted from 1: their order counts
    found = back(folder(tmp_path / "m", pictures))
    assert [sorted(found[t]) for t in range(FRAMES)] == [[1, 2], [2], [1, 2], [], [1]]
    assert found[2][2][0, 0] and found[2][1][10, 0]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_one_grey_is_one_object_in_all_pictures(tmp_path, mode):
    (tmp_path / "greys").mkdir()
    given = [np.zeros((20, 30), np.uint8) for _ in range(4)]
    given[0][2:8, 2:8], given[0][12:18, 2:8] = 255, 127  # the same two, the other way round on the next
    given[1][2:8, 2:8], given[1][12:18, 2:8] = 127, 255
    given[2][2:8, 2:8] = 127
    given[3][2:8, 2:8] = 255
    for n, grey in enumerate(given):
        Image.fromarray(grey).convert(mode).save(tmp_path / "greys" / f"{n}.png")
    found = back(tmp_path / "greys", 4, (20, 30))
    assert found.keys() == {0, 1, 2, 3}
    for n, objects in found.items():
        for number, grey in ((1, 127), (2, 255)):
            mask = objects.get(number, np.zeros((20, 30), bool))
            np.testing.assert_array_equal(mask, given[n] == grey, err_msg=f"picture {n}, object {number}")


def test_numbers_in_names_are_frames_and_without_them_there_must_be_one_for_each(tmp_path):
    one = picture(np.full(SIZE, 1, np.uint8))
    assert sorted(back(folder(tmp_path / "a", {"key_0003.png": one, "key_0001.png": one}))) == [1, 3]
    with pytest.raises(MaskError, match="2 frames"):
        back(folder(tmp_path / "b", {"x.png": one, "y.png": one}))
    with pytest.raises(MaskError, match="1 frames"):
        back(folder(tmp_path / "c", {"0100.png": one}))


def test_other_files_and_sizes_are_refused(tmp_path):
    ones = np.ones((9, 9), np.uint8)
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    (tmp_path / "notes.txt").write_text("no mask")
    (tmp_path / "empty").mkdir()
    folder(tmp_path / "small", {f"{t}.png": picture(ones) for t in range(FRAMES)})
    folder(tmp_path / "torn", {f"{t}.png": picture(ones)[:40] for t in range(FRAMES)})
    folder(tmp_path / "black", {f"{t}.png": picture(np.zeros(SIZE, np.uint8)) for t in range(FRAMES)})
    for name in ("bad.zip", "bad.mp4", "notes.txt", "none.json", "empty", "small", "torn", "black"):
        with pytest.raises(StmError) as error:
            back(tmp_path / name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["00000.png", "a.json"])
def test_a_zip_whose_packed_bytes_are_damaged_is_refused(tmp_path, method, name):
    path, noise = tmp_path / "m.zip", np.random.default_rng(0).integers(0, 3, SIZE).astype(np.uint8)
    with zipfile.ZipFile(path, "w", method) as pack:
        pack.writestr(name, picture(noise))
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    begin = 30 + len(name) + 12 * (method == zipfile.ZIP_LZMA)  # after the heads of entry and stream
    data[begin:][:30] ^= 255
    path.write_bytes(data.tobytes())
    with pytest.raises(MaskError):
        back(path)


def test_few_masks_are_all_prompts_of_many_only_those_where_an_object_appears():
    masks = [(t, np.uint8([[1, 0, 2 * (t >= 4)]])) for t in range(20)]
    assert [t for t, _ in sparse(iter(masks))] == [0, 4]
    assert [t for t, _ in sparse(islice(masks, 6))] == list(range(6))


def test_segment_takes_prompts_from_a_file_and_clicks_on_several_frames(tmp_path, command, monkeypatch):
    monkeypatch.setattr("stm_core.networks.weights.load_model", lambda *_, **__: colour_model())
    write_clip(tmp_path / "clip.mp4", frames=6)
    truth = [labels for _, labels in squares(6, objects=2)]
    masks = folder(tmp_path / "masks", {"a_00002.png": picture(truth[2])})
    words = ("segment", tmp_path / "clip.mp4", "--out", tmp_path / "out", "--prompts")
    for given in (masks, "[[2,40,8,1,1],[2,56,24,1,2],[3,1,60,0,1]]"):
        code, _, err = command(*words, given)
        assert code == 0, err
        found = {t: {n: labels == n for n in (1, 2)} for t, labels in enumerate(truth)}
        taken.same(taken.read_palette(tmp_path / "out" / "masks"), found)
    for given in (tmp_path / "none", "[[0,1]", "[1]", "[[0,900,1]]", "[]", tmp_path / "clip.mp4"):
        code, _, err = command(*words, given)
        assert code == 2 and is_one_line(err), given
    code, _, err = command(*words, masks, "--click", "1,1")
    assert code == 2 and is_one_line(err)


def test_segment_tracks_a_part_from_its_own_masks_or_from_all_that_are_given(tmp_path, command, monkeypatch):
    monkeypatch.setattr("stm_core.networks.weights.load_model", lambda *_, **__: colour_model())
    truth = write_clip(tmp_path / "clip.mp4", frames=12)
    given = [np.roll(labels, 5, axis=0) for labels in truth]  # none is what the network would find
    masks = folder(tmp_path / "masks", {f"{t:05d}.png": picture(one) for t, one in enumerate(given)})
    words = ("segment", tmp_path / "clip.mp4", "--out", tmp_path / "out", "--prompts", masks)
    for more, kept in ((("--part", "2-10"), {2}), (("--part=2-10", "--all-prompts"), set(range(2, 11)))):
        code, _, err = command(*words, *more)
        assert code == 0, err
        found = {int(path.stem): read_labels(path) for path in (tmp_path / "out" / "masks").iterdir()}
        assert sorted(found) == list(range(2, 11))
        assert {t for t, one in found.items() if np.array_equal(one, given[t])} == kept
    for wrong in ("2-12", "5-2", "x", "-1-4", "3"):
        code, _, err = command(*words, f"--part={wrong}")
        assert code == 2 and is_one_line(err), wrong
    code, _, err = command(*words[:-2], "--click", "8,8", "--part", "3-5")
    assert code == 2 and is_one_line(err) and "frame 0" in err
