"""A headless Chromium walks the page: upload, click, track, fix, download; asserts on what is shown and
handed out.
"""

import os
import shutil
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pages import serve, write_clip
from PIL import Image
from visitor import PATIENCE, GatedNetwork, Visitor

from demo.clip import unpack
from stm_core.prompts import Prompt
from stm_core.save import run_to_folder
from stm_core.weights import Model

pytestmark = pytest.mark.browser
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a test picture
    "--use-fake-ui-for-media-stream",
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FRAMES, FIXED = 30, 12
HEIGHT, WIDTH = 128, 192
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium is installed; the browser tests need one")
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> tuple[Path, list[np.ndarray]]:
    path = tmp_path_factory.mktemp("clip") / "squares.mp4"
    return path, write_clip(path, FRAMES, height=HEIGHT, width=WIDTH)


@pytest.fixture(scope="module")
def network() -> GatedNetwork:
    return GatedNetwork().for_inference()


@pytest.fixture(scope="module")
def site(tmp_path_factory, clip, network):
    import torch

    root = tmp_path_factory.mktemp("site")
    (root / "examples").mkdir()
    shutil.copy(clip[0], root / "examples" / "squares.mp4")
    with serve(root, Model(network, "colour", torch.device("cpu"), torch.float32)) as found:
        yield found


@pytest.fixture
def visitor(browser, site):
    found = Visitor(browser, site, DESK)
    yield found
    assert not found.errors
    found.close()


@pytest.mark.parametrize("size, theme", [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_upload_click_track_fix_download(browser, site, clip, network, tmp_path, size, theme):
    path, truth = clip
    visitor = Visitor(browser, site, size, theme)
    visitor.open(path)
    assert f"{FRAMES} frames" in visitor.text("#report") and f"{WIDTH}×{HEIGHT}" in visitor.text("#report")
    visitor.wait_text("#prediction", "Bank at most")
    visitor.click(8, 8)
    visitor.shown(0, True)
    assert "1" in visitor.page.get_attribute(".stm-canvas", "data-masked")
    inside, outside = visitor.color(4, 4), visitor.color(100, 100)
    assert inside[0] > 150 and abs(outside[0] - 96) < 8  # the square under its mask; grey left alone
    visitor.track()
    assert f"{FRAMES} of {FRAMES} frames" in visitor.text("#progress")
    assert " held of" in visitor.text("#readout") and "Unbounded STM" in visitor.text("#readout")
    assert visitor.page.locator("#readout svg .stm-bank").count() == 1
    visitor.wait("() => document.querySelector('#player video')?.currentSrc")
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    first = masks_in(visitor.download("palette", tmp_path))
    run_to_folder(site.model, path, Prompt.from_clicks([(8, 8, 1, 1)]), tmp_path / "command", size=360)
    for n in range(FRAMES):
        assert first[n] == (tmp_path / "command" / "masks" / f"{n:05d}.png").read_bytes()
        assert np.array_equal(unpack(first[n]) == 1, truth[n] == 1)

    visitor.go(FIXED)
    visitor.shown(FIXED, True)
    visitor.paint((20, 120), (60, 120))
    visitor.idle()
    visitor.wait("() => !document.querySelector('#fix').disabled")
    assert f"Frame {FIXED} corrected" in visitor.text(".stm-hint")
    visitor.page.click("#fix")
    visitor.wait_text("#progress", f"done: {FRAMES - FIXED} of {FRAMES - FIXED} frames")
    assert "pinned in memory" in visitor.page.text_content(".stm-badge")
    second = masks_in(visitor.download("palette", tmp_path))
    assert [first[n] == second[n] for n in range(FIXED)] == [True] * FIXED
    painted = unpack(second[FIXED])
    assert painted[120, 40] == 1 and np.array_equal(painted[:60] == 1, truth[FIXED][:60] == 1)
    assert not visitor.errors
    visitor.close()


def masks_in(path: Path) -> list[bytes]:
    with zipfile.ZipFile(path) as pack:
        return [pack.read(name) for name in sorted(pack.namelist())]


def test_an_example_is_one_click_and_the_first_screen_says_what_to_do(visitor):
    assert "Upload a clip or pick an example" in visitor.text(".stm-welcome")
    assert visitor.page.is_disabled("#track")
    visitor.page.click("[data-example=squares]")
    visitor.shown(0, False)


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


def test_keys_step_play_and_undo(visitor, clip):
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


def test_the_slider_moves_and_keys_still_work_after_it(visitor, clip):
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    slider = visitor.page.locator(".stm-slider")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    visitor.page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    visitor.wait(f"() => Math.abs(document.querySelector('.stm-canvas').dataset.shown - {FRAMES / 2}) <= 2")
    slider.press("Home")
    visitor.shown(0, True)
    slider.press("ArrowRight")
    visitor.shown(1, False)
    slider.press("u")
    visitor.shown(0, False)


@pytest.mark.parametrize("size", [(192, 108), (128, 128)], ids=["portrait", "square"])
def test_a_mark_lies_where_the_pointer_was_in_a_clip_of_any_shape(visitor, tmp_path, size):
    height, width = size
    masks = write_clip(tmp_path / "tall.mp4", 6, height=height, width=width)
    visitor.open(tmp_path / "tall.mp4")
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
    assert visitor.color(x, y)[:3] == [128, 0, 0]
    visitor.page.mouse.click(*visitor.at(x, y))  # no mark in this view: it leads back to the overlay
    visitor.wait("() => document.querySelector('.stm-screen').dataset.view === 'overlay'")
    assert visitor.page.locator(".stm-dots circle").count() == 1


def test_a_deleted_object_leaves_timeline_and_film(visitor, clip):
    visitor.open_and_mark_two(clip[0])
    visitor.track()
    visitor.wait("() => document.querySelector('#player video')?.currentSrc")
    film = visitor.page.evaluate("document.querySelector('#player video').currentSrc")
    visitor.page.click("[data-do=delete-object]")
    visitor.wait("() => document.querySelectorAll('#timeline .stm-row').length === 1")
    source = "document.querySelector('#player video')?.currentSrc"
    visitor.wait(f"(old) => {source} && {source} !== old", film)
    assert "Object 2" not in visitor.text("#timeline")


def test_a_notice_can_be_dismissed_and_comes_again(visitor, clip, tmp_path):
    (tmp_path / "notes.mp4").write_text("words, not pictures")
    for _ in range(2):
        visitor.upload(tmp_path / "notes.mp4")
        visitor.wait_text("#notice", "'notes.mp4' is not a clip")
        visitor.page.click("#notice button")
        visitor.wait("() => !document.querySelector('#notice p')")
        visitor.page.wait_for_selector("#upload input[type=file]", state="attached")


def test_right_click_removes_and_several_objects_keep_their_colours(visitor, clip):
    visitor.open_and_mark_two(clip[0])
    visitor.click(100, 100, button="right")
    visitor.idle()
    visitor.page.fill(".stm-name", "green one")
    visitor.page.press(".stm-name", "Enter")
    visitor.wait_text(".stm-chips", "green one")
    assert visitor.page.locator(".stm-dots circle").count() == 3
    visitor.page.select_option("[data-set=view]", "mask")
    visitor.wait("() => document.querySelector('.stm-screen').dataset.view === 'mask'")
    assert visitor.color(4, 4)[:3] == [128, 0, 0] and visitor.color(24, 24)[:3] == [0, 128, 0]


def test_a_wrong_file_is_refused_in_words_and_the_work_stays(visitor, clip, tmp_path):
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    (tmp_path / "notes.mp4").write_text("words, not pictures")
    visitor.upload(tmp_path / "notes.mp4")
    visitor.wait_text("#notice", "'notes.mp4' is not a clip")
    visitor.page.wait_for_selector("#upload input[type=file]", state="attached")  # ready for the next file
    visitor.shown(0, True)
    assert visitor.page.is_enabled("#track")


def test_the_webcam_records_a_clip(visitor):
    page = visitor.page
    for last in (False, False, True):  # on a busy machine the browser may not have encoded a picture yet
        page.get_by_role("tab", name="Webcam").click()
        page.locator("#webcam").get_by_text("Click to Access Webcam").click()
        page.click("#webcam button[aria-label*=record]")
        page.wait_for_timeout(4000)  # that is how long the recording is
        page.click("#webcam button[aria-label*=record]")
        said = "['#report', '#notice'].map((s) => document.querySelector(s).innerText).join()"
        visitor.wait(f"() => /every frame was decoded|is empty/i.test({said})")
        if last or "is empty" not in visitor.text("#notice"):
            break
        page.reload()
    visitor.shown(0, False)
    assert "no audio" in visitor.text("#report")


def test_a_mask_file_marks_the_frame(visitor, clip, tmp_path):
    visitor.open(clip[0])
    picture = Image.fromarray(np.where(clip[1][0] == 2, 255, 0).astype(np.uint8))
    picture.save(tmp_path / "mask.png")
    visitor.page.click("text=Mask file instead")
    visitor.page.set_input_files("#mask input[type=file]", str(tmp_path / "mask.png"))
    visitor.shown(0, True)
    Image.new("L", (30, 30), 255).save(tmp_path / "small.png")
    visitor.page.set_input_files("#mask input[type=file]", str(tmp_path / "small.png"))
    visitor.wait_text("#notice", "small.png")


def test_the_preview_is_live_and_stop_keeps_what_is_done(visitor, clip, network):
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.wait_text("#prediction", "Bank at most")
    visitor.idle()
    network.close_after(9)
    try:
        visitor.page.click("#track")
        visitor.wait(
            "() => document.querySelector('.stm-live')?.src.startsWith('data:image/jpeg') "
            "&& !document.querySelector('.stm-live').hidden"
        )
        assert visitor.page.is_disabled("#track") and visitor.page.is_disabled("button[data-mode=add]")
        visitor.page.click("#stop")
        visitor.wait("() => document.querySelector('#stop').disabled")
    finally:
        network.gate.set()
    visitor.wait_text("#progress", "every mask so far is kept")
    visitor.shown(0, True)
    assert visitor.page.is_enabled("#track")


def test_two_visitors_at_once_stay_apart(browser, site, clip, tmp_path):
    one, two = Visitor(browser, site, DESK), Visitor(browser, site, DESK)
    for visitor, square in ((one, (8, 8)), (two, (24, 24))):
        visitor.open(clip[0])
        visitor.click(*square)
        visitor.shown(0, True)
    for visitor in (one, two):
        visitor.wait("() => !document.querySelector('#track').disabled")
        visitor.page.click("#track")
    for visitor, number in ((one, 1), (two, 2)):
        visitor.wait_text("#progress", "done:")
        (tmp_path / str(number)).mkdir()
        found = masks_in(visitor.download("palette", tmp_path / str(number)))
        for n in range(FRAMES):
            assert np.array_equal(unpack(found[n]) == 1, clip[1][n] == number)
        visitor.close()


def test_closing_the_tab_ends_the_run_and_frees_its_memory(browser, site, clip, network, monkeypatch):
    import stm_core.memory as memory

    freed = threading.Event()
    clear = memory.MemoryBank.clear
    monkeypatch.setattr(memory.MemoryBank, "clear", lambda bank: (clear(bank), freed.set())[0])
    visitor = Visitor(browser, site, DESK)
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.wait_text("#prediction", "Bank at most")
    visitor.idle()
    freed.clear()
    network.close_after(9)
    try:
        visitor.page.click("#track")
        visitor.wait("() => !document.querySelector('.stm-live').hidden")
        visitor.close()
        left = time.monotonic() + 60
        while not site.page.left and time.monotonic() < left:
            freed.wait(0.1)
    finally:
        network.gate.set()
    assert freed.wait(60)
