"""Look inside: what the page shows of a pixel is what the command says, and closed it costs nothing."""

import pickle
from functools import partial

import numpy as np
import pytest
from conftest import colour_model
from pages import SETTINGS, Bench, notice

from demo.engine.looking import look_at
from demo.work.pictures import picture
from stm_core import MemoryConfig, Prompt, look_clip

CLICKS = [(8, 8, 1, 1)]


@pytest.mark.parametrize("shared", [True, False], ids=["compact", "as the paper"])
@pytest.mark.parametrize("frame", [20, 3], ids=["forward", "backward"])
def test_the_page_shows_what_the_command_says(tmp_path, clip, shared, frame):
    bench = Bench(tmp_path, colour_model(shared))
    user = bench.opened(clip[0])
    bench.click(user, 6, 8, 8)
    bench.tracked(user, settings=("bounded", 64, 2, *SETTINGS[3:]))
    read = partial(picture, bench.guard, user)
    found, images = look_at(bench.engine, user.work.run, frame, (50, 40), read)
    assert pickle.loads(pickle.dumps((found, user.work.run.glances))) is not None  # as ZeroGPU needs it
    memory, prompt = MemoryConfig(every=2), Prompt.from_clicks(CLICKS, frame=6)
    expected = look_clip(bench.engine.model, clip[0], prompt, frame, (50, 40), memory=memory)
    assert found.votes == pytest.approx(expected.look.votes, abs=1e-3)  # on disk in half precision
    assert {**found.as_dict(), "votes": 0} == {**expected.look.as_dict(), "votes": 0}
    for one, other in zip(found.stored, expected.look.stored, strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-6)
    assert all(np.array_equal(images[t], image) for t, image in expected.images.items())


def test_a_pixel_of_a_tracked_frame_is_answered_with_a_filmstrip(bench, user):
    bench.click(user, 0, 8, 8)
    views = bench.tracked(user)
    assert not any("inside" in view for view in views)  # closed, it is told nothing while a run goes
    state = bench.look.show(user)["inside"]
    assert state["masked"] == [[0, 24]] and "look" not in state
    view = bench.look.look(user, {"frame": 17, "x": 90, "y": 8})
    assert set(view) == {"inside"}
    told = view["inside"]["look"]
    assert [one["t"] for one in told["tiles"]] == [0, 5, 10, 15, 16] and told["object"] == 1
    kinds = {one["words"].split(", ")[1].split(":")[0] for one in told["tiles"]}
    assert len(kinds) == 3 and not kinds & {"prompted", "due"}  # a visitor is told in other words
    assert [one["kind"] for one in told["tiles"]] == ["prompted", "due", "due", "due", "previous"]
    assert sum(one["share"] for one in told["tiles"]) == pytest.approx(1)
    assert all(one["src"].startswith("data:image/jpeg") and one["words"] for one in told["tiles"])
    assert told["votes"]["1"] > 0.9 and told["matches"][0]["weight"] <= 1


def test_a_frame_that_was_kept_from_an_earlier_run_is_read_as_that_run_did(bench, user):
    bench.click(user, 0, 8, 8)
    bench.tracked(user, settings=("every-5", 64, 3, *SETTINGS[3:]))
    bench.click(user, 12, 20, 20)
    bench.tracked(user, direction="forward")
    old = bench.look.look(user, {"frame": 8, "x": 4, "y": 4})["inside"]["look"]
    new = bench.look.look(user, {"frame": 20, "x": 4, "y": 4})["inside"]["look"]
    assert [one["t"] for one in old["tiles"]] == [0, 3, 6, 7]
    assert [one["t"] for one in new["tiles"]] == [0, 12, 15, 19]


def test_what_was_dropped_is_shown_as_gone(tmp_path, clip):
    bench = Bench(tmp_path)
    user = bench.opened(clip[0])
    bench.click(user, 0, 8, 8)
    bench.tracked(user, settings=("bounded", 64, 1, *SETTINGS[3:]))  # more frames are due than fit
    told = bench.look.look(user, {"frame": 20, "x": 4, "y": 4})["inside"]["look"]
    held = {one["t"] for one in told["stored"]}
    assert len(held) == MemoryConfig.capacity and told["gone"]
    assert all(one["t"] not in held and one["t"] < one["at"] <= 20 for one in told["gone"])


@pytest.mark.parametrize(
    "sent, said",
    [
        ({"frame": 0, "x": 4, "y": 4}, "frame 1"),
        ({"frame": 40, "x": 4, "y": 4}, "frame 41"),
        ({"frame": 9, "x": 400, "y": 4}, "96x64"),
    ],
)
def test_a_pixel_that_looked_nowhere_is_told_in_the_panel(bench, user, sent, said):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    view = bench.look.look(user, sent)
    assert said in view["inside"]["look"]["note"] and not notice(view)


@pytest.mark.parametrize("sent", [{}, {"frame": "x", "x": [], "y": None}, {"frame": 1e400, "x": 1, "y": 1}])
def test_without_a_pixel_it_only_says_what_can_be_looked_at(bench, user, sent):
    assert bench.look.look(bench.arrive(), sent) == {"inside": {"clip": None}}
    bench.click(user, 0, 8, 8)
    bench.tracked(user, settings=SETTINGS)
    assert "look" not in bench.look.look(user, sent)["inside"]
