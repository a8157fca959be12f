"""Adapters between Gradio's events and the panels' handlers: event -> visitor -> view -> parts."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from anyio import to_thread

from demo.draw import html
from demo.gradio_fixes import sent as sent_by
from demo.panels.base import EMPTIED, Change, Host, Props, View
from demo.web.own_lines import Full, OwnLines
from demo.web.sent_order import SentOrder
from demo.web.visits import Visits
from demo.work.quotas import caller_of
from demo.work.shown import GONE, empty_state
from demo.work.visitor import Overtaken, Visitor

MOST_TURNS = 2**53  # what a browser can count to
ARRIVAL_SECONDS = 5  # to wait for a page's load event: a visitor's first click may come before it
LIGHT = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 8}
LANES = {
    "": LIGHT,
    # each visitor has queues of their own (demo.web.own_lines): a slow file delays nobody else's clicks
    "own": {**LIGHT, "concurrency_id": "own", "concurrency_limit": None},
    "media": {**LIGHT, "concurrency_id": "media", "concurrency_limit": 4},  # each in a process of its own
    "aside": {**LIGHT, "concurrency_id": "aside", "concurrency_limit": 2},  # not short: a calibration
    "gpu": {**LIGHT, "concurrency_id": "gpu", "concurrency_limit": 1},
}


class _Gone(Exception):
    """There is no visitor with the key that a page sent."""


def _gone() -> View:
    """What a page shows then."""
    return View(notice=html.notice(GONE), stage=empty_state(GONE))


class Events:
    """Connects the panels' events to their handlers; knows the visitors."""

    def __init__(self, host: Host, page: gr.Blocks, key: gr.Textbox, parts: dict[str, Any]):
        self.host, self.page, self.key, self.parts = host, page, key, parts
        live = ["notice", *EMPTIED, *(name for panel in host.panels for name in panel.live)]
        self.live = [parts[name] for name in dict.fromkeys(live) if name in parts]
        self.visits, self.lines, self.order = Visits(), OwnLines(host.limits.visitor_waiting), SentOrder()
        self.left: list[str] = []  # the last tabs that were closed
        self._sources: dict[str, list[Callable]] = defaultdict(list)  # word -> events that announce it
        self._waiting: dict[str, list[Callable]] = defaultdict(list)  # word -> handlers for them

    def connect(self) -> None:
        """All events of the page."""
        arrived = self.page.load(self._arrive, [self.key], [self.key], js=_WHICH_VISIT, **LIGHT)
        arrived.then(None, [self.key], None, js=_REMEMBER_VISIT)
        self._lead(arrived, "arrived")
        self.page.unload(self._left)
        for panel in self.host.panels:
            panel.wire(self)

    def part(self, name: str) -> Any:
        """A part of any panel, by name."""
        return self.parts[name]

    def on(
        self,
        event: Callable | str,
        handler: Callable,
        inputs: Sequence[Any] = (),
        *,
        lane: str = "",
        line: str = "marks",
        leads_to: str = "",
        newest: bool = False,
        live: bool = False,
        first: bool = False,
        sent: str | bool = False,
        given: tuple = (),
        trigger_mode: str = "multiple",
        **how: Any,
    ) -> Any:
        """Call a handler with the visitor, what was `given` or `sent`, and the values of `inputs`.

        event: a part's event, or a word that other events announce (see leads_to).
        inputs: parts, or their names.
        lane: requests in one lane share its limit.
        line: in the lane "own", which of the visitor's own queues.
        newest: in the lane "own", a request that still waits when the next one comes is not answered.
        leads_to: words that this event announces, separated by spaces.
        live: the event updates only what changes during a run.
        first: the page may be so new that it has no key yet.
        sent: the handler gets what the browser sent with the event: all of it, or the entry of this name.
        trigger_mode: Gradio's, for an event that comes while the one before is being answered.  "multiple"
            sends it too.  "once" forgets it: for buttons that make a file.  "always_last" sends the last one
            afterwards: for what depends on `inputs` alone, because Gradio sends again what was sent before.
        """
        if isinstance(event, str):

            def connect(then: Callable) -> None:
                known = {"leads_to": leads_to, "given": given, "trigger_mode": trigger_mode}
                self.on(then, handler, inputs, lane=lane, line=line, **known, **how)

            self._waiting[event].append(connect)
            for source in self._sources[event]:
                connect(source)
            return None
        found = [self.key, *(self.parts[one] if isinstance(one, str) else one for one in inputs)]
        answer = self._adapter(handler, line if lane == "own" else "", newest, first, sent, given)
        outputs = self.live if live else list(self.parts.values())
        done = event(answer, found, outputs, trigger_mode=trigger_mode, **{**LANES[lane], **how})
        for word in leads_to.split():
            self._lead(done, word)
        return done

    def _lead(self, event: Any, word: str) -> None:
        self._sources[word].append(event.then)
        for connect in self._waiting[word]:
            connect(event.then)

    # adapters ---------------------------------------------------------------------------------------------

    def _adapter(
        self, handler: Callable, line: str, newest: bool, first: bool, sent: str | bool, given: tuple
    ) -> Callable:
        """A function for Gradio, which looks at the types of the first parameters."""

        def known(key: str, request: gr.Request, event: gr.EventData, values: tuple) -> tuple:
            told = (sent_by(event, None if sent is True else sent),) if sent else given
            return self._known(key, request, first), *told, *values

        async def queued(key: str, request: gr.Request, event: gr.EventData, *values: Any):
            turn = sent_by(event, "turn")
            place = (request.session_hash, turn) if type(turn) is int and 0 < turn < MOST_TURNS else None
            try:
                return await self._queued(line, newest, place, handler, *known(key, request, event, values))
            except _Gone:
                return self._show(_gone())

        def stream(key: str, request: gr.Request, event: gr.EventData, *values: Any):
            told = False
            try:
                with closing(handler(*known(key, request, event, values))) as found:
                    for view in found:
                        told = True
                        yield self._show(view)
            except _Gone:
                yield self._show(_gone())
                return
            if not told:  # Gradio would empty every part of the page
                yield self._show(View())

        def plain(key: str, request: gr.Request, event: gr.EventData, *values: Any):
            try:
                return self._show(handler(*known(key, request, event, values)))
            except _Gone:
                return self._show(_gone())

        return queued if line else stream if inspect.isgeneratorfunction(handler) else plain

    async def _queued(
        self,
        line: str,
        newest: bool,
        place: tuple[str | None, int] | None,
        handler: Callable,
        visitor: Visitor,
        *values: Any,
    ) -> dict:
        """Run a handler after the visitor's earlier requests; returns its answer.

        place: the page, and the request's turn there, where the browser gave it one.
        """
        edit = line == "marks"
        visitor.edits += edit
        try:
            if place:
                page, turn = place
                await self.order.wait((visitor.folder, page), turn)  # anybody may send another's page
            who = visitor.caller, visitor.folder
            view = await self.lines.run(*who, line, handler, visitor, *values, newest=newest)
        except Overtaken:
            view = View()
        except Full:
            told = html.notice("Too many clicks are waiting; wait until their masks are shown.")
            view = await to_thread.run_sync(self.host.complete, visitor, View(Change.MARKS, notice=told))
        finally:
            visitor.edits -= edit
        return self._show(await self._answered(visitor, *place, view) if place else view)

    async def _answered(self, visitor: Visitor, page: str | None, turn: int, view: View) -> View:
        """The view, in which the stage is told that the page's edit `turn` was answered."""
        if "stage" not in view:
            view = await to_thread.run_sync(self.host.complete, visitor, View(Change.STAGE, **view))
        view["stage"]["answered"].append(turn)
        if self.visits.on(page or "") is visitor:  # not when the page was loaded again since
            visitor.answered.append(turn)
        return view

    def _show(self, view: View) -> dict:
        """A view as Gradio takes it."""
        shown = {
            self.parts[name]: gr.update(**value) if isinstance(value, Props) else value
            for name, value in view.items()
        }
        return shown or {self.parts["notice"]: gr.skip()}  # Gradio takes no empty answer

    # who sent it --------------------------------------------------------------------------------------------

    def _known(self, key: str | None, request: gr.Request, first: bool = False) -> Visitor:
        """The visitor with this key.  Raises _Gone when there is none any more.

        first: the page may be so new that it has no key yet.  Then its session hash says who it is, but only
        until a clip is open, because that hash is no secret.
        """
        visitor = self.visits.find(key)
        if first and not key:
            arrived = self.visits.on(request.session_hash, ARRIVAL_SECONDS)
            visitor = arrived if arrived and arrived.work is None else None
        if visitor is None or not Path(visitor.folder).is_dir():
            raise _Gone
        visitor.touch()
        return visitor

    def _arrive(self, key: str | None, request: gr.Request) -> str:
        """A page was loaded; returns the key of the visit that it shows.

        Gradio itself loads a page again when the connection of a run was lost.
        key: of an earlier visit, which then goes on.
        """
        visitor = self.visits.find(key)
        if visitor is None or not Path(visitor.folder).is_dir():
            caller = caller_of(request.client and request.client.host, request.headers)
            visitor = self.host.new_visitor(caller)
            visitor.forgotten = bool(key)
            key = self.visits.begin(visitor)
        visitor.reloaded, visitor.awaited = visitor.work, max(visitor.coming.values(), default=0)
        self.visits.show(request.session_hash, visitor)
        visitor.answered.clear()  # a page counts its edits from the start
        return key

    def _left(self, request: gr.Request) -> None:
        """A tab was closed, or lost its connection; both look the same."""
        visitor = self.visits.on(request.session_hash)
        if visitor is not None:
            visitor.leave()
            self.left[:] = [*self.left, request.session_hash][-100:]


# A tab keeps the key of its visit. It sends the key when the page is loaded again, or when somebody goes
# back to it. A copy of the tab looks like going back, but then the first page still holds its lock. The name
# of the lock is random, because other pages can read it. Where the browser forbids storage, a visit ends with
# the page. Where it has no locks, because they need https or localhost, nobody can go back to a visit.
_WHICH_VISIT = """async () => {
  try {
    const visit = sessionStorage.getItem("stm_visit"), name = sessionStorage.getItem("stm_lock");
    const { type } = performance.getEntriesByType("navigation")[0];
    const shown = async () => (await navigator.locks.query()).held.some((lock) => lock.name === name);
    const again = type === "reload" || (type === "back_forward" && !(await shown()));
    return [(again && visit) || ""];
  } catch { return [""]; }
}"""
_REMEMBER_VISIT = """(visit) => {
  try {
    const other = sessionStorage.getItem("stm_visit") !== visit;
    if (other) sessionStorage.setItem("stm_lock", `stm ${Math.random()}`);
    sessionStorage.setItem("stm_visit", visit);
    const untilThePageIsLeft = () => new Promise(() => {});
    navigator.locks?.request(sessionStorage.getItem("stm_lock"), untilThePageIsLeft).catch(() => {});
  } catch {}
}"""
