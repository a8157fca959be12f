"""What was under way when another clip was opened, or the page was loaded again."""

import threading

import pytest
from pages import FRAMES, notice, write_clip


@pytest.fixture
def other(tmp_path):
    write_clip(tmp_path / "other.mp4")
    return tmp_path / "other.mp4"


def during(bench, monkeypatch, job: str, happens, first: bool = False) -> None:
    """Let something happen while the guard is at a job: at its end, or first."""
    stream = bench.guard.stream

    def streamed(name, **arguments):
        ours = name == job
        if ours:
            monkeypatch.setattr(bench.guard, "stream", stream)
        if ours and first:
            happens()
        yield from stream(name, **arguments)
        if ours and not first:
            happens()

    monkeypatch.setattr(bench.guard, "stream", streamed)


def test_a_picture_of_the_clip_before_is_not_taken_for_one_of_the_new_clip(
    bench, session, other, monkeypatch
):
    during(bench, monkeypatch, "sharp", lambda: list(bench.handlers.open_clip(session, str(other))))
    assert bench.marking.seek(session, 17) == {} and list(session.sharp) == [0]
    bench.marking.seek(session, 17)
    assert all((bench.folder(session) / "sharp" / f"{n:05d}.png").exists() for n in session.sharp)


def test_a_click_that_a_new_clip_overtook_says_nothing(bench, session, other, monkeypatch):
    during(bench, monkeypatch, "sharp", lambda: list(bench.handlers.open_clip(session, str(other))))
    assert bench.click(session, 17, 8, 8) == {} and not session.marks


def test_a_film_of_the_clip_before_is_not_shown_beside_the_new_one(bench, session, other, monkeypatch):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    during(bench, monkeypatch, "film", lambda: list(bench.handlers.open_clip(session, str(other))), True)
    assert bench.downloads.player(session) == {} and session.filmed == -1


def test_a_check_that_goes_on_while_the_next_clip_comes_in_does_not_bring_back_its_own(
    bench, session, clip, other, monkeypatch
):
    first = bench.handlers.open_clip(session, str(clip[0]))
    next(first)
    second = bench.handlers.open_clip(session, str(other))
    inside, go = threading.Event(), threading.Event()
    during(bench, monkeypatch, "inspect", lambda: inside.set() or go.wait(30))
    visitor = threading.Thread(target=lambda: next(second))
    visitor.start()
    assert inside.wait(30)  # the next clip has its folder and is not shown yet
    during(bench, monkeypatch, "check", lambda: go.set() or visitor.join(30), True)
    assert list(first) == []
    list(second)
    assert bench.folder(session).exists() and session.clip.checked and session.clip.name == "other.mp4"


def test_a_page_that_is_loaded_again_while_frames_are_counted_goes_on_counting(bench, clip):
    session = bench.handlers.arrive()
    opening = bench.handlers.open_clip(session, str(clip[0]))
    next(opening)
    opening.close()  # Gradio drops what the old page had asked for
    assert not session.clip.checked
    *_, last = bench.handlers.come_back(session)
    assert session.clip.checked and last["stage"]["proxies"] == [[0, FRAMES]]
    [view] = bench.handlers.come_back(session)  # nothing is left to do
    assert "is here again" in notice(view)


@pytest.mark.parametrize("counted", [False, True])
def test_saved_work_that_was_not_taken_up_before_the_page_was_loaded_again_is_taken_up_then(
    bench, session, counted
):
    bench.click(session, 0, 8, 8)
    bench.tracked(session)
    *_, made = bench.downloads.make(session, "everything")
    again = bench.handlers.arrive()
    opening = bench.handlers.open_clip(again, made["file"])
    next(opening)
    if counted:
        next(opening)  # the frames are counted, the work is not taken up
    opening.close()
    assert again.clip.checked == counted
    assert not again.records
    *_, last = bench.handlers.come_back(again)
    assert "Taken up" in notice(last) and len(again.records) == FRAMES and again.marks
    assert again.unread is None
