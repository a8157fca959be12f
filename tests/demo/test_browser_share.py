"""A headless Chromium takes a run to another program, and brings masks from there."""

import json
import shlex
import zipfile

import pytest
from visitor import CLIP

from stm_core.masks.mask_files import encode_mask

pytestmark = pytest.mark.browser
FRAMES = CLIP["frames"]


def test_names_are_shown_while_they_are_typed_and_the_export_has_them(visitor, clip, tmp_path):
    path, truth = clip
    page = visitor.page
    visitor.open(path)
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.track()
    visitor.wait_text("#names", "squares_00000.jpg")
    page.fill("#template textarea", "{frame}_of_{clip}")
    visitor.wait_text("#names", "00001_of_squares.jpg")
    with page.expect_download() as found:
        page.click("#export")
    found.value.save_as(tmp_path / "coco.zip")
    assert found.value.suggested_filename == "squares_coco.zip"
    with zipfile.ZipFile(tmp_path / "coco.zip") as pack:
        images = json.loads(pack.read("annotations/instances_default.json"))["images"]
    assert [one["file_name"] for one in images] == [f"{n:05d}_of_squares.jpg" for n in range(FRAMES)]
    page.fill("#template textarea", "{colour}")
    page.wait_for_selector("#names .stm-error")
    page.click("#recipe button")
    words = shlex.split(page.input_value("#as-command textarea"))
    assert words[3:5] == ["segment", "squares.mp4"] and "--click=8,8,1,1" in words
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as pack:
        for n in (5, 7):
            pack.writestr(f"{n:05d}.png", encode_mask(truth[n]))
    page.click("#bringing button")
    page.set_input_files("#bring input[type=file]", str(tmp_path / "masks.zip"))
    visitor.shown(5, True)
    visitor.wait("() => !document.querySelector('#fix').disabled")
