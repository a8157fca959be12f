"""A headless Chromium runs the page: track, watch, stop, fix, download, two visitors, a closed tab."""

import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pages import wait_for
from visitor import CLIP, DESK, PHONE, Visitor

from stm_core.engine.prompts import Prompt
from stm_core.masks.mask_files import decode_mask
from stm_core.runs.folder import run_to_folder

pytestmark = pytest.mark.browser
FRAMES, HEIGHT, WIDTH = CLIP["frames"], CLIP["height"], CLIP["width"]
FIXED = 12
BOTTOM = "(s) => document.querySelector(s).getBoundingClientRect().bottom"


def test_upload_click_track_fix_download(visitor, site, clip, tmp_path):
    path, truth = clip
    visitor.open(path)
    assert f"{FRAMES} frames" in visitor.text("#report") and f"{WIDTH}×{HEIGHT}" in visitor.text("#report")
    visitor.page.wait_for_selector("#prediction table")
    visitor.click(8, 8)
    visitor.shown(0, True)
    assert "1" in visitor.page.get_attribute(".stm-canvas", "data-masked")
    inside, outside = visitor.color(4, 4), visitor.color(100, 100)
    assert inside[0] > 150 and abs(outside[0] - 96) < 8  # the square under its mask; grey left alone
    visitor.track()
    assert f"{FRAMES} of {FRAMES} frames" in visitor.text("#progress")
    assert visitor.text("#readout .stm-lead")
    assert visitor.page.locator("#readout svg .stm-bank").count() == 1
    visitor.wait("() => document.querySelector('#player video')?.currentSrc")
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert visitor.page.evaluate(BOTTOM, "#player video") <= visitor.page.evaluate(BOTTOM, "#player")

    first = masks_in(visitor.download("palette", tmp_path))
    run_to_folder(site.model, path, Prompt.from_clicks([(8, 8, 1, 1)]), tmp_path / "command", size=360)
    for n in range(FRAMES):
        assert first[n] == (tmp_path / "command" / "masks" / f"{n:05d}.png").read_bytes()
        assert np.array_equal(decode_mask(first[n]) == 1, truth[n] == 1)

    visitor.go(FIXED)
    visitor.shown(FIXED, True)
    visitor.paint((20, 120), (60, 120))
    visitor.idle()
    visitor.wait("() => !document.querySelector('#fix').disabled")
    assert f"rame {FIXED + 1}" in visitor.text(".stm-hint") and f"rame {FIXED + 1}" in visitor.text("#fix")
    look = "(s) => getComputedStyle(document.querySelector(s)).backgroundColor"
    assert visitor.page.evaluate(look, "#fix") != visitor.page.evaluate(look, "#track")  # one is primary
    visitor.page.check("#to-end input")
    visitor.page.click("#fix")
    visitor.wait_text("#progress", f" {FRAMES - FIXED} of them")
    assert "always kept" in visitor.page.text_content(".stm-badge")
    second = masks_in(visitor.download("palette", tmp_path))
    assert [first[n] == second[n] for n in range(FIXED)] == [True] * FIXED
    painted = decode_mask(second[FIXED])
    assert painted[120, 40] == 1 and np.array_equal(painted[:60] == 1, truth[FIXED][:60] == 1)


def test_the_whole_story_by_keys_alone(browser, site, network, tmp_path):
    visitor = Visitor(browser, site, DESK)
    visitor.tab_to("[data-example=squares]")
    visitor.keys("Enter")
    visitor.page.wait_for_selector("#report [data-counted]")
    visitor.tab_to(".stm-canvas")
    visitor.keys(*["Shift+ArrowUp"] * 20, *["Shift+ArrowLeft"] * 31, "Enter")  # to the square in the corner
    visitor.shown(0, True)
    visitor.wait("() => !document.querySelector('#track').disabled")
    visitor.tab_to("#track")
    visitor.keys("Enter")
    visitor.wait_text("#progress", "Done:")
    visitor.keys("ArrowRight", "ArrowRight")
    visitor.shown(2, True)
    visitor.keys("b", *["Shift+ArrowDown"] * 30, "Enter")
    visitor.wait("() => !document.querySelector('#fix').disabled")
    visitor.tab_to("#to-end input")
    visitor.keys(" ")
    visitor.tab_to("#fix")
    visitor.keys("Enter")
    visitor.wait_text("#progress", f" {FRAMES - 2} of them")
    visitor.wait("() => document.querySelector('#player video')?.currentSrc")
    visitor.tab_to("#get-report")
    with visitor.page.expect_download() as found:
        visitor.keys("Enter")
    assert found.value.suggested_filename == "report.json" and not visitor.errors
    visitor.close()


def test_the_whole_story_by_touch_alone(browser, site, network, tmp_path):
    visitor = Visitor(browser, site, PHONE, "dark", touch=True)
    visitor.page.tap("[data-example=squares]")
    visitor.page.wait_for_selector("#report [data-counted]")
    visitor.tap(8, 8)
    visitor.shown(0, True)
    visitor.wait("() => !document.querySelector('#track').disabled")
    assert not visitor.page.is_visible("#budget")  # folded away
    visitor.page.tap(".stm-fold")
    visitor.page.wait_for_selector("#budget", state="visible")
    visitor.page.tap(".stm-fold")
    visitor.page.tap("#track")  # at the bottom of the screen, wherever one is
    visitor.wait_text("#progress", "Done:")
    for _ in range(2):
        visitor.page.tap("[data-do=next]")
    visitor.shown(2, True)
    visitor.page.tap("[data-mode=brush]")
    visitor.tap(20, 110)
    visitor.wait("() => !document.querySelector('#fix').disabled")
    visitor.page.tap("#to-end input")
    visitor.page.tap("#fix")
    visitor.wait_text("#progress", f" {FRAMES - 2} of them")
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    visitor.page.tap("#progress button")
    visitor.wait("() => document.querySelector('.stm-result').getBoundingClientRect().top < innerHeight")
    visitor.wait("() => document.querySelector('#player video')?.currentSrc")
    assert visitor.page.evaluate(BOTTOM, "#player video") <= visitor.page.evaluate(BOTTOM, "#player")
    visitor.page.evaluate("document.querySelector('#get-report').scrollIntoView({ block: 'center' })")
    with visitor.page.expect_download() as found:
        visitor.page.tap("#get-report")
    assert found.value.suggested_filename == "report.json" and not visitor.errors
    visitor.close()


def masks_in(path: Path) -> list[bytes]:
    with zipfile.ZipFile(path) as pack:
        return [pack.read(name) for name in sorted(pack.namelist())]


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


def test_the_preview_is_live_and_stop_keeps_what_is_done(visitor, clip, network):
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.page.wait_for_selector("#prediction table")
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
    visitor.wait_text("#progress", "Stopped")
    visitor.shown(0, True)
    assert visitor.page.is_enabled("#track")


def test_a_page_that_is_loaded_again_shows_the_work_as_far_as_it_went(visitor, site, clip, network):
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.page.wait_for_selector("#prediction table")
    visitor.idle()
    visitor.page.fill("#budget input", "63")
    visitor.page.press("#budget input", "Enter")
    visits = site.page.wires.visits._by_page
    wait_for(lambda: any(one.settings.get("budget") == 63 for one in visits.values()))
    network.close_after(9)
    try:
        visitor.page.click("#track")
        visitor.wait("() => !document.querySelector('.stm-live').hidden")
        visitor.page.reload()
    finally:
        network.gate.set()
    visitor.wait_text("#notice", "Resume")
    visitor.wait("() => !document.querySelector('#track').disabled")
    visitor.shown(0, True)
    assert visitor.page.input_value("#budget input") == "63"  # as it was chosen
    assert visitor.page.locator("#readout svg .stm-bank").count() == 1
    done = visitor.page.evaluate("document.querySelector('#fix').textContent.match(/\\d+/)[0]")
    visitor.page.click("#fix")  # resume: only what is missing is computed
    visitor.wait_text(
        "#progress", f"{FRAMES} of {FRAMES} frames have a mask, {FRAMES - int(done) + 2} of them"
    )
    visitor.go(FRAMES - 1)
    visitor.shown(FRAMES - 1, True)


def test_the_work_is_there_after_going_back_to_the_page_but_not_in_a_copy_of_its_tab(visitor, site, clip):
    visitor.open_and_mark_two(clip[0])
    page, key = visitor.page, "sessionStorage.getItem('stm_visit')"
    visit = page.evaluate(key)
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector(".stm-canvas")
    visitor.shown(0, True)
    assert page.evaluate(key) == visit and page.locator(".stm-chips button").count() == 2
    copy = visitor.context.new_page()
    copy.goto(site.url)
    copy.wait_for_function(f"() => {key}")
    kept = page.evaluate("Object.entries(sessionStorage)")
    copy.evaluate("kept => kept.forEach(([name, value]) => sessionStorage.setItem(name, value))", kept)
    copy.goto("about:blank")
    copy.go_back()  # the browser says the same of a copied tab
    copy.wait_for_function(f"visit => {key} !== visit", arg=visit)
    visitor.go(3)
    visitor.shown(3, False)  # the first one has lost nothing


def test_clicks_are_answered_while_the_speed_is_measured(visitor, site, clip, monkeypatch):
    measured = threading.Event()
    monkeypatch.setattr(site.page.host.engine, "rate", lambda *_: measured.wait(90) or 0.1)
    try:
        visitor.open(clip[0])
        visitor.click(8, 8)
        visitor.shown(0, True)
        assert not visitor.page.locator("#prediction table").count()
    finally:
        measured.set()


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
        visitor.wait_text("#progress", "Done:")
        (tmp_path / str(number)).mkdir()
        found = masks_in(visitor.download("palette", tmp_path / str(number)))
        for n in range(FRAMES):
            assert np.array_equal(decode_mask(found[n]) == 1, clip[1][n] == number)
        visitor.close()


def test_closing_the_tab_ends_the_run_and_frees_its_memory(browser, site, clip, network, monkeypatch):
    from stm_core.memory import bank as memory

    freed = threading.Event()
    clear = memory.MemoryBank.clear
    monkeypatch.setattr(memory.MemoryBank, "clear", lambda bank: (clear(bank), freed.set())[0])
    visitor = Visitor(browser, site, DESK)
    visitor.open(clip[0])
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.page.wait_for_selector("#prediction table")
    visitor.idle()
    freed.clear()
    network.close_after(9)
    try:
        visitor.page.click("#track")
        visitor.wait("() => !document.querySelector('.stm-live').hidden")
        visitor.close()
        left = time.monotonic() + 60
        while not site.page.wires.left and time.monotonic() < left:
            freed.wait(0.1)
    finally:
        network.gate.set()
    assert freed.wait(60)
