"""A fair queue: which request is next, which may wait, and which upload is accepted.

Gradio's queue is first come, first served, and has one length for all callers together: one caller could
fill it, and the others would be refused.  `FairQueue` is called before it (`demo.gradio_fixes.QueueHooks`),
`Uploads` before Gradio's upload.  The order of one visitor's own requests is kept in `demo.web.own_lines`.
"""

import json
from collections import Counter
from collections.abc import Callable

from anyio.to_thread import run_sync

from demo.draw.html import sentence
from demo.gradio_fixes import QueueHooks, paths_in
from demo.limits import Limits
from demo.work.quotas import Quotas, caller_of
from stm_core.errors import LimitError

REMEMBERED = 1000  # callers whose last turn is known
LONGEST_BODY = 8 * 2**20  # bytes of a request that is no upload: the clicks of a long API call have one


class FairQueue:
    """Lets callers take turns in the queue of a page."""

    def __init__(self, hooks: QueueHooks, quotas: Quotas, limits: Limits):
        self.hooks, self.quotas, self.limits = hooks, quotas, limits
        self._served: dict[tuple[str, str], int] = {}  # (lane, caller) -> when its last request started
        self._started = 0
        self._held: list[tuple] = []  # (lane, events) that are out of their lane while the next is chosen
        hooks.before_push(self._admit)
        hooks.before_next(self._choose)

    async def _admit(self, push: Callable, body, request) -> tuple:
        """Put a request into the queue, or refuse it with one sentence."""
        public = self.hooks.is_public(body)
        caller = caller_of(request.client and request.client.host, request.headers)
        try:
            if public:
                await run_sync(self.quotas.check, caller)
            self._check_waiting(caller, body.session_hash)
        except LimitError as error:
            if public:
                await run_sync(self.quotas.drop, caller, set(paths_in(body.data)))
            return self.hooks.refusal(sentence(str(error)), public)
        answer = await push()
        event = self.hooks.event(answer)
        if event is not None:
            event.caller = caller
        return answer

    def _choose(self, choose: Callable):
        """The next request to run.

        The first request of every caller comes before the second one of any caller.  Among the first ones,
        the caller goes first whose last turn is longest ago.  No caller may fill a lane.
        """
        running = Counter((event.concurrency_id, _caller(event)) for event in self.hooks.running())
        for name, lane in self.hooks.lanes():
            if not lane.queue or lane.concurrency_limit == lane.current_concurrency:
                continue
            most = self._most(lane.concurrency_limit)
            ahead, ranks = Counter(), {}
            for event in lane.queue:
                key = name, _caller(event)
                ranks[event] = running[key] + ahead[key], self._served.get(key, 0)
                ahead[key] += 1
            fair = sorted(lane.queue, key=ranks.__getitem__)  # stable: each caller's own order stays
            self._held.append((lane, [event for event in fair if running[name, _caller(event)] >= most]))
            lane.queue[:] = [event for event in fair if running[name, _caller(event)] < most]
        try:
            found = choose()
        finally:
            for lane, events in self._held:
                lane.queue += events
            self._held.clear()
        if found is not None:
            self._note(*found[0])
        return found

    def _most(self, limit: int | None) -> int:
        """Requests of one caller that run at once in a lane with this limit."""
        if limit is None:  # most of them wait in lines of their own (`own_lines`), but all take places
            return self.limits.caller_waiting
        return min(self.limits.caller_running, max(1, limit - 1))

    def _note(self, event) -> None:
        key = event.concurrency_id, _caller(event)
        self._started += 1
        self._served.pop(key, None)
        self._served[key] = self._started
        for old in list(self._served)[:-REMEMBERED]:
            del self._served[old]

    def keys(self, lane: str) -> list:
        """What the waiting and running requests of a lane gave as the key of their visit."""
        return [one.data.data[0] for one in self._here() if one.concurrency_id == lane and one.data.data]

    def paths(self) -> set[str]:
        """The files that waiting and running requests refer to."""
        return {path for one in self._here() for path in paths_in(one.data.data)}

    def _here(self) -> list:
        """All requests that wait or run.  For other threads too."""
        held = [event for _, events in list(self._held) for event in events]
        found = [*held, *self.hooks.waiting(), *self.hooks.running()]
        return [event for event in found if event.data]

    def _check_waiting(self, caller: str, page: str | None) -> None:
        waiting = list(self.hooks.waiting())
        for count, most, whose in (
            (sum(event.session_hash == page for event in waiting), self.limits.visitor_waiting, "you"),
            (sum(_caller(e) == caller for e in waiting), self.limits.caller_waiting, "your address"),
        ):
            if count >= most:
                raise LimitError(
                    f"{count} requests from {whose} are waiting, which is the limit; wait for an answer, "
                    "then try again"
                )


class Uploads:
    """ASGI middleware: counts every upload for its caller, and refuses what is far beyond the quota.

    Other requests are read into memory whole, so they have a limit of their own.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        upload, length = scope["path"].endswith("/upload"), headers.get("content-length", "")
        if not length.isdecimal():
            if upload or "transfer-encoding" in headers:
                text = "This request does not say how long it is; send Content-Length."
                return await _refuse(send, 411, text)
            length = "0"
        if not upload:
            if int(length) > LONGEST_BODY:
                return await _refuse(send, 413, "This request is too long; send files as uploads.")
            return await self.app(scope, receive, send)
        quotas = scope["app"].get_blocks().host.quotas
        caller = caller_of(scope["client"] and scope["client"][0], headers)
        with quotas.receiving(caller, int(length)):
            if not await run_sync(quotas.receives, caller):
                text = "The files from your address have reached the space limit; try again later."
                return await _refuse(send, 413, text)
            await self.app(scope, receive, self._noting(quotas, caller, send))

    def _noting(self, quotas: Quotas, caller: str, send):
        """A `send` that counts the uploaded files before the last part of a good answer is sent."""
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
