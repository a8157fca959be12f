"""Every place where the project reaches into Gradio, or works around it, and why.

Each has a test in tests/demo/test_gradio_fixes.py that fails when Gradio changes there: then look whether
the fix is still needed, and delete it if not.
"""

import inspect
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_function_description, get_upload_folder

STOPWATCH = b"""<script>{
  const request = window.requestAnimationFrame.bind(window);
  const stopwatch = (callback) => String(callback).includes("performance.now()");
  window.requestAnimationFrame = (callback) =>
    stopwatch(callback) ? setTimeout(() => request(callback), 250) : request(callback);
}</script>"""


def webcam_input(**options) -> gr.Video:
    """A webcam that hands over what the browser recorded, without sound: Gradio's own runs an ffmpeg binary
    on it, which a plain machine does not have.
    """
    wanted = {"video": {"width": {"ideal": 854}, "height": {"ideal": 480}}}  # not a camera's most
    seen = gr.WebcamOptions(mirror=False, constraints=wanted)
    part = gr.Video(sources=["webcam"], include_audio=False, webcam_options=seen, **options)
    part.preprocess = lambda payload: payload.path if payload else None
    return part


def lean_uploads() -> None:
    """Stop Gradio's gr.File from leaving an empty file for every event, and from refusing files by suffix.

    The class itself is changed, because Gradio makes the parts anew that are outputs of an event.
    """
    gr.File._process_single_file = lambda part, file: file.path


def broken_uploads(oldest: float) -> list[Path]:
    """Files of uploads that broke off before `oldest` (seconds since 1970); Gradio never removes them."""
    begun = Path(get_upload_folder()).glob("tmp*")  # a whole upload moves on to a folder of its own
    return [path for path in begun if path.is_file() and path.stat().st_mtime < oldest]


def no_history() -> dict:
    """Options of `launch` that keep Gradio from keeping visitors' clips in the browser and offering to upload
    them; its older versions have no such history, and no option for it.
    """
    known = "run_history" in inspect.signature(gr.Blocks.launch).parameters
    return {"run_history": False} if known else {}


def sent(event: gr.EventData, entry: str | None = None):
    """What the browser sent with an event: all of it, or one entry.  Gradio gives only single entries, as
    attributes.
    """
    data = event._data if isinstance(event._data, dict) else {}
    return data if entry is None else data.get(entry)


def paths_in(data: Any) -> Iterator[str]:
    """The paths of all files in the values of a request, which may be nested as deep as anybody likes."""
    rest = [data]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            if isinstance(one.get("path"), str):
                yield one["path"]
            rest += one.values()
        elif isinstance(one, (list, tuple)):
            rest += one


def docstring_of(function: Callable) -> tuple[str, dict[str, str], list[str]]:
    """(sentence, words for each parameter, words for each returned value) as Gradio's API page reads a
    docstring.
    """
    return get_function_description(function)


def describe(part: gr.components.Component, text: str, example: object = None) -> None:
    """Put our words and an example beside a value on the API page: Gradio knows only the component's."""
    schema = {**part.api_info(), "description": text, "additional_description": text}
    part.api_info = lambda: schema
    if example is not None or isinstance(part, gr.JSON):
        part.example_payload = lambda: example


class LeanAnswers(gr.Blocks):
    """A page on which parts without news cost nothing.

    Gradio (6.31 at least) makes each of them anew, with the schema of its API, for every picture of a run:
    more than half of the time that the server spends outside the network.
    """

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio's own; `predictions` is what a handler gave."""
        parts = block_fn.outputs
        known = isinstance(predictions, dict) and [one for one in parts if one in predictions]
        if not known or len(known) in (1, len(parts)) or len(known) < len(predictions):
            return await super().postprocess_data(block_fn, predictions, state)
        lean = copy(block_fn)
        lean.outputs = known
        answers = iter(await super().postprocess_data(lean, predictions, state))
        return [next(answers) if one in predictions else gr.skip() for one in parts]


class SoundValues(gr.Blocks):
    """A page that fetches no files, and refuses values that make no sense in one sentence.

    Gradio fetches what an address in the place of a file leads to, whatever its length: whole into memory and
    then onto the disk, past every limit of uploads.  Its words about a wrong value name folders and classes
    of the server, and each costs the log a traceback.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *more: Any, **named: Any) -> list[Any]:
        """As Gradio's own.  Raises gr.Error."""
        if any(path.startswith(("http://", "https://")) for path in paths_in(inputs)):
            told = "Send the file itself: this server fetches nothing from an address."
            raise gr.Error(told, print_exception=False)
        try:
            return await super().preprocess_data(block_fn, inputs, *more, **named)
        except Exception as error:
            told = "A value has a wrong type, or is a file that is not on this server; send it again."
            told = error.message if isinstance(error, gr.Error) else told
            raise gr.Error(told, print_exception=False) from error


class QueueHooks:
    """The queue of a page: what is in it, and what is asked before a request waits and before one starts.

    Gradio has limits for the whole queue and for each of its lanes, none for a caller.
    """

    def __init__(self, page: gr.Blocks):
        self._queue = page._queue

    def before_push(self, admit: Callable) -> None:
        """Let `await admit(push, body, request)` answer in the place of `await push()`."""
        push = self._queue.push

        async def pushed(body, request, username) -> tuple:
            return await admit(partial(push, body=body, request=request, username=username), body, request)

        self._queue.push = pushed

    def before_next(self, choose: Callable) -> None:
        """Let `choose(next)` answer for `next()`, which takes the first request of a free lane."""
        self._queue.get_events = partial(choose, self._queue.get_events)

    def lanes(self) -> list[tuple[str, Any]]:
        """Each lane by its name; a lane has `queue` (waiting events), `current_concurrency` and
        `concurrency_limit`.
        """
        return list(self._queue.event_queue_per_concurrency_id.items())

    def waiting(self) -> Iterator:
        """All events that wait."""
        for _, lane in self.lanes():
            yield from list(lane.queue)

    def running(self) -> Iterator:
        """All events that are being answered."""
        for events in list(self._queue.active_jobs):
            yield from events or ()

    def is_public(self, body) -> bool:
        """Whether a request is for the web API."""
        return getattr(self._queue.blocks.fns.get(body.fn_index), "api_visibility", "") == "public"

    def refusal(self, text: str, public: bool) -> tuple:
        """What `push` answers instead of letting a request wait."""
        if not public:
            return False, text, "error"
        # the one answer whose words gradio_client passes on
        told = {"__type__": "validate", "is_valid": False, "parameter_name": "request", "message": text}
        return False, [told], "validator_error"

    def event(self, answer: tuple):
        """The event that `push` let wait, or None."""
        return self._queue.event_ids_to_events.get(answer[1]) if answer[0] else None


class Stopwatch:
    """ASGI middleware: slows a stopwatch that Gradio (6.19 to 6.31 at least) never stops.

    Its loading screen is taken away while its stopwatch runs, which then asks for sixty animation frames a
    second for as long as the page is open: between a tenth and a third of a core on a machine without a GPU,
    and that core may be the one that computes.  Four a second are enough.  The script stands at the head of
    the page, before Gradio's own; all else goes through.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            return await self.app(scope, receive, send)
        head, body = {}, b""

        async def whole(message) -> None:
            nonlocal head, body
            if message["type"] == "http.response.start":
                head = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = body.replace(b"<head>", b"<head>" + STOPWATCH, 1)
            kept = [(name, value) for name, value in head["headers"] if name.lower() != b"content-length"]
            await send({**head, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, whole)


class ClosedDoors:
    """ASGI middleware: what Gradio offers beside the page, and nobody needs here, does not exist.

    A deep link writes all values of a page into a file and into the source of the page that it opens, also
    the key of the visit, and is made for whoever knows what Gradio calls the page.  A function of a component
    takes a thousand files into memory at once, and a screen recording goes to an ffmpeg without a guard; no
    quota counts them.
    """

    DOORS = ("deep_link", "component_server", "process_recording")

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"].rstrip("/").rpartition("/")[2] in self.DOORS:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send)
