"""The page's layout and wiring, and nothing else: parts have names, events go to handlers, views come back.

Files under a visitor's folder are served by address; nobody can guess the folder's name (128 random bits).
"""

import html
import threading
from pathlib import Path

import gradio as gr

from demo import api, examples, render, views
from demo.engine import Engine
from demo.guard import Guard
from demo.handlers import Handlers
from demo.house import file_input, keep_house, period
from demo.limits import Limits
from demo.runs import Runs
from demo.session import Session
from stm_core.config import PRESETS

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "assets" / "examples"
GRACE_SECONDS = 60  # a closed tab may only have lost its connection
LIGHT = {"queue": True, "show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 8}
NETWORK = {
    **LIGHT,
    "concurrency_id": "click",
    "concurrency_limit": 1,
}  # short: never behind somebody's whole run
GPU = {**LIGHT, "concurrency_id": "gpu", "concurrency_limit": 1}
STAGE_PARTS = ("stage", "notice", "track", "stop", "fix", "results")


def build_app(model, limits: Limits, examples_folder: Path = EXAMPLES) -> gr.Blocks:
    """The page over a loaded model; `launch(**launch_options(limits))` it."""
    guard = Guard(limits)
    engine = Engine(model, guard)
    handlers, runs = Handlers(engine, guard, limits, examples_folder), Runs(engine, guard, limits)
    with gr.Blocks(
        title="STM Live",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(period(limits.lifetime_minutes), 60 * limits.lifetime_minutes),
    ) as page:
        session = gr.State(time_to_live=60 * limits.lifetime_minutes, delete_callback=handlers.leave)
        parts = _layout(limits, examples.gallery(guard, examples_folder, limits.root))
        wiring = _Wiring(page, session, parts, handlers, runs)
        wiring.connect()
        api.add(handlers, runs)
    page.queue(max_size=limits.queue_size, default_concurrency_limit=4)
    page.handlers, page.left = handlers, wiring.left
    keep_house(handlers.sweep, limits.lifetime_minutes)
    return page


def launch_options(limits: Limits) -> dict:
    """What `launch` must be told, decided once."""
    limits.root.mkdir(parents=True, exist_ok=True)
    return {
        "theme": _theme(),
        "css": (HERE / "page.css").read_text(),
        "show_error": True,
        "max_file_size": limits.upload_mb * 2**20,
        "allowed_paths": [str(limits.root)],
        "blocked_paths": [str(HERE.parent)],  # the program, its weights, and whatever else lies beside it
        "run_history": False,  # it would keep every visitor's clips in the browser and offer to upload them
        "footer_links": ["api", "settings"],
        "state_session_capacity": 1000,
        "ssr_mode": False,
    }


def _theme() -> gr.themes.Base:
    font = [
        "system-ui",
        "-apple-system",
        "Segoe UI",
        "Roboto",
        "sans-serif",
    ]  # nothing is fetched from elsewhere
    return gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=font,
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
        radius_size="md",
    ).set(
        button_large_radius="8px",
        button_small_radius="8px",
        block_label_background_fill="transparent",
        block_title_text_weight="550",
        block_title_text_size="0.9rem",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_900",
    )


# layout
# ------------------------------------------------------------------------------------------------------


def _layout(limits: Limits, gallery: str) -> dict:
    parts = {}
    gr.HTML(
        '<header class="stm-head"><h1>STM Live</h1><p>Mark an object on one frame; a space-time memory '
        "network "
        "follows it through the clip, and shows what it remembers.</p></header>"
    )
    with gr.Row(equal_height=False, elem_classes="stm-columns"):
        with gr.Column(scale=7, min_width=340):
            _clip_card(parts, limits, gallery)
            _mark_card(parts)
        with gr.Column(scale=5, min_width=340):
            _memory_card(parts, limits)
            _track_card(parts)
            _result_card(parts)
    return parts


def _card(number: int, title: str, text: str) -> None:
    gr.HTML(
        f'<h2 class="stm-title"><b>{number}</b>{html.escape(title)}<small>{html.escape(text)}</small></h2>'
    )


def _clip_card(parts: dict, limits: Limits, gallery: str) -> None:
    with gr.Group(elem_classes="stm-card"):
        _card(1, "Clip", "upload, record, or pick an example")
        with gr.Tabs(elem_classes="stm-tabs"):
            with gr.Tab("Upload"):
                parts["upload"] = file_input(
                    label="A clip, a ZIP of frames, or an “Everything” ZIP to resume",
                    height=84,
                    elem_id="upload",
                    file_types=["video", ".mkv", ".avi", ".mov", ".gif", ".webp", ".apng", ".zip"],
                )
            with gr.Tab("Webcam"):
                parts["webcam"] = gr.Video(
                    label="Record a few seconds",
                    sources=["webcam"],
                    height=240,
                    elem_id="webcam",
                    webcam_options=gr.WebcamOptions(mirror=False),
                    buttons=[],
                )
        parts["gallery"] = gr.HTML(
            gallery,
            elem_classes="stm-gallery",
            visible=bool(gallery),
            js_on_load="element.addEventListener('click', (event) => "
            "{ const card = event.target.closest('[data-example]');"
            " if (card) trigger('pick', { name: card.dataset.example }); });",
        )
        parts["notice"] = gr.HTML("", elem_id="notice")
        parts["report"] = gr.HTML(render.clip_report(None, limits), elem_id="report")
        parts["part"] = gr.Slider(
            0,
            1,
            value=0,
            step=0.1,
            visible=False,
            elem_id="part",
            label="This clip is longer than what is tracked here: start at second",
            info="Release to choose the part; nothing outside it is processed.",
        )


def _mark_card(parts: dict) -> None:
    with gr.Group(elem_classes="stm-card"):
        _card(2, "Mark", "click, or paint; on any frame")
        parts["stage"] = gr.HTML(
            {"clip": None, "welcome": render.WELCOME},
            html_template=(HERE / "stage.html").read_text(),
            elem_id="stage",
            js_on_load=(HERE / "stage.js").read_text(),
            apply_default_css=False,
        )
        with gr.Accordion("Mask file instead", open=False):
            parts["mask_file"] = file_input(
                label="A mask for the frame that is shown: PNG in palette colours, or black and white",
                height=84,
                file_types=[".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".jpg", ".jpeg"],
                elem_id="mask",
            )
    with gr.Group(elem_classes="stm-card"):
        parts["timeline"] = gr.HTML(
            '<p class="stm-faint">After tracking, each object’s area and confidence appear here, frame by '
            "frame.</p>",
            elem_id="timeline",
            js_on_load=(HERE / "timeline.js").read_text(),
            apply_default_css=False,
        )


def _memory_card(parts: dict, limits: Limits) -> None:
    with gr.Group(elem_classes="stm-card"):
        _card(3, "Memory", "what the network may keep")
        parts["preset"] = gr.Dropdown(
            [(render.PRESETS[name][0], name) for name in reversed(PRESETS)],
            value="bounded",
            label="Strategy",
            elem_id="preset",
            info="Which frames are stored, and what is dropped.",
        )
        with gr.Row():
            parts["budget"] = gr.Number(
                64,
                label="Budget, MB",
                minimum=0.1,
                maximum=limits.max_budget_mb,
                elem_id="budget",
                min_width=96,
                info="Most bytes stored.",
            )
            parts["every"] = gr.Number(
                5,
                label="Every n-th",
                minimum=1,
                maximum=1000,
                precision=0,
                elem_id="every",
                min_width=96,
                info="1 stores all frames.",
            )
            parts["size"] = gr.Dropdown(
                list(render.SIZES.items()),
                value=360,
                label="Size, px",
                elem_id="size",
                min_width=120,
                info="Short side seen.",
            )
        parts["prediction"] = gr.HTML(
            '<p class="stm-faint">Open a clip to see what a run would take, before it runs.</p>',
            elem_id="prediction",
            apply_default_css=False,
        )


def _track_card(parts: dict) -> None:
    with gr.Group(elem_classes="stm-card"):
        _card(4, "Track", "watch it work")
        with gr.Row():
            parts["track"] = gr.Button(
                "Track", variant="primary", interactive=False, elem_id="track", min_width=90
            )
            parts["stop"] = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop", min_width=90)
        parts["progress"] = gr.HTML("", elem_id="progress", min_height=46)
        parts["readout"] = gr.HTML(
            render.readout([], 100, (), (), 0, None, 0, "cpu"), elem_id="readout", apply_default_css=False
        )


def _result_card(parts: dict) -> None:
    with gr.Group(elem_classes="stm-card", visible=False) as parts["results"]:
        _card(5, "Result", "fix it, take it away")
        parts["direction"] = gr.Radio(
            ["forward", "backward", "both"],
            value="forward",
            label="Fix: from the corrected frame, go on",
            info="Click or paint a wrong frame right first; only what follows is computed again.",
            elem_id="direction",
        )
        parts["fix"] = gr.Button("Continue", interactive=False, elem_id="fix")
        parts["player"] = gr.Video(
            label="Overlay, with the clip’s sound", interactive=False, elem_id="player", height=300
        )
        gr.HTML('<p class="stm-faint">Downloads: one mask per frame, same size, same count.</p>')
        parts["downloads"] = {}
        labels = {
            "overlay": "Overlay MP4",
            "palette": "Masks, palette PNG",
            "binary": "Masks, black/white",
            "alpha": "Cut-out, RGBA WebM",
            "green": "Cut-out, green MP4",
            "report": "Report JSON",
            "everything": "Everything (can be resumed)",
        }
        with gr.Row(elem_classes="stm-downloads"):
            for kind, label in labels.items():
                parts["downloads"][kind] = gr.Button(label, size="sm", min_width=130, elem_id=f"get-{kind}")
        parts["made"] = gr.HTML("", elem_id="made", min_height=30)
        parts["file"] = gr.DownloadButton("Download", elem_id="file", elem_classes="stm-hidden")


# wiring
# ------------------------------------------------------------------------------------------------------


class _Wiring:
    """Connects the parts' events with handlers."""

    def __init__(self, page: gr.Blocks, session: gr.State, parts: dict, handlers: Handlers, runs: Runs):
        self.page, self.session, self.parts = page, session, parts
        self.handlers, self.runs = handlers, runs
        self.outputs = [part for name, part in parts.items() if name != "downloads"]
        self.settings = [parts[name] for name in ("preset", "budget", "every", "size")]
        self.visitors: dict[str, Session] = {}
        self.left: list[str] = []  # the last tabs that were closed

    def connect(self) -> None:
        """All events of the page."""
        self.page.load(self._arrive, None, self.session, **LIGHT)
        self.page.unload(self._left)
        self._clip_events()
        self._mark_events()
        self._run_events()
        for kind, button in self.parts["downloads"].items():
            made = self._on(
                button.click, self._streamed(lambda s, kind=kind: self.runs.download(s, kind)), [], **LIGHT
            )
            made.success(None, None, None, js=_PRESS_DOWNLOAD)

    def _clip_events(self) -> None:
        parts, handlers = self.parts, self.handlers
        opened = [
            self._on(parts["upload"].upload, self._streamed(handlers.open_clip), [parts["upload"]], **LIGHT),
            self._on(
                parts["webcam"].stop_recording, self._streamed(handlers.open_clip), [parts["webcam"]], **LIGHT
            ),
            self._on(
                parts["gallery"].pick,
                self._from_event(handlers.pick_example, "name", stream=True),
                [],
                **LIGHT,
            ),
            self._on(parts["part"].release, self._streamed(handlers.choose_part), [parts["part"]], **LIGHT),
        ]
        for event in opened:
            self._forecast(event.then)

    def _mark_events(self) -> None:
        parts, handlers = self.parts, self.handlers
        stage = parts["stage"]
        every = {**NETWORK, "trigger_mode": "multiple"}  # no click is lost while another is answered
        edited = self._on(stage.edit, self._from_event(handlers.edit), [parts["size"]], **every)
        ordered = self._on(
            stage.order, self._from_event(handlers.order), [], **{**LIGHT, "trigger_mode": "multiple"}
        )
        self._on(
            stage.seek,
            self._from_event(handlers.seek, "frame"),
            [],
            **{**LIGHT, "trigger_mode": "always_last"},
        )
        imported = self._on(
            parts["mask_file"].upload, self._plain(handlers.import_mask), [parts["mask_file"]], **LIGHT
        )
        for event in (edited, ordered, imported):
            self._forecast(event.then)
        for setting in self.settings:
            self._forecast(setting.change)

    def _run_events(self) -> None:
        parts, runs = self.parts, self.runs
        shown = {
            **GPU,
            "show_progress": "minimal",
            "show_progress_on": parts["progress"],
        }  # the place in the queue
        for button, inputs in ((parts["track"], []), (parts["fix"], [parts["direction"]])):
            ready = self._on(button.click, self._plain(runs.get_ready), [], **{**LIGHT, "queue": False})
            ran = self._on(ready.then, self._streamed(runs.track), [*self.settings, *inputs], **shown)
            self._on(ran.then, self._plain(runs.player), [], **LIGHT)
        self._on(parts["stop"].click, self._plain(runs.stop), [], **{**LIGHT, "queue": False})

    def _forecast(self, event) -> None:
        self._on(event, self._plain(self.runs.forecast), self.settings, **NETWORK)

    def _on(self, event, function, inputs: list, **options):
        return event(function, [self.session, *inputs], self.outputs, **options)

    # adapters: a handler's view -> what Gradio takes --------------------------------------------------------

    def _show(self, view: dict) -> dict:
        return {
            self.parts[name]: gr.update(**value) if isinstance(value, views.Props) else value
            for name, value in view.items()
        }

    def _plain(self, handler):
        def answer(session, *values):
            return self._show(handler(self._known(session), *values))

        return answer

    def _streamed(self, handler):
        def answer(session, *values):
            for view in handler(self._known(session), *values):
                yield self._show(view)

        return answer

    def _from_event(self, handler, key: str | None = None, stream: bool = False):
        def value(event: gr.EventData):
            data = event._data if isinstance(event._data, dict) else {}
            return data if key is None else data.get(key)

        def answer(session, event: gr.EventData):
            return self._show(handler(self._known(session), value(event)))

        def answer_sized(session, size, event: gr.EventData):
            return self._show(handler(self._known(session), value(event), size))

        def answers(session, event: gr.EventData):
            for view in handler(self._known(session), value(event)):
                yield self._show(view)

        if stream:
            return answers
        return answer_sized if handler == self.handlers.edit else answer

    def _known(self, session) -> Session:
        if not isinstance(session, Session) or not Path(session.folder).is_dir():
            raise gr.Error(
                "This page was open for too long and its files are gone; reload it.", print_exception=False
            )
        return session

    def _arrive(self, request: gr.Request):
        session = self.handlers.arrive()
        self.visitors[request.session_hash] = session
        return session

    def _left(self, request: gr.Request) -> None:
        """The tab was closed: its run ends now; its files go soon, unless the visitor comes back."""
        session = self.visitors.get(request.session_hash)
        if session is None:
            return
        session.stop, seen = True, session.touched
        self.left[:] = [*self.left, request.session_hash][-100:]

        def forget():
            if session.touched == seen:
                self.visitors.pop(request.session_hash, None)
                self.handlers.leave(session)

        timer = threading.Timer(GRACE_SECONDS, forget)
        timer.daemon = True
        timer.start()


_PRESS_DOWNLOAD = """() => {
  const link = document.querySelector("#file a, a#file, button#file, #file button, #file");
  if (link) link.click();
}"""
