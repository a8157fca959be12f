"""The lesson: every step is short and about something that exists; a file edited wrongly says where."""

import json
import re
from pathlib import Path

import pytest

from demo.draw.lesson import PLACES, lesson, parse
from demo.panels import learn
from demo.panels.learn import LearnPanel
from stm_core.errors import OptionError
from stm_core.memory.policy import PRESETS

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
TEXT = Path(learn.__file__).with_suffix(".md").read_text(encoding="utf-8")
STEP = "## One\n[example: koi]\n\nAn idea.\n\n**Question:** Why?\n\n**Answer:** So.\n\n**More:** See.\n"


def test_every_step_is_short_and_names_an_example_and_a_preset_that_exist():
    steps = parse(TEXT)
    assert len(steps) == 8
    for step in steps:
        assert 0 < sum(len(paragraph.split()) for paragraph in step.idea) <= 60, step.title
        about = json.loads((EXAMPLES / f"{step.example}.json").read_text())
        assert 0 <= step.frame <= about["frames"]
        assert step.preset in {"", *PRESETS} and set(step.show) <= set(PLACES)


def test_what_is_drawn_holds_every_step_and_nothing_that_a_template_would_fill_in():
    text = STEP.replace("See.", "Cost ${x} {{y}} `a*b` \\u <i>:\n\n    w_i = x_{key}^2 < ${z} `\\sum")
    drawn = lesson(parse(text), {"koi": "Two koi"})
    assert "Two koi" in drawn and not re.search(r"[{}$`\\]", drawn)
    assert "w<sub>i</sub> = x<sub>key</sub><sup>2</sup> &lt; " in drawn
    assert "<code>a*b</code>" in drawn and "&lt;i&gt;" in drawn
    assert lesson(parse(TEXT), {}).count("<section") == 8


@pytest.mark.parametrize(
    "old, new, line",
    [
        ("## One", "# One", ""),
        ("[example: koi]\n", "", "line 1"),
        ("[example: koi]", "[preset: bounded]", "example"),
        ("[example: koi]", "[example: koi; colour: red]", "colour: red"),
        ("[example: koi]", "[example: koi; preset: best]", "best"),
        ("[example: koi]", "[example: koi; track: yes]", "track"),
        ("[example: koi]", "[example: koi; frame: last]", "last"),
        ("[example: koi]", "[example: koi; show: map]", "map"),
        ("An idea.\n", "", "idea"),
        ("**Answer:** So.\n", "", "answer"),
        ("**Answer:**", "**Reply:**", "Reply"),
        ("**More:** See.", "**Answer:** See.", "Answer"),
    ],
)
def test_a_file_edited_wrongly_says_where_and_what(old, new, line):
    assert old in STEP
    with pytest.raises(OptionError) as error:
        parse(STEP.replace(old, new), "mine.md")
    assert str(error.value).startswith("mine.md") and line in str(error.value)
    assert str(error.value).count("\n") == 0


@pytest.fixture
def panel(bench):
    found = LearnPanel(bench.host)
    found.usual = {"budget": 64, "every": 5}
    bench.host.panels.append(found)
    return found


def test_a_step_chooses_its_memory_and_is_told_how_far_the_page_is(bench, user, panel):
    number = next(n for n, step in enumerate(panel.steps) if step.track and step.preset == "bounded")
    view = panel.choose(user, {"step": number, "number": 3})
    assert view["preset"] == "bounded" and {name: view[name] for name in panel.usual} == panel.usual
    nothing = dict.fromkeys(("open", "own", "marked", "busy", "masks", "tracked"), False)
    clip = {"clip": Path(user.work.clip.folder).name, "coming": False}
    assert view["learn"] == {"step": number, "number": 3, **nothing, **clip}
    views = [bench.click(user, 0, 8, 8), *bench.tracked(user)]
    assert not any("learn" in view for view in views)  # closed, it is told nothing
    told = panel.peek(user, {"step": number, "number": 4})["learn"]
    assert told["marked"] and told["tracked"] and told["own"] and not told["open"]
    bench.click(user, 5, 8, 8)
    assert not panel.peek(user, {"step": number})["learn"]["tracked"]


def test_a_run_with_other_limits_is_not_what_a_step_asks_for(bench, user, panel):
    number = next(n for n, step in enumerate(panel.steps) if step.track and step.preset == "bounded")
    bench.click(user, 0, 8, 8)
    bench.tracked(user, settings=("bounded", 64, 2, 0, 8))
    told = panel.peek(user, {"step": number})["learn"]
    assert told["masks"] and not told["tracked"]  # it can still be looked at


@pytest.mark.parametrize("sent", [{}, {"step": -1}, {"step": 99, "number": "x"}, {"step": "3", "number": 1}])
def test_what_no_page_sends_is_answered_as_the_first_step(bench, panel, sent):
    told = panel.peek(bench.arrive(), sent)["learn"]
    assert told["step"] == 0 and not (told["open"] or told["tracked"])
