"""Turns: whose request is next, whose may wait, whose upload is received.

Gradio's queue is first come, first served, and as long for one caller as for all: one could fill it, and the
others would be refused.  `Turns` stands before its two methods, `push` (a request comes) and `get_events`
(the next one starts); `Uploads` before its upload.
"""

import json
from collections import Counter
from collections.abc import Iterator

from anyio.to_thread import run_sync

from demo.limits import Limits
from demo.work.quotas import Quotas, caller_of
from stm_core.errors import LimitError

REMEMBERED = 1000  # callers whose last turn is known


class Turns:
    """Stands before a Gradio queue; the methods replace the queue's own."""

    def __init__(self, queue, quotas: Quotas, limits: Limits):
        self.queue, self.quotas, self.limits = queue, quotas, limits
        self._push, self._next = queue.push, queue.get_events
        self._served: dict[tuple[str, str], int] = {}  # (lane, caller) -> when its last request started
        self._started = 0
        queue.push, queue.get_events = self.push, self.get_events

    async def push(self, body, request, username) -> tuple:
        """Let a request wait, or refuse it in one sentence."""
        function = self.queue.blocks.fns.get(body.fn_index)
        public = getattr(function, "api_visibility", "") == "public"
        caller = caller_of(request.client and request.client.host, request.headers)
        try:
            if public:
                await run_sync(self.quotas.check, caller)
            self._check_waiting(caller, body.session_hash)
        except LimitError as error:
            text = f"{str(error)[:1].upper()}{str(error)[1:]}."
            if not public:
                return False, text, "error"
            await run_sync(self.quotas.drop, caller, set(_paths(body.data)))
            # the one answer whose words gradio_client passes on
            told = {"__type__": "validate", "is_valid": False, "parameter_name": "request", "message": text}
            return False, [told], "validator_error"
        answer = await self._push(body=body, request=request, username=username)
        event = self.queue.event_ids_to_events.get(answer[1]) if answer[0] else None
        if event is not None:
            event.caller = caller
        return answer

    def get_events(self):
        """The next request: everybody's first before anybody's second, of these who waited longest since
        their last one; and no lane full of one caller's.
        """
        running = Counter((event.concurrency_id, _caller(event)) for event in self._running())
        held = []
        for name, lane in self.queue.event_queue_per_concurrency_id.items():
            if not lane.queue or lane.current_concurrency == lane.concurrency_limit:
                continue
            most = self.limits.caller_running
            if lane.concurrency_limit is not None:
                most = min(most, max(1, lane.concurrency_limit - 1))
            ahead, ranks = Counter(), {}
            for event in lane.queue:
                key = name, _caller(event)
                ranks[event] = running[key] + ahead[key], self._served.get(key, 0)
                ahead[key] += 1
            fair = sorted(lane.queue, key=ranks.__getitem__)  # stable: one caller's stay in their order
            lane.queue[:] = [event for event in fair if running[name, _caller(event)] < most]
            held.append((lane, [event for event in fair if running[name, _caller(event)] >= most]))
        try:
            found = self._next()
        finally:
            for lane, events in held:
                lane.queue += events
        if found is not None:
            self._note(*found[0])
        return found

    def _note(self, event) -> None:
        key = event.concurrency_id, _caller(event)
        self._started += 1
        self._served.pop(key, None)
        self._served[key] = self._started
        for old in list(self._served)[:-REMEMBERED]:
            del self._served[old]

    def paths(self) -> set[str]:
        """The files that waiting and running requests speak of."""
        events = [*self._waiting(), *self._running()]
        return {path for event in events if event.data for path in _paths(event.data.data)}

    def _check_waiting(self, caller: str, visitor: str | None) -> None:
        waiting = list(self._waiting())
        for count, most, whose in (
            (sum(event.session_hash == visitor for event in waiting), self.limits.visitor_waiting, "you"),
            (sum(_caller(e) == caller for e in waiting), self.limits.caller_waiting, "your address"),
        ):
            if count >= most:
                raise LimitError(
                    f"{count} requests from {whose} wait for their turn, the most here; wait for an answer, "
                    "then try again"
                )

    def _waiting(self) -> Iterator:
        for lane in list(self.queue.event_queue_per_concurrency_id.values()):
            yield from list(lane.queue)

    def _running(self) -> Iterator:
        for events in list(self.queue.active_jobs):
            yield from events or ()


class Uploads:
    """ASGI middleware: counts every upload for its caller, and refuses what is far beyond the quota."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/upload"):
            return await self.app(scope, receive, send)
        quotas = scope["app"].get_blocks().handlers.quotas
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        caller = caller_of(scope["client"] and scope["client"][0], headers)
        if not headers.get("content-length", "").isdecimal():
            return await _refuse(send, 411, "This upload does not say how long it is; send Content-Length.")
        with quotas.receiving(caller, int(headers["content-length"])):
            if not await run_sync(quotas.receives, caller):
                text = "The files from your address take all the space that they may; try again later."
                return await _refuse(send, 413, text)
            await self.app(scope, receive, self._noting(quotas, caller, send))

    def _noting(self, quotas: Quotas, caller: str, send):
        """`send` that notes the files of a good answer before its last part goes out."""
        good, body = False, b""

        async def noting(message) -> None:
            nonlocal good, body
            good = message.get("status", 200) == 200 if message["type"] == "http.response.start" else good
            body += message.get("body", b"")
            if good and message["type"] == "http.response.body" and not message.get("more_body"):
                for path in json.loads(body):
                    quotas.uploaded(caller, path)
            await send(message)

        return noting


async def _refuse(send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _caller(event) -> str:
    return getattr(event, "caller", "")


def _paths(data) -> Iterator[str]:
    """The paths of all files in a request's values."""
    if isinstance(data, dict):
        if isinstance(data.get("path"), str):
            yield data["path"]
        data = list(data.values())
    if isinstance(data, (list, tuple)):
        for value in data:
            yield from _paths(value)
