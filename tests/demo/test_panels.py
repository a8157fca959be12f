"""A panel is one file and one entry: a made-up one is mounted, wired and refreshed like the others."""

import gradio as gr
from pages import colour_model, serve
from tab import Tab

from demo.limits import Limits
from demo.panels.base import EMPTIED, Change, Panel, View, answers
from demo.web import page as pages


class CountPanel(Panel):
    """Counts the marks, and answers a button."""

    name, live = "count", ("count",)

    def layout(self, number):
        self.number = number
        self.button = gr.Button("Twice", elem_id="twice")
        return {"count": gr.Textbox("", elem_id="count")}

    def wire(self, wires):
        wires.on(self.button.click, self.twice, ["every"], leads_to="counted")
        wires.on("counted", self.told)

    def refresh(self, visitor, change):
        return {"count": str(len(visitor.work.marks))} if change >= Change.MARKS and visitor.work else {}

    @answers
    def twice(self, visitor, every):
        return View(count=str(2 * every))

    @answers
    def told(self, visitor):
        return View()


def test_a_new_panel_is_one_file_and_one_entry(tmp_path, clip, monkeypatch):
    monkeypatch.setattr(pages, "PANELS", [*pages.PANELS, CountPanel])
    with serve(tmp_path) as site:
        tab = Tab(site.url, "somebody")
        tab.arrive()
        assert tab.do("upload", "upload", upload=tab.upload(clip[0]))["success"]

        def shown(answer: dict) -> object:
            """The new value of the made-up panel's part."""
            return dict(zip(outputs, answer["output"]["data"], strict=True))[tab.ids["count"]]

        outputs = tab.event("stage", "edit")["outputs"]
        assert shown(tab.click(0, 8, 8, 0)) == "1"  # another panel's event
        outputs = tab.event("twice", "click")["outputs"]
        assert shown(tab.do("twice", "click")) == "10"
        *_, panel = site.page.host.panels
        assert panel.number == sum(one.step for one in pages.PANELS)
        assert f".stm-count {{ order: {len(pages.PANELS)}; }}" in pages.style(pages.PANELS)
        run = next(
            one for one in tab.events if tab.ids["progress"] in one["outputs"] and one["outputs"] != outputs
        )
        assert tab.ids["count"] in run["outputs"]


def test_a_run_changes_only_parts_that_are_live(bench, user):
    bench.host.panels = found = [panel(bench.host) for panel in pages.PANELS]
    bench.track = next(panel for panel in found if panel.name == "track")
    bench.click(user, 0, 8, 8)
    live = {"notice", *EMPTIED, *(name for panel in found for name in panel.live)}
    assert not [name for view in bench.tracked(user) for name in view if name not in live]


def test_what_a_visitor_sends_is_not_dropped_while_an_earlier_answer_is_awaited(tmp_path):
    page = pages.build_app(colour_model(), Limits(cache=str(tmp_path)), tmp_path)
    told = {"edit", "order", "seek", "choose", "peek", "pick", "review", "upload", "stop_recording"}
    found = {(name, fn.trigger_mode) for fn in page.fns.values() for _, name in fn.targets if name in told}
    assert found == {(name, "multiple") for name in told}
