"""A headless Chromium does the lesson: one press sets a step up; it asks before it tells; links lead on."""

import json

import pytest
from conftest import colour_model
from pages import serve, write_clip
from visitor import PHONE, Visitor

from stm_core.memory.policy import PRESETS

pytestmark = pytest.mark.browser
CLICKS = [[0, 8, 8, 1, 1], [0, 24, 24, 1, 2]]
SET_UP = {0, 2, 3, 6, 7}  # a clip, three memories, three clips
HERE = ".stm-learn-step:not([hidden])"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A page whose examples have the names of the real ones."""
    examples = tmp_path_factory.mktemp("site") / "examples"
    examples.mkdir()
    for name, objects in (("balloon", 1), ("jellyfish", 1), ("koi", 2)):
        write_clip(examples / f"{name}.mp4", objects=objects)
        names = [f"object {n}" for n in range(objects)]
        about = {"title": name, "sentence": "", "objects": names, "clicks": CLICKS[:objects]}
        (examples / f"{name}.json").write_text(json.dumps(about))
    with serve(examples.parent, colour_model(), examples) as found:
        yield found


WAY = ["stage", "track", "readout", "timeline"]
WHERE = """(ids) => ids.map((id) => {
  const box = document.getElementById(id).getBoundingClientRect();
  return [box.x, box.y + scrollY, box.width];
})"""
# comes back once these parts have stood still for 40 pictures of the screen
STILL = f"""(ids) => new Promise((done) => {{
  let was = "", count = 0;
  const watch = () => {{
    const now = JSON.stringify(({WHERE})(ids));
    count = now === was ? count + 1 : 0;
    was = now;
    if (count < 40) requestAnimationFrame(watch); else done();
  }};
  watch();
}})"""


def set_up(visitor: Visitor, step) -> None:
    """Press the step's button, and go everywhere that it leads to."""
    step.locator("[data-learn=set]").click()
    visitor.wait("(s) => document.querySelector(s).dataset.state === 'ready'", HERE)
    preset, tracks = step.get_attribute("data-preset"), step.get_attribute("data-track")
    assert not preset or visitor.page.input_value("#preset input") == PRESETS[preset].title
    assert (visitor.page.locator("#timeline svg").count() > 0) == bool(tracks)
    for link in step.locator("[data-see]").all():
        link.click()
        assert visitor.page.evaluate("document.activeElement.matches('.stm-title')")  # and keys go on there


def test_the_lesson_is_walked_from_the_first_step_to_the_last(browser, site):
    visitor = Visitor(browser, site, PHONE)
    page = visitor.page
    visitor.wait("(ids) => ids.every((id) => document.getElementById(id))", [*WAY, "learn"])
    page.evaluate(STILL, WAY)  # the page has just been loaded
    before = page.evaluate(WHERE, WAY)
    page.click("#learn summary")
    assert page.evaluate(WHERE, WAY) == before
    count = page.locator(".stm-learn-step").count()
    for number in range(count):
        step = page.locator(HERE)
        assert (
            step.get_attribute("data-step") == str(number)
            and not step.locator(".stm-learn-answer").is_visible()
        )
        if number in SET_UP:
            set_up(visitor, step)
        step.locator("[data-learn=answer]").click()
        assert step.locator(".stm-learn-answer").is_visible()
        if number < count - 1:
            page.click("[data-learn=next]")
    assert page.locator("[data-learn=next]").is_disabled()
    assert page.locator("#inside details").get_attribute("open") is not None
    assert page.locator("#compare").is_visible()  # a step has opened it
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_selector(".stm-learn-return", state="hidden")  # no step is being set up
    page.locator(HERE).locator("[data-see=picture]").click()
    page.click(".stm-learn-return [data-learn=return]")
    assert page.evaluate("document.activeElement.matches('.stm-learn-step h3')")
    page.reload()
    visitor.wait("(s) => document.querySelector(s)?.dataset.step === '7'", HERE)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not visitor.errors
    visitor.close()
