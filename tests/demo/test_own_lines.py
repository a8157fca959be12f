"""A visitor's own queue: in order, of a certain length, and never in the way of another's."""

import asyncio
import threading

import pytest

from demo.panels.base import View
from demo.web.events import Events
from demo.web.own_lines import OF_ONE, THREADS, Full, OwnLines
from demo.work.visitor import Overtaken


@pytest.fixture
def go():
    """What slow requests wait for."""
    found = threading.Event()
    yield found
    found.set()


def slow(go: threading.Event) -> bool:
    return go.wait(30)


async def begun(lines: OwnLines, tasks: list, count: int) -> None:
    """Returns once so many requests are being answered."""
    while lines._threads is None or lines._threads.borrowed_tokens < count:
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)


def test_one_visitors_requests_run_in_order_and_one_too_many_is_refused(go):
    async def ask() -> list:
        lines, done = OwnLines(3), []
        tasks = [asyncio.create_task(lines.run("a", "user", "marks", slow, go))]
        await begun(lines, tasks, 1)
        for n in range(2):
            tasks.append(asyncio.create_task(lines.run("a", "user", "marks", done.append, n)))
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await lines.run("a", "user", "marks", done.append, 9)
        await lines.run("a", "user", "look", done.append, "other line")
        go.set()
        await asyncio.gather(*tasks)
        assert not lines._lines
        return done

    assert asyncio.run(ask()) == ["other line", 0, 1]


def test_only_the_newest_of_those_that_wait_is_answered_where_the_newest_counts(go):
    async def ask() -> list:
        lines, done = OwnLines(2), []
        tasks = [asyncio.create_task(lines.run("a", "user", "look", slow, go, newest=True))]
        await begun(lines, tasks, 1)
        for n in range(4):  # more than may wait elsewhere
            tasks.append(asyncio.create_task(lines.run("a", "user", "look", done.append, n, newest=True)))
        overtaken = await asyncio.wait_for(asyncio.gather(*tasks[1:4], return_exceptions=True), 10)
        assert [type(one) for one in overtaken] == [Overtaken] * 3  # at once, not at their turn
        go.set()
        assert await asyncio.gather(tasks[0], tasks[4]) == [True, None]
        assert not lines._lines
        return done

    assert asyncio.run(ask()) == [3]


def test_one_that_is_given_up_while_it_waits_for_the_newest_turn_leaves_it_free(go):
    async def ask() -> list:
        lines, done = OwnLines(2), []
        first = asyncio.create_task(lines.run("a", "user", "look", slow, go, newest=True))
        await begun(lines, [first], 1)
        gone = asyncio.create_task(lines.run("a", "user", "look", done.append, 0, newest=True))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        go.set()
        await first
        await asyncio.wait_for(lines.run("a", "user", "look", done.append, 1, newest=True), 10)
        assert not lines._lines
        return done

    assert asyncio.run(ask()) == [1]


def test_one_address_with_many_visits_leaves_threads_for_the_others(go):
    async def ask() -> int:
        lines = OwnLines(16)
        greedy = [
            asyncio.create_task(lines.run("a", f"visit {n}", "marks", slow, go)) for n in range(2 * THREADS)
        ]
        await begun(lines, greedy, OF_ONE)
        answer = await asyncio.wait_for(lines.run("b", "user", "marks", lambda: 7), 30)
        assert lines._threads.borrowed_tokens == OF_ONE
        go.set()
        await asyncio.gather(*greedy)
        return answer

    assert asyncio.run(ask()) == 7


def test_the_answer_to_one_request_too_many_is_not_made_where_all_are_served(bench, user, monkeypatch):
    made = []
    monkeypatch.setattr(
        bench.host, "complete", lambda visitor, view: made.append(threading.current_thread()) or view
    )

    class Crowded(Events):
        def __init__(self):
            self.host, self.parts, self.lines = bench.host, {"notice": "notice"}, OwnLines(0)

    async def ask() -> tuple[dict, threading.Thread]:
        crowded = Crowded()._queued("marks", False, None, bench.mark.seek, user, {"frame": 0})
        return await crowded, threading.current_thread()

    shown, loop = asyncio.run(ask())
    assert "Too many clicks" in shown["notice"] and loop not in made and len(made) == 1


def test_edits_are_counted_while_they_are_under_way_and_looks_are_not(bench, user):
    seen = []

    class Quiet(Events):
        def __init__(self):
            self.host, self.parts, self.lines = bench.host, {"notice": "notice"}, OwnLines(2)

    async def ask() -> None:
        for line in ("marks", "look"):
            look = lambda visitor: seen.append(visitor.edits) or View()  # noqa: E731
            await Quiet()._queued(line, False, None, look, user)

    asyncio.run(ask())
    assert seen == [1, 0] and user.edits == 0
