"""A headless Chromium looks at the page and marks frames: upload, stage, keys, clicks, files, webcam."""

import shutil
import time

import numpy as np
import pytest
from pages import wait_for, write_clip
from PIL import Image
from visitor import CLIP, DESK, PATIENCE, Visitor

from demo.panels.clip import ClipPanel
from demo.work.opening import Opener
from demo.work.work import Work

pytestmark = pytest.mark.browser
FRAMES = CLIP["frames"]


def swatches(visitor) -> list[list[int]]:
    """The colours of the objects, as the chips show them."""
    return visitor.page.evaluate(
        "[...document.querySelectorAll('.stm-chips i')].map((one) => "
        "getComputedStyle(one).backgroundColor.match(/\\d+/g).map(Number))"
    )


def test_a_first_click_is_not_lost_when_it_is_quicker_than_the_pages_own_request(browser, site, monkeypatch):
    host = site.page.host
    arrive = host.new_visitor
    monkeypatch.setattr(host, "new_visitor", lambda caller: time.sleep(2) or arrive(caller))
    visitor = Visitor(browser, site, DESK)
    assert visitor.text(".stm-welcome") and not visitor.page.locator("#readout svg").count()
    assert visitor.page.is_disabled("#track")
    visitor.page.click("[data-example=squares]")
    visitor.shown(0, False)
    visitor.page.wait_for_selector("#report [data-counted]")
    assert not visitor.page.locator("#notice p").count()  # it is a first visit
    visitor.close()


def test_an_idle_page_asks_for_no_stream_of_animation_frames(browser, site):
    context = browser.new_context(viewport=DESK)
    context.add_init_script(
        "{ const ask = window.requestAnimationFrame.bind(window); window.asked = 0; "
        "window.requestAnimationFrame = (callback) => { window.asked++; return ask(callback); }; }"
    )
    page = context.new_page()
    page.goto(site.url)
    page.wait_for_selector("#stage .stm-welcome", timeout=PATIENCE)
    one_second = (
        "async () => { const before = window.asked; await new Promise((done) => setTimeout(done, 1000)); "
        "return window.asked - before; }"
    )
    assert any(page.evaluate(one_second) < 10 for _ in range(15))  # once its first pictures are drawn
    assert page.evaluate("window.asked") > 0  # it was counted
    context.close()


def test_keys_step_play_undo_and_explain_also_after_the_slider(visitor, clip, monkeypatch):
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.page.keyboard.press("ArrowRight")
    visitor.shown(1, False)
    visitor.page.keyboard.press("ArrowLeft")
    visitor.shown(0, True)
    visitor.page.keyboard.press("u")
    visitor.shown(0, False)
    visitor.page.keyboard.press(" ")
    visitor.shown(FRAMES - 1, False)  # it played to the end
    visitor.keys("?")
    visitor.wait("() => document.querySelector('.stm-keys').open")
    visitor.keys("ArrowLeft", "Escape")  # under the list of all keys none of them acts
    visitor.wait("() => !document.querySelector('.stm-keys').open")
    assert visitor.page.input_value(".stm-slider") == str(FRAMES - 1)
    visitor.go(0)
    visitor.shown(0, False)
    visitor.click(8, 8)
    visitor.shown(0, True)
    slider = visitor.page.locator(".stm-slider")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    visitor.page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    visitor.wait(f"() => Math.abs(document.querySelector('.stm-canvas').dataset.shown - {FRAMES / 2}) <= 2")
    slider.press("Home")
    visitor.shown(0, True)
    undo = Work.undo
    monkeypatch.setattr(Work, "undo", lambda work: (undo(work), time.sleep(0.5))[0])  # a slow answer
    slider.press("ArrowRight")
    slider.press("u")  # at once: that frame 2 is looked at must not be told after the way back
    visitor.shown(0, False)
    visitor.idle()
    visitor.shown(0, False)


def test_the_last_of_quick_steps_and_a_clip_chosen_while_another_opens_count(
    visitor, clip, tmp_path, monkeypatch
):
    visitor.open(clip[0])
    seen, go = [], Work.go
    monkeypatch.setattr(
        Work, "go", lambda work, index: (seen.append(index), time.sleep(0.6), go(work, index))[2]
    )
    for _ in range(3):
        visitor.page.keyboard.press("ArrowRight")
        visitor.page.wait_for_timeout(200)  # more than the page waits for the next step
    late = time.monotonic() + PATIENCE / 1000
    while seen[-1:] != [3] and time.monotonic() < late:
        visitor.page.wait_for_timeout(50)
    assert seen[-1] == 3
    monkeypatch.undo()
    part, first = Opener.part, []

    def slow(*given):
        first.append(given) or (len(first) == 1 and time.sleep(2))
        return part(*given)

    monkeypatch.setattr(Opener, "part", slow)
    visitor.upload(clip[0])
    wait_for(lambda: first)
    visitor.open(shutil.copy(clip[0], tmp_path / "newer.mp4"))
    visitor.page.wait_for_timeout(2500)  # the first one is ready now
    assert "newer.mp4" in visitor.text("#report") and visitor.page.input_value("#budget input") == "64"
    monkeypatch.undo()
    count = ClipPanel._count
    monkeypatch.setattr(ClipPanel, "_count", lambda *given: (time.sleep(1), (yield from count(*given)))[1])
    visitor.upload(clip[0])
    visitor.wait("() => !document.querySelector('#report [data-counted]')")  # it is being counted
    other = shutil.copy(clip[0], tmp_path / "other.mp4")
    visitor.open(other)


def test_a_mark_lies_where_the_pointer_was_in_a_clip_of_any_shape(visitor, tmp_path):
    for height, width in ((192, 108), (128, 128)):
        path = tmp_path / f"{height}x{width}.mp4"
        marks_lie_right(visitor, path, write_clip(path, 6, height=height, width=width))


def marks_lie_right(visitor, path, masks) -> None:
    visitor.open(path)
    visitor.wait(
        "([h, w]) => { const c = document.querySelector('.stm-canvas'); "
        "return c.height === h && c.width === w; }",
        list(masks[0].shape),
    )
    rows, columns = np.nonzero(masks[0] == 2)
    x, y = int(columns.mean()), int(rows.mean())
    visitor.click(x, y)
    visitor.shown(0, True)
    visitor.idle()
    dot = visitor.page.locator(".stm-dots circle").bounding_box()
    seen = dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2
    assert np.allclose(seen, visitor.at(x, y), atol=1)
    visitor.page.select_option("[data-set=view]", "mask")
    visitor.wait("() => document.querySelector('.stm-screen').dataset.view === 'mask'")
    assert visitor.color(x, y)[:3] == swatches(visitor)[0]
    visitor.page.mouse.click(*visitor.at(x, y))  # no mark in this view: it leads back to the overlay
    visitor.wait("() => document.querySelector('.stm-screen').dataset.view === 'overlay'")
    assert visitor.page.locator(".stm-dots circle").count() == 1


def test_a_wrong_file_is_refused_in_words_each_time_and_the_work_stays(visitor, clip, tmp_path):
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    (tmp_path / "notes.mp4").write_text("words, not pictures")
    for _ in range(2):
        visitor.upload(tmp_path / "notes.mp4")
        visitor.wait_text("#notice", "'notes.mp4'")
        visitor.page.click("#notice button")
        visitor.wait("() => !document.querySelector('#notice p')")
        visitor.page.wait_for_selector("#upload input[type=file]", state="attached")  # ready for the next
    visitor.shown(0, True)
    assert visitor.page.is_enabled("#track")


def test_right_click_removes_and_several_objects_keep_their_colours(visitor, clip):
    visitor.open_and_mark_two(clip[0])
    visitor.page.fill(".stm-name", "green one")
    visitor.page.press(".stm-name", "Enter")
    visitor.wait_text(".stm-chips", "green one")
    visitor.page.select_option("[data-set=view]", "mask")
    visitor.wait("() => document.querySelector('.stm-screen').dataset.view === 'mask'")
    assert [visitor.color(4, 4)[:3], visitor.color(24, 24)[:3]] == swatches(visitor)
    nothing = visitor.color(75, 60)
    visitor.page.select_option("[data-set=view]", "overlay")
    visitor.paint((60, 60), (90, 60))
    visitor.idle()
    visitor.page.click("[data-mode=add]")
    visitor.click(75, 60, button="right")
    visitor.wait("() => document.querySelectorAll('.stm-dots circle').length === 3")
    visitor.idle()
    visitor.page.select_option("[data-set=view]", "mask")
    wait_for(lambda: visitor.color(75, 60) == nothing)
    assert [visitor.color(4, 4)[:3], visitor.color(24, 24)[:3]] == swatches(visitor)
    visitor.page.select_option("[data-set=view]", "overlay")
    visitor.wait("() => document.querySelectorAll('.stm-dots circle').length === 3")


def test_the_webcam_records_a_clip(visitor):
    page = visitor.page
    for last in (False, False, True):  # on a busy machine the browser may not have encoded a picture yet
        page.get_by_role("tab", name="Webcam").click()
        page.locator("#webcam").get_by_text("Click to Access Webcam").click()
        page.click("#webcam button[aria-label*=record]")
        page.wait_for_timeout(4000)  # that is how long the recording is
        page.click("#webcam button[aria-label*=record]")
        said = "['#report', '#notice'].map((s) => document.querySelector(s).innerText).join()"
        visitor.wait(f"() => document.querySelector('#report [data-counted]') || /is empty/i.test({said})")
        if last or "is empty" not in visitor.text("#notice"):
            break
        page.reload()
    visitor.shown(0, False)
    assert "no audio" in visitor.text("#report")


def test_a_mask_file_marks_the_frame(visitor, clip, tmp_path):
    visitor.open(clip[0])
    picture = Image.fromarray(np.where(clip[1][0] == 2, 255, 0).astype(np.uint8))
    picture.save(tmp_path / "mask.png")
    visitor.page.click("#own-mask .label-wrap")
    visitor.page.set_input_files("#mask input[type=file]", str(tmp_path / "mask.png"))
    visitor.shown(0, True)
    Image.new("L", (30, 30), 255).save(tmp_path / "small.png")
    visitor.page.set_input_files("#mask input[type=file]", str(tmp_path / "small.png"))
    visitor.wait_text("#notice", "small.png")
    visitor.upload(clip[0])  # what was said of a file goes when the next one comes
    visitor.wait("() => !document.querySelector('#notice p')")
    picture.save(tmp_path / "still.png")
    visitor.upload(tmp_path / "still.png")  # a picture is refused in the same place, and in words
    visitor.wait_text("#notice", "still.png")
    assert not visitor.page.locator(".toast-body").count()
