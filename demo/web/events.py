"""The page's wiring: every event goes to a handler, the view that it answers goes to the parts."""

from pathlib import Path

import gradio as gr

from demo.panels import views
from demo.panels.clip import Handlers
from demo.panels.mark import Marking
from demo.panels.result import Downloads
from demo.panels.track import Runs
from demo.web.gradio_fixes import sent
from demo.web.lines import Full, Lines
from demo.web.visits import Visits
from demo.work.quotas import caller_of
from demo.work.visitor import Session

# what a run's views speak of: each further part would cost the browser at every one of them
RUNNING = ("stage", "progress", "readout", "timeline", "notice", *views.BUTTONS, *views.EMPTIED)
ARRIVAL_SECONDS = 5  # a visitor's first click may be quicker than the page's own first request
LIGHT = {"queue": True, "show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 8}
# each visitor has a line of his own (demo.lines), so that no one's slow file or mask holds another's click
OWN = {**LIGHT, "concurrency_id": "own", "concurrency_limit": None}
MEDIA = {**LIGHT, "concurrency_id": "media", "concurrency_limit": 4}  # each a process that reads a clip
ASIDE = {**LIGHT, "concurrency_id": "aside", "concurrency_limit": 2}  # not short: a calibration
GPU = {**LIGHT, "concurrency_id": "gpu", "concurrency_limit": 1}


class Wiring:
    """Connects the parts' events with handlers."""

    def __init__(
        self,
        page: gr.Blocks,
        key: gr.Textbox,
        parts: dict,
        *,
        handlers: Handlers,
        marking: Marking,
        runs: Runs,
        downloads: Downloads,
    ):
        self.page, self.key, self.parts = page, key, parts
        self.handlers, self.marking, self.runs, self.downloads = handlers, marking, runs, downloads
        # an event's outputs are made anew by Gradio: the webcam's would lose its fix (demo.gradio_fixes)
        self.outputs = [part for name, part in parts.items() if name not in ("downloads", "webcam")]
        self.settings = [parts[name] for name in ("preset", "budget", "every", "size")]
        self.visits, self.lines = Visits(), Lines()
        self.left: list[str] = []  # the last tabs that were closed

    def connect(self) -> None:
        """All events of the page."""
        arrived = self.page.load(self._arrive, [self.key], [self.key], js=_WHICH_VISIT, **LIGHT)
        arrived.then(None, [self.key], None, js=_REMEMBER_VISIT)
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
        picked = self._on(parts["gallery"].pick, self._picked(handlers.pick_example), [], **MEDIA)
        latest = {**MEDIA, "trigger_mode": "always_last"}  # while it is dragged or typed
        open_clip = self._streamed(handlers.open_clip, first=True)
        opened = [
            self.arrival,
            self._on(parts["upload"].upload, open_clip, [parts["upload"]], **MEDIA),
            self._on(parts["webcam"].stop_recording, open_clip, [parts["webcam"]], **MEDIA),
            self._on(picked.then, self._in_turn(self.marking.mark_example), [], **OWN),
            self._on(parts["part"].change, self._streamed(handlers.choose_part), [parts["part"]], **latest),
        ]
        for event in opened:
            self._forecast(event.then)
            self._on(event.then, self._plain(self.downloads.player), [], **MEDIA)  # of work taken up again

    def _mark_events(self) -> None:
        parts, marking = self.parts, self.marking
        stage = parts["stage"]
        every = {**OWN, "trigger_mode": "multiple"}  # no click is lost while another is answered
        edited = self._on(stage.edit, self._from_event(marking.edit), [parts["size"]], **every)
        ordered = self._on(
            stage.order,
            self._from_event(marking.order),
            [],
            **every,  # in the order of the clicks
        )
        self._on(
            stage.seek,
            self._from_event(marking.seek, "frame"),
            [],
            **{**OWN, "trigger_mode": "always_last"},
        )
        imported = self._on(
            parts["mask_file"].upload, self._in_turn(marking.import_mask), [parts["mask_file"]], **OWN
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
        return event(function, [self.key, *inputs], outputs or self.outputs, **options)

    # adapters: a handler's view -> what Gradio takes --------------------------------------------------------

    def _show(self, view: dict) -> dict:
        shown = {
            self.parts[name]: gr.update(**value) if isinstance(value, views.Props) else value
            for name, value in view.items()
        }
        return shown or {self.parts["stage"]: gr.skip()}  # Gradio takes no empty answer

    def _plain(self, handler):
        def answer(key, request: gr.Request, *values):
            return self._show(handler(self._known(key, request), *values))

        return answer

    def _streamed(self, handler, first: bool = False):
        def answer(key, request: gr.Request, *values):
            for view in handler(self._known(key, request, first), *values):
                yield self._show(view)

        return answer

    def _in_turn(self, handler):
        async def answer(key, request: gr.Request, *values):
            return await self._queued(handler, self._known(key, request), *values)

        return answer

    def _from_event(self, handler, entry: str | None = None):
        async def answer(key, request: gr.Request, event: gr.EventData):
            return await self._queued(handler, self._known(key, request), sent(event, entry))

        async def answer_sized(key, size, request: gr.Request, event: gr.EventData):
            return await self._queued(handler, self._known(key, request), sent(event, entry), size)

        return answer_sized if handler == self.marking.edit else answer

    async def _queued(self, handler, session: Session, *values) -> dict:
        """The answer of a handler once the visitor's own requests before it are done."""
        line = "look" if handler == self.marking.seek else "marks"
        try:
            return self._show(await self.lines.run(session.folder, line, handler, session, *values))
        except Full:
            return self._show(views.refuse(session, "too many clicks are waiting; wait until they are shown"))

    def _picked(self, handler):
        def answer(key, request: gr.Request, event: gr.EventData):
            for view in handler(self._known(key, request, first=True), sent(event, "name")):
                yield self._show(view)

        return answer

    def _known(self, key: str | None, request: gr.Request, first: bool = False) -> Session:
        """The session that a key opens.  first: the page may be new and its key on the way; then the page
        gets its own session as long as that is empty, for what a page is called is no secret.
        """
        session = self.visits.find(key)
        if first and not key:
            arrived = self.visits.on(request.session_hash, ARRIVAL_SECONDS)
            session = arrived if arrived and arrived.clip is None else None
        if session is None or not Path(session.folder).is_dir():
            raise gr.Error(
                "This page's files are no longer on the server: it was started anew, or you were away for "
                "too long; reload the page.",
                print_exception=False,
            )
        session.touch()
        return session

    def _arrive(self, key: str | None, request: gr.Request) -> str:
        """A page was opened, or loaded again: so does Gradio itself when a run's connection was lost.
        key: of the session before, which goes on.  The key of the session that the page shows comes back.
        """
        self.visits.forget_the_gone()
        session = self.visits.find(key)
        if session is None or not Path(session.folder).is_dir():
            caller = caller_of(request.client and request.client.host, request.headers)
            session = self.handlers.arrive(caller)  # sweeps
            key = self.visits.begin(session)
        self.visits.show(request.session_hash, session)
        return key

    def _left(self, request: gr.Request) -> None:
        """The tab was closed, or only lost its connection: nobody can tell which."""
        session = self.visits.on(request.session_hash)
        if session is not None:
            self.handlers.leave(session)
            self.left[:] = [*self.left, request.session_hash][-100:]


# A tab keeps the key of its visit; only a page that is loaded again hands it over, not a copy of the tab.
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
