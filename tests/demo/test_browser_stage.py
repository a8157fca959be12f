"""A headless Chromium on the stage: zoom and pan with exact clicks, a box, a click that moves, all keys."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from pages import wait_for
from PIL import Image
from visitor import CLIP, DESK, PHONE, Visitor

from demo.work.work import Work

pytestmark = pytest.mark.browser


def work_of(visitor, site):
    """The work on the clip that was opened last."""
    found = [one.work for one in site.page.wires.visits._by_page.values() if one.work]
    return max(found, key=lambda work: Path(work.clip.folder).stat().st_ctime)


class Gate:
    """An engine's `click`, which finds a square around every click, once it is let through."""

    def __init__(self):
        self.passes = threading.Semaphore(0)

    def __call__(self, image, clicks, base, size) -> np.ndarray:
        self.passes.acquire(timeout=30)
        labels = np.zeros(image.shape[:2], np.uint8)
        for x, y, _, number in clicks:
            labels[y - 3 : y + 3, x - 3 : x + 3] = number
        return labels


def unanswered(visitor, number: int) -> None:
    """Wait until so many edits have no answer."""
    visitor.wait("n => stmEdits.waiting.size === n", number)


def zoom(visitor) -> float:
    return float(visitor.page.get_attribute(".stm-screen", "data-zoom"))


def test_what_is_done_on_a_frame_stays_there_while_another_is_looked_at(
    visitor, site, clip, tmp_path, monkeypatch
):
    visitor.open(clip[0])
    work, engine, undo = work_of(visitor, site), site.page.host.engine, Work.undo
    visitor.go(4)
    visitor.shown(4, False)
    rows, columns = np.nonzero(clip[1][4] == 1)
    visitor.click(int(np.median(columns)), int(np.median(rows)))
    visitor.shown(4, True)
    visitor.go(0)
    visitor.shown(0, False)
    click = engine.click
    monkeypatch.setattr(engine, "click", lambda *given: (time.sleep(0.7), click(*given))[1])
    visitor.click(8, 8)
    visitor.click(10, 10)
    Image.fromarray(np.where(clip[1][0] == 2, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    visitor.page.click("#own-mask .label-wrap")
    visitor.page.set_input_files("#mask input[type=file]", str(tmp_path / "mask.png"))
    visitor.page.wait_for_timeout(400)
    visitor.go(4)
    wait_for(lambda: work.marks.keys() == {0, 4} and work.marks[0].base is not None)
    visitor.shown(4, True)
    visitor.wait("() => document.querySelectorAll('.stm-dots circle').length === 1")
    wait_for(lambda: work.frame == 4)
    monkeypatch.undo()
    monkeypatch.setattr(Work, "undo", lambda work: (time.sleep(0.7), undo(work))[1])
    visitor.go(9)
    visitor.shown(9, False)
    visitor.page.click("[data-mode=brush]")
    visitor.keys("u")  # leads to the frame of what is undone
    visitor.page.mouse.move(*visitor.at(20, 20))
    visitor.page.mouse.down()
    visitor.wait("() => document.querySelector('.stm-canvas').dataset.shown !== '9'")
    before = dict(work.marks)
    visitor.page.mouse.move(*visitor.at(40, 20))
    visitor.page.mouse.up()
    visitor.page.wait_for_timeout(300)
    assert work.marks == before


def test_clicks_and_strokes_are_exact_at_every_zoom(visitor, site, clip):
    visitor.open(clip[0])
    work = work_of(visitor, site)
    visitor.click(8, 8)  # the canvas has the focus, so the wheel is its
    wait_for(lambda: 0 in work.marks)
    visitor.keys("u")
    wait_for(lambda: not work.marks)
    for x, y in [(20, 20), (26, 22), (23, 28)]:
        larger = zoom(visitor) * 1.1
        visitor.page.mouse.move(*visitor.at(x, y))
        visitor.page.mouse.wheel(0, -240)
        visitor.wait("(z) => +document.querySelector('.stm-screen').dataset.zoom > z", larger)
        visitor.keys("a")
        visitor.click(x, y)
        wait_for(lambda: 0 in work.marks)
        assert work.marks[0].dots[0][:2] == (x, y)
        visitor.keys("u", "b")
        wait_for(lambda: not work.marks)
        visitor.click(x, y)  # a stroke of one point
        wait_for(lambda: 0 in work.marks)
        rows, columns = work.labels(0).nonzero()
        assert abs(rows.mean() - y) <= 0.6 and abs(columns.mean() - x) <= 0.6
        visitor.keys("u")
        wait_for(lambda: not work.marks)
    deep = zoom(visitor)
    visitor.page.mouse.move(*visitor.at(20, 20))
    visitor.page.mouse.down(button="middle")
    visitor.page.mouse.move(*visitor.at(24, 24), steps=3)
    visitor.page.mouse.up(button="middle")
    visitor.keys("b")
    visitor.click(28, 18)
    wait_for(lambda: 0 in work.marks)
    assert work.labels(0)[18, 28] == 1
    visitor.keys("u")
    wait_for(lambda: not work.marks)
    visitor.keys("Shift+ArrowRight", "Shift+ArrowDown", "Enter")  # a stroke near the middle of what is seen
    wait_for(lambda: 0 in work.marks)
    rows, columns = work.labels(0).nonzero()
    box, (left, top) = visitor.page.locator(".stm-screen").bounding_box(), visitor.at(0, 0)
    pixel = visitor.at(1, 0)[0] - left
    assert abs(columns.mean() - (box["x"] + box["width"] / 2 - left) / pixel) < 3
    assert abs(rows.mean() - (box["y"] + box["height"] / 2 - top) / pixel) < 3
    visitor.keys("-")
    visitor.wait("(z) => +document.querySelector('.stm-screen').dataset.zoom < z", deep)
    visitor.keys("0")
    visitor.wait("() => +document.querySelector('.stm-screen').dataset.zoom === 1")
    assert visitor.page.evaluate("document.querySelector('.stm-canvas').style.transform") == ""


def test_a_box_becomes_a_mask_and_a_click_moves_to_another_object(visitor, site, clip):
    visitor.open(clip[0])
    work = work_of(visitor, site)
    visitor.click(8, 8)
    visitor.shown(0, True)
    visitor.page.click("[data-do=add-object]")
    visitor.wait("() => document.querySelectorAll('.stm-chips button').length === 2")
    for number in (1, 2):  # by keys, and the focus stays where it is
        visitor.page.focus(f".stm-chips [data-object='{number}']")
        visitor.keys("Enter")
        visitor.wait(
            "(n) => document.activeElement.matches(`.stm-chips [data-object='${n}'][aria-checked=true]`)",
            number,
        )
    visitor.page.keyboard.down("Shift")
    visitor.click(9, 8)  # the dot of the first object
    visitor.page.keyboard.up("Shift")
    wait_for(lambda: 2 in work.labels(0) and 1 not in work.labels(0))
    visitor.idle()
    visitor.keys("u", "x")
    wait_for(lambda: 1 in work.labels(0))
    visitor.page.mouse.move(*visitor.at(0, 0))
    visitor.page.mouse.down()
    visitor.page.mouse.move(*visitor.at(15, 15), steps=3)
    visitor.page.mouse.up()
    wait_for(lambda: 2 in work.labels(0))
    assert not (work.labels(0) == 2)[17:].any() and not (work.labels(0) == 2)[:, 17:].any()


def test_what_is_pressed_before_the_answer_is_about_what_was_meant(visitor, site, clip, monkeypatch):
    visitor.open_and_mark_two(clip[0])
    work = work_of(visitor, site)
    steps = len(work.history.past)
    together = "(names) => names.forEach((name) => document.querySelector(name).click())"
    visitor.page.evaluate(together, ["[data-do=add-object]", "[data-do=delete-object]"])
    wait_for(lambda: len(work.history.past) == steps + 2)
    assert [one.id for one in work.objects] == [1, 2] and set(np.unique(work.labels(0))) == {0, 1, 2}
    visitor.page.click(".stm-chips [data-object='2']")
    visitor.idle()
    visitor.go(3)
    visitor.shown(3, False)
    visitor.keys("g")
    visitor.wait("() => document.querySelector('.stm-hint').textContent.includes('frame 4')")
    visitor.go(5)
    visitor.shown(5, False)
    visitor.page.evaluate(together, [".stm-chips [data-object='1']", "[data-do=gone]"])
    visitor.wait("() => document.querySelector('.stm-hint').textContent.includes('frame 6')")
    visitor.idle()
    assert not work.absent and visitor.text("[data-do=gone]") == "Gone to here"
    visitor.page.evaluate(together, ["[data-do=gone]", ".stm-chips [data-object='2']"])
    wait_for(lambda: work.absent)
    assert work.absent == {1: ((5, 5),)}
    gate = Gate()
    monkeypatch.setattr(site.page.host.engine, "click", gate)
    visitor.idle()
    for x in (40, 60):
        visitor.click(x, 40)
    visitor.page.evaluate(together, [".stm-chips [data-object='1']"])
    visitor.page.focus(".stm-name")
    gate.passes.release()  # the answer to the first click, when object 2 was selected
    unanswered(visitor, 2)
    visitor.shown(5, True)
    gate.passes.release()
    assert visitor.page.get_attribute(".stm-chips [data-object='1']", "aria-checked") == "true"
    visitor.page.fill(".stm-name", "dog")
    visitor.keys("Enter")
    visitor.idle()
    assert [one.name for one in work.objects] == ["dog", "Object 2"] and work.objects.selected == 1


def test_a_page_whose_visit_is_gone_says_so_where_the_clip_was(visitor, site, clip):
    visitor.open(clip[0])
    visits = site.page.wires.visits
    visits.end()
    visitor.click(8, 8)
    visitor.wait("() => document.querySelector('.stm-welcome').textContent.includes('no longer')")
    visitor.idle()
    assert visitor.text(".stm-where") == "–" and not visitor.page.locator(".stm-chips button").count()


def test_what_was_drawn_stays_in_sight_until_it_is_answered_and_a_run_waits_for_it(
    visitor, site, clip, monkeypatch
):
    visitor.open(clip[0])
    work, page, gate = work_of(visitor, site), visitor.page, Gate()
    monkeypatch.setattr(site.page.host.engine, "click", gate)
    ink = "() => document.querySelector('.stm-ink').getContext('2d').getImageData(50, 30, 1, 1).data[3] > 0"

    def dots() -> int:
        return page.locator(".stm-dots circle").count()

    for n, place in enumerate([(8, 8), (20, 10), (30, 12)], 1):
        visitor.click(*place)
        assert dots() == n
    unanswered(visitor, 3)
    page.click("[data-mode=brush]")
    page.mouse.move(*visitor.at(40, 30))
    page.mouse.down()
    page.mouse.move(*visitor.at(60, 30), steps=4)
    for left in (2, 1):  # answers come while a stroke is being drawn
        gate.passes.release()
        unanswered(visitor, left)
        visitor.shown(0, True)
        assert dots() == 3 and page.evaluate(ink) and page.locator(".stm-busy").is_visible()
    page.mouse.up()
    unanswered(visitor, 2)
    assert page.evaluate(ink)
    gate.passes.release()
    visitor.idle()
    visitor.wait("() => !(" + ink + ")()")
    assert dots() == 3 and work.labels(0)[30, 50] == 1
    late = []

    def hold(route) -> None:
        late.append(route) if '"click"' in route.request.post_data else route.continue_()

    page.route("**/queue/join*", hold)
    page.click("[data-mode=add]")
    visitor.click(60, 20)
    wait_for(lambda: page.wait_for_timeout(20) or late)
    page.click("#track")
    page.wait_for_timeout(300)
    assert not work.busy and work.run is None
    gate.passes.release()
    late[0].continue_()
    visitor.wait_text("#progress", "Done:")
    assert work.marks[0].clicks[-1][:2] == (60, 20) and not page.locator("#notice .stm-error").count()


def test_a_name_that_is_being_typed_is_not_given_to_an_object_of_another_clip(visitor, site, clip):
    visitor.open(clip[0])
    before = work_of(visitor, site)
    visitor.page.locator(".stm-name").press_sequentially("red one")
    visitor.upload(clip[0])
    wait_for(lambda: work_of(visitor, site) is not before)
    visitor.shown(0, False)
    visitor.click(8, 8)  # and so the focus leaves the name
    visitor.shown(0, True)
    visitor.idle()
    assert [one.name for one in work_of(visitor, site).objects] == ["Object 1"]


def test_two_fingers_zoom_on_a_phone(browser, site, clip):
    phone = Visitor(browser, site, PHONE, touch=True)
    phone.open(clip[0])
    middle = phone.at(CLIP["width"] // 2, CLIP["height"] // 2)
    talk = phone.context.new_cdp_session(phone.page)

    def touch(kind: str, *away: float) -> None:
        points = [{"x": middle[0] + by, "y": middle[1], "id": n} for n, by in enumerate(away)]
        talk.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -20, 20)
    for by in (25, 32, 40):
        touch("touchMove", -by, by)
    touch("touchEnd")
    phone.wait("() => +document.querySelector('.stm-screen').dataset.zoom > 1.5")
    assert not phone.errors
    phone.close()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_masks_that_a_click_may_mean_stand_under_the_picture_and_nothing_moves(
    browser, site, clip, monkeypatch, size
):
    masks = np.zeros((3, CLIP["height"], CLIP["width"]), bool)
    masks[0, :8, :8], masks[1, :16, :16], masks[2, :60, :60] = True, True, True
    visitor = Visitor(browser, site, size)
    visitor.open(clip[0])
    visitor.at(8, 8)  # which scrolls there
    top = "() => document.querySelector('.stm-tools').getBoundingClientRect().top"
    monkeypatch.setattr(site.page.host.engine, "choices", lambda *_: list(masks))
    tools = visitor.page.evaluate(top)
    visitor.click(8, 8)
    visitor.wait("() => document.querySelectorAll('.stm-choices button').length === 3")
    assert visitor.page.evaluate(top) == tools
    visitor.page.click(".stm-choices [data-choice='2']")
    wait_for(lambda: (work_of(visitor, site).labels(0) == 1).sum() == 3600)
    visitor.page.wait_for_selector("[data-choice='2'][aria-pressed=true]")
    visitor.close()
