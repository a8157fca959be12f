"""Edits are made in the order in which the page sent them, whatever overtakes whatever on the way."""

import asyncio
import itertools
from types import SimpleNamespace

import gradio as gr
import pytest

from demo.panels.base import View
from demo.web import sent_order
from demo.web.events import Events
from demo.web.own_lines import OwnLines
from demo.web.sent_order import SentOrder


class Bare(Events):
    """Events without a page, for one visitor."""

    def __init__(self, host, visitor):
        self.host = host
        self.lines, self.order = OwnLines(9), SentOrder()
        self.visits = SimpleNamespace(find=lambda key: visitor, on=lambda page: visitor if page else None)

    def _show(self, view: View) -> View:
        return view


@pytest.mark.parametrize("numbers", [[3, 1, 4, 2, 5], [2, 1], [5, 4, 3, 2, 1]])
def test_edits_that_overtook_each_other_are_made_in_order(bench, user, numbers):
    made = []

    def edit(visitor, data: dict) -> View:
        made.append((data["turn"], visitor.edits))
        return View()

    async def ask() -> list[View]:
        answer = Bare(bench.host, user)._adapter(edit, "marks", False, False, True, ())
        request = SimpleNamespace(session_hash="page")
        return await asyncio.gather(
            *(answer("key", request, gr.EventData(None, {"turn": n})) for n in numbers)
        )

    views = asyncio.run(ask())
    assert made == [(n, len(numbers) + 1 - n) for n in sorted(numbers)] and user.edits == 0
    assert [view["stage"]["answered"][-1] for view in views] == numbers
    assert sorted(user.answered) == sorted(numbers)


@pytest.mark.parametrize("turn", [None, "2", 2.0, True, [2], 0, -1, 10**30])
def test_what_is_no_number_waits_for_nothing(bench, user, turn):
    async def ask() -> None:
        answer = Bare(bench.host, user)._adapter(
            lambda visitor, data: View(), "marks", False, False, True, ()
        )
        request = SimpleNamespace(session_hash=None)
        await asyncio.wait_for(answer("key", request, gr.EventData(None, {"turn": turn})), 0.9)

    asyncio.run(ask())


def test_an_edit_of_a_page_that_was_loaded_again_says_nothing_of_those_of_the_new_page(bench, user):
    async def ask() -> View:
        answer = Bare(bench.host, user)._adapter(lambda *_: View(), "marks", False, False, True, ())
        return await answer("key", SimpleNamespace(session_hash=""), gr.EventData(None, {"turn": 1}))

    assert asyncio.run(ask())["stage"]["answered"] == [1] and not user.answered


async def come(order: SentOrder, came: list, page: str, number: int) -> None:
    await order.wait(page, number)
    came.append((page, number))


@pytest.mark.parametrize("later", list(itertools.permutations((2, 3, 5))))
def test_a_lost_request_holds_up_the_later_ones_only_once_and_they_stay_in_order(monkeypatch, later):
    monkeypatch.setattr(sent_order, "PATIENCE", 0.02)

    async def ask() -> list:
        order, came = SentOrder(), []
        await asyncio.gather(*(come(order, came, "a", n) for n in later), come(order, came, "b", 1))
        monkeypatch.setattr(sent_order, "PATIENCE", 60)
        for number in (6, 1, 7):  # 1 is too late, but not lost
            await asyncio.wait_for(come(order, came, "a", number), 30)
        assert not any(page.waiting for page in order._pages.values())
        return came

    assert asyncio.run(ask()) == [("b", 1), *(("a", n) for n in (2, 3, 5, 6, 1, 7))]


def test_a_request_that_is_given_up_by_the_browser_leaves_nothing_behind():
    async def ask() -> None:
        order = SentOrder()
        waits = asyncio.create_task(order.wait("a", 2))
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert not order._pages["a"].waiting

    asyncio.run(ask())


def test_pages_of_long_ago_are_forgotten(monkeypatch):
    monkeypatch.setattr(sent_order, "PAGES", 3)

    async def ask() -> list:
        order = SentOrder()
        for page in (1, 2, 3, 1, 4):
            await order.wait(page, 1)
        return list(order._pages)

    assert asyncio.run(ask()) == [3, 1, 4]
