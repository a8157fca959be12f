"""A headless Chromium looks inside a tracked clip."""

import pytest
from visitor import CLIP, PHONE, Visitor

pytestmark = pytest.mark.browser
FRAMES, HEIGHT, WIDTH = CLIP["frames"], CLIP["height"], CLIP["width"]


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
        "#inside .stm-slider", "s => { s.value = 12; s.dispatchEvent(new Event('input')); }"
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
