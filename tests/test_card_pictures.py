"""The card's charts: where values lie, and the picture of how the cost grows, from made-up rows."""

import json
import math
from itertools import pairwise

import pytest
from PIL import Image, ImageDraw

from assets import render_cost
from assets.line_chart import PAPER, Axes, Line, draw_chart, round_marks
from stm_core.networks.weights import random_model


@pytest.mark.parametrize("top", [0.003, 0.9, 1, 7, 10, 101, 2_000, 98_765])
def test_marks_are_few_even_and_reach_the_top(top):
    marks = list(round_marks(top))
    steps = {round(b - a, 9) for a, b in pairwise(marks)}
    assert marks[0] == 0 and marks[-2] < top <= marks[-1] * (1 + 1e-9)
    assert len(marks) <= 5 and len(steps) == 1


def test_a_logarithmic_axis_puts_equal_factors_equally_far_apart():
    axes = Axes((10, 20, 110, 220), {1: "", 100: ""}, {0: "", 4: ""}, "", logarithmic=True)
    assert axes.place(1, 0) == (10, 220) and axes.place(100, 4) == (110, 20)
    assert math.isclose(axes.place(10, 1)[0], 60) and axes.place(10, 1)[1] == 170


@pytest.mark.parametrize("dashed", [False, True])
def test_a_line_goes_through_its_points_and_a_dashed_one_has_gaps(dashed):
    picture = Image.new("RGB", (120, 120), PAPER)
    axes = Axes((10, 10, 110, 110), {0: "", 1: ""}, {0: "", 1: ""}, "")
    line = Line("", (255, 0, 0), [(0, 0.5), (1, 0.5)], dashed)
    draw_chart(ImageDraw.Draw(picture), axes, [line], legend=(0, 0))
    red = sum(picture.getpixel((x, 60)) == (255, 0, 0) for x in range(10, 110))
    assert 30 < red < 70 if dashed else red == 100


def row(memory: str, value: int, height: float) -> dict:
    cost = {"bank_bytes": int(height * 2**20), "predicted_bank_bytes": int(2 * height * 2**20)}
    where = {"cpu": "made up", "isa": "AVX2", "threads": 1}
    return {"memory": memory, "value": value, "at": {"40": {"median": height / 1000}}, **cost, **where}


def test_the_cost_is_drawn_from_the_figures_and_a_failed_case_is_left_out(tmp_path):
    rows = {
        name: [row(memory, value, 3 + n) for memory in one.memories for n, value in enumerate(one.values)]
        for name, one in render_cost.GROWTHS.items()
    }
    rows["objects"][0] = {"memory": "bounded", "value": 1, "error": "too large"}
    rows["frames"][-1] = {"memory": "every-5", "value": 10_000, "predicted_bank_bytes": 2**26}  # not measured
    render_cost.draw_cost(rows, tmp_path / "cost.png")
    with Image.open(tmp_path / "cost.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors()}
        assert picture.width > 4 * render_cost.CHART[0] and {render_cost.BLUE, render_cost.ORANGE} <= colours
    assert (tmp_path / "cost.png").stat().st_size < 100_000


def test_a_case_that_takes_too_long_has_the_closed_form_only(monkeypatch):
    monkeypatch.setattr(render_cost, "bench", lambda cases: (row("", 0, 1) for case in cases))
    monkeypatch.setattr(render_cost, "model_of", lambda case: random_model("compact-tiny"))
    *measured, last = render_cost.measured("frames")
    assert len(measured) == 5 and all("at" in one for one in measured)
    assert set(last) == {"memory", "value", "predicted_bank_bytes"} and last["value"] == 10_000
    assert last["predicted_bank_bytes"] > 1_000 * 2**10


def test_figures_of_one_chart_are_measured_anew_and_the_others_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(render_cost, "CARD", tmp_path)
    monkeypatch.setattr("sys.argv", ["render_cost.py", "--measure", "objects"])
    (tmp_path / "cost.json").write_text(json.dumps({"lines": [row("bounded", n, 1) for n in (270, 480)]}))
    monkeypatch.setattr(render_cost, "bench", lambda cases: (row("", 0, case.objects) for case in cases))
    render_cost.main()
    rows = json.loads((tmp_path / "cost.json").read_text())
    assert list(rows) == ["objects", "lines"] and len(rows["lines"]) == 2
    assert [one["bank_bytes"] / 2**20 for one in rows["objects"]] == [1, 2, 4, 8]
    assert (tmp_path / "cost.png").is_file()
