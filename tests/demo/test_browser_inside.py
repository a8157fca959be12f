"""A headless Chromium looks inside a tracked clip, and compares memories on it."""

import time
import zipfile

import numpy as np
import pytest
from visitor import CLIP, DESK, PHONE, Visitor

from stm_core.masks.mask_files import encode_mask

pytestmark = pytest.mark.browser
HEIGHT, WIDTH = CLIP["height"], CLIP["width"]
MOVED = "s.dispatchEvent(new Event('input'));"  # a slider was


def test_a_pixel_is_clicked_and_the_filmstrip_read(browser, site, clip):
    visitor = Visitor(browser, site, PHONE)
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.track()
    page = visitor.page
    assert page.locator(".stm-look-strip li").count() == 0
    page.click("#inside summary")
    visitor.wait("() => document.querySelector('#inside canvas').dataset.shown !== undefined")
    page.eval_on_selector(
        "#inside .stm-inside-slider", "s => { s.value = 12; s.dispatchEvent(new Event('input')); }"
    )
    canvas = page.locator("#inside canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": 8 / WIDTH * box["width"], "y": 8 / HEIGHT * box["height"]})
    visitor.wait("() => document.querySelectorAll('.stm-look-strip li').length === 4")
    frames = page.eval_on_selector_all(".stm-look-strip li", "all => all.map((one) => one.dataset.frame)")
    assert frames == ["0", "5", "10", "11"]
    assert page.locator(".stm-look-lines path").count() >= 1
    assert all(page.eval_on_selector_all(".stm-look-strip img", "all => all.map((one) => one.alt)"))
    before = visitor.text(".stm-look-words")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    visitor.wait("(old) => document.querySelector('.stm-look-words').innerText !== old", before)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.click("#inside [data-look=play]")
    visitor.wait("() => Number(document.querySelector('#inside canvas').dataset.shown) >= 15")
    page.click("#inside summary")  # closed, it asks for nothing more
    assert not visitor.errors
    visitor.close()


def test_two_memories_are_compared_with_the_truth_and_the_table_read(
    browser, site, clip, tmp_path, monkeypatch
):
    with zipfile.ZipFile(tmp_path / "truth.zip", "w") as pack:
        for t, labels in enumerate(clip[1]):
            pack.writestr(f"{t:05d}.png", encode_mask(np.where(labels == 1, 1, 0).astype(np.uint8)))
    visitor = Visitor(browser, site, DESK)
    visitor.open(clip[0])
    page, answer = visitor.page, site.page.host.engine.click
    page.click("#compare-fold button")
    page.set_input_files("#truth input[type=file]", str(tmp_path / "truth.zip"))
    visitor.wait_text("#notice", "true masks were read")
    for name in ("previous", "bounded"):
        page.get_by_label(name, exact=True).uncheck()
    monkeypatch.setattr(site.page.host.engine, "click", lambda *asked: time.sleep(0.5) or answer(*asked))
    visitor.click(8, 8)
    page.click("#compare")  # before the click has its mask
    visitor.wait("() => document.querySelectorAll('.stm-compare-table tbody tr').length === 2")
    rows = page.eval_on_selector_all(
        ".stm-compare-table tbody tr", "all => all.map((row) => [...row.cells].map((one) => one.innerText))"
    )
    assert [(row[0], row[4], row[5], row[6]) for row in rows] == [
        ("first", "100.0", "100.0", "100.0"),
        ("every-5", "100.0", "100.0", "100.0"),
    ]
    visitor.wait("() => document.querySelectorAll('.stm-compare-tiles canvas').length === 3")
    page.eval_on_selector("#compared .stm-inside-slider", f"s => {{ s.value = 12; {MOVED} }}")
    visitor.wait("() => document.querySelector('.stm-compare-tiles').dataset.shown === '12'")
    label = page.get_attribute(".stm-compare-tiles figure:last-child canvas", "aria-label")
    assert "0.0 %" in label
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not visitor.errors
    visitor.close()
