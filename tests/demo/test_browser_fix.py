"""A headless Chromium repairs a clip that goes wrong: the queue, its keys, undo, an object that is gone."""

import json
import re

import numpy as np
import pytest
from conftest import COLOURS
from pages import wait_for
from visitor import DESK, Visitor

from stm_core.media.write import VideoWriter

pytestmark = pytest.mark.browser
FRAMES, HEIGHT, WIDTH = 60, 128, 192
WRONG = range(20, 26)  # the object has another colour there, so it is not found


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A clip whose red square is blue for a while."""
    path = tmp_path_factory.mktemp("broken") / "broken.mp4"
    with VideoWriter(path, WIDTH, HEIGHT, fps=10) as writer:
        for n in range(FRAMES):
            image = np.zeros((HEIGHT, WIDTH, 3), np.uint8) + COLOURS[0]
            image[32:64, 64:96] = COLOURS[3 if n in WRONG else 1]
            writer.write(image)
    return path


def queue(visitor) -> list[int]:
    return visitor.page.evaluate(
        "[...document.querySelectorAll('#review [data-look]')].map((li) => +li.dataset.look)"
    )


def _turn(request) -> list[int]:
    """The number of an edit that the browser sends."""
    sent = json.loads(request.post_data) if "/queue/join" in request.url else {}
    data = sent.get("event_data")
    return [data["turn"]] if isinstance(data, dict) and "turn" in data else []


def done(visitor) -> list[int]:
    """The numbers that the end of a run tells."""
    visitor.wait_text("#progress .stm-count", "Done:")
    return [int(n) for n in re.findall(r"\d+", visitor.text("#progress .stm-count"))]


def test_a_clip_that_goes_wrong_is_repaired_with_three_clicks(browser, site, broken):
    visitor, turns = Visitor(browser, site, DESK), []
    visitor.page.on("request", lambda request: turns.extend(_turn(request)))
    visitor.open(broken)
    visitor.click(80, 48)
    visitor.shown(0, True)
    visitor.track()
    run = "document.querySelector('#progress .stm-count').textContent"
    visitor.wait("() => document.querySelector('#review [data-look]')")
    assert queue(visitor)[0] == WRONG[0]
    visitor.page.click("#review [data-look] [data-do=go]")  # one
    visitor.shown(WRONG[0], True)
    assert visitor.text(".stm-badge")
    before = visitor.page.evaluate(run)
    visitor.click(80, 48)  # two
    visitor.wait("() => !document.querySelector('#fix').disabled")
    visitor.page.click("#fix")  # three
    visitor.wait(f"(old) => {run} !== old && {run}.includes('Done:')", before)
    recomputed, untouched, *_ = done(visitor)
    assert recomputed == len(WRONG) + 10 < FRAMES / 2 and recomputed + untouched == FRAMES - WRONG[0]
    (work,) = (one.work for one in site.page.wires.visits._by_page.values())
    for n in range(FRAMES):
        assert (work.result(n)[32:64, 64:96] == 1).all() and (work.result(n) == 1).sum() == 32 * 32
    assert not queue(visitor)

    by_keys(visitor, work)
    assert not visitor.errors and turns == list(range(1, len(turns) + 1)) and len(turns) > 8
    visitor.close()


def by_keys(visitor, work) -> None:
    """Undo brings the version before; the queue by keys; an object that is gone."""
    visitor.page.locator(".stm-canvas").focus()
    visitor.keys("u")
    wait_for(lambda: not work.result(WRONG[1]).any())  # the version before is back
    visitor.keys("u")  # the click
    visitor.wait("(n) => +document.querySelector('#review [data-look]')?.dataset.look === n", WRONG[0])
    visitor.go(3)
    visitor.shown(3, True)
    visitor.keys("f")
    flagged = "+document.querySelector('#review [data-look]')?.dataset.look === 3"
    visitor.wait(f"() => {flagged}")
    visitor.page.focus("#review [data-do=flag]")
    for there in (f"!({flagged})", flagged):  # by keys, and the focus stays there
        visitor.keys("Enter")
        visitor.wait(f"() => {there} && document.activeElement.matches('#review [data-do=flag]')")
    visitor.keys(".")
    visitor.shown(WRONG[0], True)
    visitor.wait(
        "(n) => +document.querySelector('#review [aria-current=true]')?.dataset.look === n", WRONG[0]
    )
    visitor.keys(",")
    visitor.shown(3, True)
    visitor.keys("y")
    visitor.wait("() => document.querySelectorAll('#review [data-look=\"3\"]').length === 0")
    visitor.go(40)
    visitor.shown(40, True)
    visitor.keys("g")
    assert "41" in visitor.text(".stm-hint")
    visitor.page.click("[data-do=stay]")
    visitor.page.wait_for_selector("[data-do=stay]", state="hidden")
    assert not work.absent and "41" not in visitor.text(".stm-hint")
    visitor.keys("g")
    visitor.go(45)
    visitor.shown(45, True)
    visitor.keys("g")
    visitor.wait("() => document.querySelector('[data-do=gone]').textContent.includes('Not')")
    assert work.absent == {1: ((40, 45),)} and not work.result(42).any() and work.result(46).any()
    visitor.keys("Shift+U")  # nothing to redo
    visitor.keys("u")
    visitor.wait("() => !document.querySelector('[data-do=gone]').textContent.includes('Not')")
    wait_for(lambda: not work.absent)
    assert work.result(42).any()
