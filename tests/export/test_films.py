"""Films and sequences: alpha, size, count and times read back equal."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import taken
from PIL import Image

from stm_core.errors import VideoError
from stm_core.export.inpainting import soft
from stm_core.media.video import probe, read_video

README = (Path(__file__).parents[2] / "README.md").read_text()
TIMES = [0.0, 0.1, 0.25, 0.3, 0.7]  # not evenly spaced
EVEN = (46, 68)


@pytest.fixture(scope="module", params=[taken.SIZE, EVEN], ids=["odd", "even"])
def run(tmp_path_factory, request):
    """(run folder, labels, clip): of odd size a folder of pictures, of even size an MP4."""
    root = tmp_path_factory.mktemp("run")
    labels = taken.labels_of(len(TIMES), request.param)
    folder, clip = taken.make_run(root, labels), root / "My clip"
    if request.param == EVEN:
        clip = root / "My clip.mp4"
        taken.make_film(clip, labels, TIMES)
    return folder, labels, clip


def times_of(clip):
    with read_video(clip) as reader:
        return [reader.times[-1] for _ in reader]


def same_times(got, clip):
    expected = times_of(clip)
    np.testing.assert_allclose(
        [float(t - got[0]) for t in got], np.subtract(expected, expected[0]), atol=1e-3
    )


def test_a_matte_is_black_and_white_and_has_every_pixel(run, tmp_path):
    folder, labels, clip = run
    files = taken.exported(folder, "matte-mp4", tmp_path, clip)
    assert [path.name for path in files] == [f"My_clip_object{n}_matte.mp4" for n in range(1, 9)]
    height, width = labels[0].shape
    for n, path in enumerate(files, 1):
        info = probe(path)
        assert (info.height, info.width, info.codec) == (height + height % 2, width + width % 2, "h264")
        frames, times = taken.read_film(path, "gray")
        same_times(times, clip)
        for frame, one in zip(frames, labels, strict=True):
            np.testing.assert_array_equal(frame[:height, :width] > 127, one == n)


def test_prores_has_the_exact_alpha_size_count_and_times(run, tmp_path):
    folder, labels, clip = run
    [path] = taken.exported(folder, "prores4444", tmp_path, clip)
    frames, times = taken.read_film(path, "rgba")
    same_times(times, clip)
    info = probe(path)
    assert (info.codec, info.alpha, (info.height, info.width)) == ("prores", True, labels[0].shape)
    with read_video(clip) as reader:
        for frame, one, image in zip(frames, labels, reader, strict=True):
            np.testing.assert_array_equal(frame[..., 3], np.where(one > 0, 255, 0))
            assert np.abs(frame[..., :3].astype(int) - image).mean() < 3


def test_webm_has_every_pixel_in_its_alpha_size_count_and_times(run, tmp_path):
    folder, labels, clip = run
    [path] = taken.exported(folder, "rgba-webm", tmp_path, clip)
    frames, times = taken.read_alpha(path)
    same_times(times, clip)
    height, width = labels[0].shape
    assert {frame.shape for frame in frames} == {(height + height % 2, width + width % 2)}
    for frame, one in zip(frames, labels, strict=True):
        alpha, expected = frame[:height, :width].astype(int), np.where(one > 0, 255, 0)
        np.testing.assert_array_equal(alpha > 127, one > 0)
        assert np.abs(alpha - expected).max() <= 32  # VP9 keeps no edge exactly


def test_pngs_with_alpha_are_the_clips_pixels(run, tmp_path):
    folder, labels, clip = run
    files = taken.exported(folder, "rgba-png", tmp_path, clip, template="{frame}{clip}")
    assert [path.name for path in files] == [f"{t:05d}My_clip.png" for t in range(len(labels))]
    with read_video(clip) as reader:
        for path, one, image in zip(files, labels, reader, strict=True):
            with Image.open(path) as picture:
                rgba = np.array(picture)
            np.testing.assert_array_equal(rgba[..., :3], image)
            np.testing.assert_array_equal(rgba[..., 3], np.where(one > 0, 255, 0))


def test_masks_as_palette_and_as_black_and_white(run, tmp_path):
    folder, labels, _ = run
    for t, path in enumerate(taken.exported(folder, "palette-png", tmp_path)):
        with Image.open(path) as picture:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.array(picture), labels[t])
    files = taken.exported(folder, "binary-png", tmp_path)
    assert len(files) == 8 * len(labels)  # a file for every frame, also where the object is not
    for path in files:
        with Image.open(path) as picture:
            number = int(path.parent.name.removeprefix("object_"))
            np.testing.assert_array_equal(
                np.array(picture), (labels[int(path.stem)] == number) * np.uint8(255)
            )


@pytest.mark.parametrize("name", ["overlay-mp4", "green-mp4", "rgba-webm"])
def test_films_of_a_part_begin_at_zero_and_a_hole_stays_without_a_mask(tmp_path, name):
    labels = taken.labels_of(4, EVEN)
    folder = taken.make_run(tmp_path, labels, first=2)
    (folder / "masks" / "00003.png").unlink()
    [path] = taken.exported(folder, name, tmp_path / "out")
    frames, times = taken.read_film(path, "rgb24")
    assert len(frames) == 4 and times[0] == 0
    if name == "green-mp4":
        assert (np.abs(frames[1].astype(int) - (0, 177, 64)) < 12).all()


@pytest.mark.parametrize("name", ["overlay-mp4", "matte-mp4"])
@pytest.mark.parametrize("begin", [1, 5])
def test_a_clip_that_ends_before_the_masks_makes_no_film(tmp_path, name, begin):
    folder = taken.make_run(tmp_path, taken.labels_of(4, EVEN), first=begin)
    taken.make_film(tmp_path / "short.mp4", taken.labels_of(3, EVEN), TIMES[:3])
    with pytest.raises(VideoError, match="after frame 2"):
        taken.exported(folder, name, tmp_path / "out", tmp_path / "short.mp4")
    assert not list((tmp_path / "out" / name).rglob("*"))


def test_the_inpainting_set_has_frames_masks_prompts_and_sizes(run, tmp_path):
    folder, labels, clip = run
    taken.exported(folder, "inpainting", tmp_path, clip, margin=3, feather=2, prompt="calm water")
    about = json.loads((tmp_path / "inpainting" / "meta.json").read_text())
    assert (about["height"], about["width"]) == labels[0].shape
    assert all(side % 8 == 0 for side in about["size_for_the_model"])
    assert [row["seconds"] for row in about["frames"]] == pytest.approx(times_of(clip))
    with read_video(clip) as reader:
        for row, one, image in zip(about["frames"], labels, reader, strict=True):
            assert row["prompt"] == "calm water"
            with Image.open(tmp_path / "inpainting" / row["image"]) as picture:
                np.testing.assert_array_equal(np.array(picture), image)
            with Image.open(tmp_path / "inpainting" / row["mask"]) as picture:
                assert picture.mode == "L"
                np.testing.assert_array_equal(np.array(picture), soft(one > 0, 3, 2))


def test_the_readme_reads_the_set_back_with_pillow_and_numpy_alone(run, tmp_path):
    folder, labels, clip = run
    taken.exported(folder, "inpainting", tmp_path / "out" / "koi_export", clip, prompt="calm water")
    [block] = [one for one in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "meta.json" in one]
    assert len([line for line in block.splitlines() if line]) <= 10
    assert set(re.findall(r"(?:import|from) (\w+)", block)) <= {
        "json",
        "pathlib",
        "numpy",
        "PIL",
        "Path",
        "Image",
    }
    found = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = found.stdout.splitlines()
    assert len(lines) == len(labels) and all(line.startswith("calm water") for line in lines)


def test_a_grown_mask_is_white_as_far_as_the_margin_and_fades_over_the_feather():
    mask = np.zeros((61, 61), bool)
    mask[30, 30] = True
    rows, columns = np.mgrid[:61, :61]
    distance = np.hypot(rows - 30, columns - 30)
    for margin, feather in ((0, 0), (8, 0), (0, 5), (8, 4)):
        found = soft(mask, margin, feather)
        assert (found[distance <= 0.85 * margin] == 255).all() and found[30, 30] == 255
        assert not found[distance > 1.2 * (margin + feather)].any()
        line = found[30, 30:].astype(int)
        assert (np.diff(line) <= 0).all() and (line[: margin + 1] == 255).all()
        assert len(set(line) - {0, 255}) == feather
    assert not soft(np.zeros((5, 5), bool), 8, 4).any()
