"""What was under way when another clip was opened, or the page was loaded again."""

import threading

import pytest
from pages import FRAMES, SETTINGS, notice, write_clip
from PIL import Image

from demo.engine.comparing import tabulate


@pytest.fixture
def other(tmp_path):
    write_clip(tmp_path / "other.mp4")
    return tmp_path / "other.mp4"


def during(bench, monkeypatch, job: str, happens, first: bool = False) -> None:
    """Let something happen while the guard is at a job: at its end, or first."""
    stream = bench.guard.stream

    def streamed(asked, /, **arguments):
        ours = asked == job
        if ours:
            monkeypatch.setattr(bench.guard, "stream", stream)
        if ours and first:
            happens()
        yield from stream(asked, **arguments)
        if ours and not first:
            happens()

    monkeypatch.setattr(bench.guard, "stream", streamed)


def test_a_picture_of_the_clip_before_is_not_taken_for_one_of_the_new_clip(bench, user, other, monkeypatch):
    during(bench, monkeypatch, "sharp", lambda: list(bench.clip.open_clip(user, str(other))))
    assert bench.mark.seek(user, {"frame": 17}) == {} and list(user.work.sharp) == [0]
    bench.mark.seek(user, {"frame": 17})
    assert all((bench.folder(user) / "sharp" / f"{n:05d}.png").exists() for n in user.work.sharp)


def test_a_click_that_a_new_clip_overtook_says_nothing(bench, user, other, monkeypatch):
    during(bench, monkeypatch, "sharp", lambda: list(bench.clip.open_clip(user, str(other))))
    assert bench.click(user, 17, 8, 8) == {} and not user.work.marks


def test_a_film_of_the_clip_before_is_not_shown_beside_the_new_one(bench, user, other, monkeypatch):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    during(bench, monkeypatch, "film", lambda: list(bench.clip.open_clip(user, str(other))), True)
    assert bench.result.show_film(user) == {} and user.work.run is None


def test_a_check_that_goes_on_while_the_next_clip_comes_in_does_not_bring_back_its_own(
    bench, user, clip, other, monkeypatch
):
    first = bench.clip.open_clip(user, str(clip[0]))
    next(first)
    second = bench.clip.open_clip(user, str(other))
    inside, go = threading.Event(), threading.Event()
    during(bench, monkeypatch, "inspect", lambda: inside.set() or go.wait(30))
    other_event = threading.Thread(target=lambda: next(second))
    other_event.start()
    assert inside.wait(30)  # the next clip has its folder and is not shown yet
    during(bench, monkeypatch, "check", lambda: go.set() or other_event.join(30), True)
    assert list(first) == []
    list(second)
    assert bench.folder(user).exists() and user.work.clip.checked and user.work.clip.name == "other.mp4"


def test_a_page_that_is_loaded_again_while_frames_are_counted_goes_on_counting(bench, clip):
    user = bench.arrive()
    opening = bench.clip.open_clip(user, str(clip[0]))
    next(opening)
    opening.close()  # Gradio drops what the old page had asked for
    assert not user.work.clip.checked
    *_, last = bench.reload(user)
    assert user.work.clip.checked and last["stage"]["proxies"] == [[0, FRAMES]]


def test_a_page_that_is_loaded_again_shows_the_end_of_a_count_that_ends_meanwhile(bench, clip):
    user = bench.arrive()
    opening = bench.clip.open_clip(user, str(clip[0]))
    next(opening)
    back = bench.reload(user)
    first = next(back)
    list(opening)
    *_, last = back
    assert "data-counted" not in first["report"] and "data-counted" in last["report"]


def test_a_clip_that_is_opened_before_the_page_has_arrived_is_not_one_of_an_earlier_visit(bench, clip):
    user = bench.arrive()
    opening = bench.clip.open_clip(user, str(clip[0]))
    next(opening)
    [view] = bench.clip.come_back(user)  # the first load of the page, which came after the click
    assert not notice(view) and "report" not in view and not user.work.clip.checked


def test_a_page_whose_earlier_visit_is_gone_says_so_once(bench):
    user = bench.arrive()
    user.forgotten = True
    told = [notice(view) for _ in range(2) for view in bench.clip.come_back(user)]
    assert told[0] and not told[1]


@pytest.mark.parametrize("counted", [False, True])
def test_saved_work_that_was_not_taken_up_before_the_page_was_loaded_again_is_taken_up_then(
    bench, user, counted
):
    bench.click(user, 0, 8, 8)
    bench.tracked(user)
    *_, made = bench.result.make(user, "everything")
    again = bench.arrive()
    opening = bench.clip.open_clip(again, made["file"])
    next(opening)
    if counted:
        next(opening)  # the frames are counted, the work is not taken up
    opening.close()
    assert again.work.clip.checked == counted
    assert again.work.run is None
    *_, last = bench.reload(again)
    assert "open again" in notice(last) and len(again.work.run.records) == FRAMES and again.work.marks
    assert again.work.unread is None


def opens(bench, user, other) -> None:
    """Another clip takes the place of the open one."""
    list(bench.clip.open_clip(user, str(other)))


def test_a_click_that_waited_while_a_new_clip_came_does_not_mark_that_one(bench, user, other):
    clip = bench.mark.seek(user, {"frame": 0})["stage"]["clip"]
    opens(bench, user, other)
    click = {"kind": "click", "frame": 0, "x": 8, "y": 8, "label": 1}
    assert bench.mark.edit(user, {**click, "clip": clip}, 0) == {} and not user.work.marks
    assert bench.mark.order(user, {"kind": "add", "clip": clip}) == {} and len(user.work.objects) == 1
    clip = bench.mark.seek(user, {"frame": 0})["stage"]["clip"]
    assert bench.mark.edit(user, {**click, "clip": clip}, 0)["stage"]["clip"] == clip and user.work.marks


@pytest.mark.parametrize("job", ["steps", "tabulate", "plan"])
def test_a_comparison_of_the_clip_before_shows_nothing_beside_the_new_one(
    bench, user, other, monkeypatch, job
):
    bench.click(user, 0, 8, 8)
    bench.compare.get_ready(user, ["first", "every-5"], *SETTINGS)
    place = "demo.panels.compare" if job == "tabulate" else bench.runner
    real = tabulate if job == "tabulate" else getattr(bench.runner, job)

    def overtaken(*values):
        opens(bench, user, other)
        return real(*values)  # which fails: the files are gone

    monkeypatch.setattr(*((f"{place}.{job}",) if job == "tabulate" else (place, job)), overtaken)
    views = list(bench.compare.compare(user))
    assert views[-1] == {} and not user.work.busy and user.work.compared is None


def test_true_masks_of_the_clip_before_are_not_shown_beside_the_new_one(
    bench, user, clip, other, tmp_path, monkeypatch
):
    bench.click(user, 0, 8, 8)
    bench.compare.get_ready(user, ["first", "every-5"], *SETTINGS)
    list(bench.compare.compare(user))
    monkeypatch.setattr(
        "demo.panels.compare.tabulate", lambda *_: opens(bench, user, other) or {"reference": "", "runs": []}
    )
    Image.fromarray(clip[1][0]).save(tmp_path / "00000.png")
    assert bench.compare.take_truth(user, [str(tmp_path / "00000.png")]) == {}


def test_a_comparison_stops_being_one_when_another_clip_is_opened(bench, user, other):
    bench.click(user, 0, 8, 8)
    bench.compare.get_ready(user, ["first", "every-5"], *SETTINGS)
    views = bench.compare.compare(user)
    assert next(views)["compare_stop"]["interactive"]
    view = next(bench.clip.open_clip(user, str(other)))
    assert not view["compare_stop"]["interactive"]
    views.close()


def test_a_forecast_of_the_clip_before_is_not_told_of_the_new_one(bench, user, other, monkeypatch):
    monkeypatch.setattr(bench.engine, "rate", lambda *_: opens(bench, user, other) or 0.5)
    assert bench.memory.forecast(user, *SETTINGS) == {}


def test_a_forecast_of_earlier_settings_does_not_take_the_place_of_a_later_one(bench, user, monkeypatch):
    later = ("bounded", 32, 5, 0, 8)

    def rate(*_):
        monkeypatch.setattr(bench.engine, "rate", lambda *_: 0.5)
        assert "prediction" in bench.memory.forecast(user, *later)
        return 0.5

    monkeypatch.setattr(bench.engine, "rate", rate)
    assert bench.memory.forecast(user, *SETTINGS) == {} and user.settings["budget"] == 32


@pytest.mark.parametrize(
    "panel, job, chosen", [("result", "archive", "palette"), ("share", "export", "coco")]
)
def test_a_file_of_the_clip_before_is_neither_handed_over_nor_missed(
    bench, user, other, monkeypatch, panel, job, chosen
):
    def files() -> list[dict]:
        bench.click(user, 0, 8, 8)
        bench.tracked(user)
        return getattr(bench, panel).make(user, *((chosen,) if panel == "result" else (chosen, "")))

    views = files()
    next(views), next(views)  # it is being made
    opens(bench, user, other)
    assert list(views) == [{}]
    during(bench, monkeypatch, job, lambda: opens(bench, user, other))
    assert list(files())[-1] == {}
