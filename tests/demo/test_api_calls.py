"""Laws of a call of the web API, without a server: it ends, and what is too much is refused in time."""

from contextlib import suppress

import gradio as gr
import pytest
from conftest import colour_model
from pages import FRAMES, Bench, wait_for

from demo.web import api as api_module
from demo.web.api import UNDER_WAY, Api
from demo.web.sent_lists import rows_of
from stm_core.errors import LimitError, PromptError
from stm_core.memory.policy import MemoryConfig

FACTS = {"frames": FRAMES, "height": 64, "width": 96}


def test_a_segment_call_that_is_closed_ends_and_leaves_nothing(tmp_path, clip, monkeypatch):
    monkeypatch.setattr("demo.web.api.STILL_THERE", 0.0)
    bench = Bench(tmp_path)
    call = Api(bench.host).segment(clip[0], clicks=[[0, 8, 8, 1, 1]])
    assert next(call) == next(call) == UNDER_WAY  # Gradio closes the generator when the client goes away
    folders = bench.host.visitors
    assert list(folders.iterdir())
    call.close()
    wait_for(lambda: not list(folders.iterdir()))  # the frame under way may be written yet
    user = bench.opened(clip[0])
    bench.click(user, 0, 8, 8)
    assert len(bench.tracked(user)) > 1 and len(user.work.run.records) == FRAMES


def test_more_marked_frames_than_the_budget_holds_are_refused_before_the_first(tmp_path, clip, monkeypatch):
    bench = Bench(tmp_path)
    monkeypatch.setattr(bench.runner, "memory", lambda *_: MemoryConfig(budget_bytes=10_000))
    monkeypatch.setattr(bench.engine, "track", None)
    clicks = [[n, 8 + 16 * (n % 6), 8, 1, 1] for n in range(5)]
    with pytest.raises(gr.Error, match="at least 1 MB"):
        list(Api(bench.host).segment(str(clip[0]), clicks=clicks))


def test_the_limit_of_clicks_on_a_frame_holds_for_both_endpoints(tmp_path, clip, monkeypatch):
    bench = Bench(tmp_path, max_edits=3)
    api = Api(bench.host)
    monkeypatch.setattr(bench.engine, "click", lambda *_: pytest.fail("the clicks were read"))
    words = "Frame 2 has 4 clicks, the limit is 3; send fewer"
    with pytest.raises(gr.Error, match=words):
        api.click(str(clip[0]), 2, [[8, 8, 1, 1]] * 4)
    with pytest.raises(gr.Error, match=words):
        next(api.segment(str(clip[0]), clicks=[[2, 8, 8, 1, 1]] * 4))
    prompts = api.calls.prompts(None, [[n, 8, 8, 1, 1] for n in (0, 1) for _ in range(3)], FACTS)
    assert [len(prompt.clicks) for prompt in prompts] == [3, 3]


def test_a_size_beyond_the_hosts_is_refused_before_the_run(tmp_path, clip, monkeypatch):
    bench = Bench(tmp_path, max_side=48)
    api = Api(bench.host)
    monkeypatch.setattr(bench.runner, "steps", lambda *_: pytest.fail("the run began"))
    for size in (None, 9999):
        with pytest.raises(gr.Error, match="48 are allowed here; send size=48 or less"):
            next(api.segment(str(clip[0]), clicks=[[0, 8, 8, 1, 1]], size=size))


@pytest.mark.parametrize("most, seen", [(80, 80), (1080, None)])
def test_a_small_clip_is_enlarged_at_most_to_what_the_host_allows(tmp_path, clip, monkeypatch, most, seen):
    model, sizes = colour_model(), []
    model.network.least_side = 128
    bench = Bench(tmp_path, model, max_side=most)
    monkeypatch.setattr(bench.runner, "steps", lambda run: iter(sizes.append(run.job.plan.size) or ()))
    with suppress(gr.Error):  # such a run has no end
        list(Api(bench.host).segment(str(clip[0]), clicks=[[0, 8, 8, 1, 1]]))
    assert sizes == [seen]


def test_a_call_asks_zerogpu_for_as_long_as_its_clip_needs(tmp_path, clip, monkeypatch):
    bench, asked = Bench(tmp_path), []
    api = Api(bench.host)
    bench.engine.zero = True

    def steps(run):
        asked.append(run.job.seconds)
        raise LimitError("no quota is left")

    monkeypatch.setattr(bench.runner, "steps", steps)
    with pytest.raises(gr.Error, match="No quota is left"):
        list(api.segment(str(clip[0]), clicks=[[0, 8, 8, 1, 1]]))
    assert asked == [pytest.approx(0.05 * FRAMES)]


def test_what_goes_wrong_unforeseen_is_told_without_the_servers_paths(tmp_path, clip, monkeypatch, caplog):
    bench = Bench(tmp_path)
    api = Api(bench.host)

    def broken(*_):
        raise FileNotFoundError(2, "No such file or directory", "/srv/secret/frame.png")

    monkeypatch.setattr(bench.engine, "click", broken)
    with pytest.raises(gr.Error) as told:
        api.click(str(clip[0]), 0, [[8, 8, 1, 1]])
    assert "/srv" not in str(told.value) and "/srv" in caplog.text and not told.value.print_exception


def test_a_list_that_is_nested_without_end_is_refused_in_a_sentence():
    with pytest.raises(PromptError, match="clicks must be a list"):
        rows_of("[" * 10**5, (3, 5), "[frame, x, y]")


def test_a_call_whose_files_reach_the_quota_makes_no_more_of_them(tmp_path, clip, monkeypatch):
    bench, made = Bench(tmp_path), []
    take = api_module.take

    def taken(guard, order, *places):
        made.append(order.format.name)
        monkeypatch.setattr(bench.host.quotas, "disk", lambda _: 2**40)
        return take(guard, order, *places)

    monkeypatch.setattr(api_module, "take", taken)
    with pytest.raises(gr.Error, match="from your address take"):
        list(Api(bench.host).segment(str(clip[0]), clicks=[[0, 8, 8, 1, 1]], formats=["coco", "davis"]))
    assert made == ["coco"]
