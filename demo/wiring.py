"""The page's wiring: every event goes to a handler, the view that it answers goes to the parts."""

import threading
from pathlib import Path

import gradio as gr

from demo import views
from demo.downloads import Downloads
from demo.handlers import Handlers
from demo.marking import Marking
from demo.quotas import caller_of
from demo.runs import Runs
from demo.session import Session

# what a run's views speak of: each further part would cost the browser at every one of them
RUNNING = ("stage", "progress", "readout", "timeline", "notice", *views.BUTTONS, *views.EMPTIED)
ARRIVAL_SECONDS = 5  # a visitor's first click may be quicker than the page's own first request
LIGHT = {"queue": True, "show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 8}
# short answers of the network: never behind somebody's whole run
NETWORK = {**LIGHT, "concurrency_id": "click", "concurrency_limit": 1}
# not short, and no click waits for them: a calibration, a mask file that may be hostile
MEDIA = {**LIGHT, "concurrency_id": "media", "concurrency_limit": 4}  # each a process that reads a clip
ASIDE = {**LIGHT, "concurrency_id": "aside", "concurrency_limit": 2}
GPU = {**LIGHT, "concurrency_id": "gpu", "concurrency_limit": 1}


class Wiring:
    """Connects the parts' events with handlers."""

    def __init__(
        self,
        page: gr.Blocks,
        session: gr.State,
        visit: gr.Textbox,
        parts: dict,
        *,
        handlers: Handlers,
        marking: Marking,
        runs: Runs,
        downloads: Downloads,
    ):
        self.page, self.session, self.visit, self.parts = page, session, visit, parts
        self.handlers, self.marking, self.runs, self.downloads = handlers, marking, runs, downloads
        # an event's outputs are made anew by Gradio, without what demo.house put in place in the webcam's
        self.outputs = [part for name, part in parts.items() if name not in ("downloads", "webcam")]
        self.settings = [parts[name] for name in ("preset", "budget", "every", "size")]
        self.visitors: dict[str, Session] = {}
        self.arrived = threading.Condition()  # somebody came into `visitors`
        self.left: list[str] = []  # the last tabs that were closed

    def connect(self) -> None:
        """All events of the page."""
        told = [self.session, self.visit]
        arrived = self.page.load(self._arrive, [self.visit], told, js=_WHICH_VISIT, **LIGHT)
        arrived.then(None, [self.visit], None, js=_REMEMBER_VISIT)
        self.arrival = self._on(arrived.then, self._streamed(self.handlers.come_back), [], **LIGHT)
        self.page.unload(self._left)
        self._clip_events()
        self._mark_events()
        self._run_events()
        for kind, button in self.parts["downloads"].items():
            make = self._streamed(lambda session, kind=kind: self.downloads.make(session, kind))
            made = self._on(button.click, make, [], **MEDIA)
            made.success(None, None, None, js=_PRESS_DOWNLOAD)

    def _clip_events(self) -> None:
        parts, handlers = self.parts, self.handlers
        picked = self._on(
            parts["gallery"].pick, self._picked(handlers.pick_example), [], **MEDIA
        )
        latest = {**MEDIA, "trigger_mode": "always_last"}  # while it is dragged or typed
        open_clip = self._streamed(handlers.open_clip, first=True)
        opened = [
            self.arrival,
            self._on(parts["upload"].upload, open_clip, [parts["upload"]], **MEDIA),
            self._on(parts["webcam"].stop_recording, open_clip, [parts["webcam"]], **MEDIA),
            self._on(picked.then, self._plain(self.marking.mark_example), [], **NETWORK),
            self._on(parts["part"].change, self._streamed(handlers.choose_part), [parts["part"]], **latest),
        ]
        for event in opened:
            self._forecast(event.then)
            self._on(event.then, self._plain(self.downloads.player), [], **MEDIA)  # of work taken up again

    def _mark_events(self) -> None:
        parts, marking = self.parts, self.marking
        stage = parts["stage"]
        every = {**NETWORK, "trigger_mode": "multiple"}  # no click is lost while another is answered
        edited = self._on(stage.edit, self._from_event(marking.edit), [parts["size"]], **every)
        ordered = self._on(
            stage.order, self._from_event(marking.order), [], **every  # in the order of the clicks
        )
        self._on(
            stage.seek,
            self._from_event(marking.seek, "frame"),
            [],
            **{**LIGHT, "trigger_mode": "always_last"},
        )
        imported = self._on(
            parts["mask_file"].upload, self._plain(marking.import_mask), [parts["mask_file"]], **ASIDE
        )
        self._on(ordered.then, self._plain(self.downloads.player), [], **MEDIA)  # without a deleted object
        for event in (edited, ordered, imported):
            self._forecast(event.then)
        for setting in self.settings:
            self._forecast(setting.change)

    def _run_events(self) -> None:
        parts, runs = self.parts, self.runs
        told = [parts[name] for name in RUNNING]
        shown = {
            **GPU,
            "show_progress": "minimal",
            "show_progress_on": parts["progress"],
        }  # the place in the queue
        for button, inputs in ((parts["track"], []), (parts["fix"], [parts["direction"]])):
            ready = self._on(button.click, self._plain(runs.get_ready), [], **{**LIGHT, "queue": False})
            ran = self._on(ready.then, self._streamed(runs.track), [*self.settings, *inputs], told, **shown)
            self._on(ran.then, self._plain(self.downloads.player), [], **MEDIA)
        self._on(parts["stop"].click, self._plain(runs.stop), [], **{**LIGHT, "queue": False})

    def _forecast(self, event) -> None:
        self._on(event, self._plain(self.runs.forecast), self.settings, **ASIDE)

    def _on(self, event, function, inputs: list, outputs: list | None = None, **options):
        return event(function, [self.session, *inputs], outputs or self.outputs, **options)

    # adapters: a handler's view -> what Gradio takes --------------------------------------------------------

    def _show(self, view: dict) -> dict:
        shown = {
            self.parts[name]: gr.update(**value) if isinstance(value, views.Props) else value
            for name, value in view.items()
        }
        return shown or {self.parts["stage"]: gr.skip()}  # Gradio takes no empty answer

    def _plain(self, handler):
        def answer(session, request: gr.Request, *values):
            return self._show(handler(self._known(session, request), *values))

        return answer

    def _streamed(self, handler, first: bool = False):
        def answer(session, request: gr.Request, *values):
            for view in handler(self._known(session, request, first), *values):
                yield self._show(view)

        return answer

    def _from_event(self, handler, key: str | None = None):
        def answer(session, request: gr.Request, event: gr.EventData):
            return self._show(handler(self._known(session, request), _value(event, key)))

        def answer_sized(session, size, request: gr.Request, event: gr.EventData):
            return self._show(handler(self._known(session, request), _value(event, key), size))

        return answer_sized if handler == self.marking.edit else answer

    def _picked(self, handler):
        def answer(session, request: gr.Request, event: gr.EventData):
            for view in handler(self._known(session, request, first=True), _value(event, "name")):
                yield self._show(view)

        return answer

    def _known(self, session, request: gr.Request, first: bool = False) -> Session:
        """The session of the page that asks.  first: the page may be new, and its arrival on the way."""
        if session is None:
            here = request.session_hash
            with self.arrived:
                self.arrived.wait_for(lambda: here in self.visitors, ARRIVAL_SECONDS if first else 0)
                session = self.visitors.get(here)
        if not isinstance(session, Session) or not Path(session.folder).is_dir():
            raise gr.Error(
                "This page's files are no longer on the server: it was started anew, or you were away for "
                "too long; reload the page.",
                print_exception=False,
            )
        session.touch()
        return session

    def _arrive(self, visit: str, request: gr.Request) -> tuple[Session, str]:
        """A page was opened, or loaded again: so does Gradio itself when a run's connection was lost.
        visit: the folder's name of the session before, which goes on.
        """
        with self.arrived:
            self.visitors = {key: one for key, one in self.visitors.items() if Path(one.folder).is_dir()}
            old = next((key for key, one in self.visitors.items() if Path(one.folder).name == visit), None)
            session = self.visitors.pop(old, None)
        caller = caller_of(request.client and request.client.host, request.headers)
        session = self.handlers.arrive(caller) if session is None else session  # sweeps
        with self.arrived:
            self.visitors[request.session_hash] = session
            self.arrived.notify_all()
        return session, Path(session.folder).name

    def _left(self, request: gr.Request) -> None:
        """The tab was closed, or only lost its connection: nobody can tell which."""
        session = self.visitors.get(request.session_hash)
        if session is not None:
            self.handlers.leave(session)
            self.left[:] = [*self.left, request.session_hash][-100:]


def _value(event: gr.EventData, key: str | None):
    """What the browser sent with an event: all of it, or one entry."""
    data = event._data if isinstance(event._data, dict) else {}
    return data if key is None else data.get(key)


# A tab keeps the name of its visit; only a page that is loaded again hands it over, not a copy of the tab.
# Where the browser forbids storage, a visit ends with the page.
_WHICH_VISIT = """() => {
  try {
    const again = performance.getEntriesByType("navigation")[0].type === "reload";
    return [(again && sessionStorage.getItem("stm_visit")) || ""];
  } catch { return [""]; }
}"""
_REMEMBER_VISIT = """(visit) => { try { sessionStorage.setItem("stm_visit", visit); } catch {} }"""
_PRESS_DOWNLOAD = """() => {
  const link = document.querySelector("#file a, a#file, button#file, #file button, #file");
  if (link) link.click();
}"""
