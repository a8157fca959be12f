"""What is drawn: numbers in words, the chart's curves, the queue."""

import re
import time
from xml.etree import ElementTree

from demo.draw import charts, html
from demo.draw.charts import Point
from demo.limits import Limits
from demo.panels.fix import queue, timeline
from demo.work.opened import Clip
from demo.work.reported import clip_report
from demo.work.run import Record, Run
from demo.work.work import Work

MB = 2**20


def test_bytes_in_words():
    assert [html.size(n) for n in (812, 2048, 3.1 * MB, 64 * MB, 1.24 * 2**30)] == [
        "812 B",
        "2.00 kB",
        "3.10 MB",
        "64 MB",
        "1.24 GB",
    ]


def test_the_memory_chart_is_well_formed_and_draws_every_curve():
    points = [Point(n, n * MB, 2 * MB, 3 * n * MB, 400 * MB + n * MB) for n in range(1, 1000)]
    drawing = ElementTree.fromstring(charts.bank_chart(points, 2000, 4000 * MB, 900 * MB))
    below = ElementTree.fromstring(charts.running_chart(points, 2000))
    names = {element.get("class") for element in (*drawing.iter(), *below.iter())}
    assert {"stm-bank", "stm-read", "stm-process", "stm-unbounded", "stm-ahead", "stm-budget"} <= names
    assert len(ElementTree.tostring(drawing)) < 30_000
    assert "without a limit" in drawing.get("aria-label")


def test_the_chart_of_no_run_and_of_one_frame_can_be_drawn():
    for points in ([], [Point(1, 0, 0, 0, 0)]):
        ElementTree.fromstring(charts.bank_chart(points, 0, 0, None))
        ElementTree.fromstring(charts.running_chart(points, 0))


def test_axis_labels_are_whole_numbers():
    text = charts.bank_chart([], 100, 37 * MB, None)
    assert re.findall(r">([^<]+ [kMG]?B)<", text) == ["20 MB"]


def test_neighbouring_frames_are_one_span():
    assert html.spans([2, 3, 4, 9]) == [(2, 4), (9, 9)]


def test_what_a_visitor_typed_is_never_markup(tmp_path):
    info = {"height": 4, "width": 4, "frames": 3, "fps": 10}
    work = Work.begin(Clip("x", "<script>", str(tmp_path), info, 0, 3, warnings=("<b>",)))
    work.objects.rename(1, "<img src=x onerror=1>")
    work.run = Run("", records={0: Record({1: 5}, {1: 0.9}), 1: Record({1: 0}, {1: 0.0})})
    work.objects.add(8)
    assert "<img src=x" not in timeline(work) + queue(work) and "data-look" in queue(work)
    hostile = {"codec": "<script>", "audio": "<script>", "rotation": "<script>", "frames": "<script>"}
    taken_over = Clip("<script>", "<script>", str(tmp_path), {**info, **hostile}, 0, 3)
    assert "<script>" not in clip_report(taken_over, Limits()).lower()
    assert "<script>" not in clip_report(work.clip, Limits()) and "<b>" not in html.notice("<b>")


def test_progress_tells_speed_and_time_left():
    text = html.progress(50, 100, time.perf_counter() - 10)
    assert "Frame 50 of 100" in text and "5.0 frames/s" in text and "10 s left" in text
    assert html.clock(80) == "80 s" and html.clock(150) == "2 min 30 s"
