"""The page: its parts (demo.layout) and their wiring (demo.wiring) around one loaded model.

Files under a visitor's folder are served by address; nobody can guess the folder's name (128 random bits).
Who is shown such an address sees that file and nothing else: a visit is opened by a key (demo.visits).
"""

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from demo.engine.device import Engine
from demo.guard.process import Guard
from demo.limits import PROGRAM, Limits
from demo.panels import examples
from demo.panels.clip import Handlers
from demo.panels.mark import Marking
from demo.panels.result import Downloads
from demo.panels.track import Runs
from demo.web import api, layout
from demo.web.events import Wiring
from demo.web.gradio_fixes import NoDeepLinks, Stopwatch, lean_uploads, no_history
from demo.web.turns import Turns, Uploads
from demo.work.quotas import answers_folder
from demo.work.retention import discard, keep_house, period, visitors_folder

HERE = Path(__file__).parent
ROOM = 8  # small requests of one visitor that may wait
REQUESTS = 200  # under way at once; most of them wait in their visitor's line (demo.lines)
EXAMPLES = HERE.parents[1] / "assets" / "examples"


class Page(gr.Blocks):
    """The page; what goes on beside it begins and ends with it, and its visitors' files go with it."""

    handlers: Handlers
    wiring: Wiring
    turns: Turns

    def launch(self, *arguments, **options):
        """Serve the page; as Gradio's own."""
        limits = self.handlers.limits
        self.closed = keep_house(self._sweep, min(limits.lifetime_minutes, limits.answer_minutes))
        try:
            return super().launch(*arguments, **options)
        except BaseException:
            self.closed.set()
            raise

    def close(self, verbose: bool = True) -> None:
        """Stop serving.  Nobody can come back to work whose key this page knew."""
        super().close(verbose)
        if hasattr(self, "closed"):
            self.closed.set()
        for session in self.wiring.visits.end():
            self.handlers.leave(session)
            discard(Path(session.folder))

    def _sweep(self) -> None:
        self.handlers.sweep()
        self.handlers.quotas.sweep(self.turns.paths())
        self.wiring.visits.forget_the_gone()


def build_app(model, limits: Limits, examples_folder: Path = EXAMPLES) -> Page:
    """The page over a loaded model; `launch(**launch_options(limits))` it."""
    lean_uploads()
    limits.make_root()
    guard = Guard(limits)
    engine = Engine(model, guard)
    handlers = Handlers(engine, guard, limits, examples_folder)
    marking = Marking(engine, guard, limits, examples_folder)
    runs = Runs(engine, limits)
    with Page(
        title="STM Live",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(period(limits.lifetime_minutes), 60 * limits.lifetime_minutes),
    ) as page:
        key = gr.Textbox(visible=False)
        parts = layout.place(limits, examples.gallery(guard, examples_folder, handlers.visitors))
        downloads = Downloads(guard, handlers.quotas)
        doers = {"handlers": handlers, "marking": marking, "runs": runs, "downloads": downloads}
        wiring = Wiring(page, key, parts, **doers)
        wiring.connect()
        api.add(handlers, runs)
    # api_open: a call that skips the queue would skip the lanes too, and end at the first sign of life
    # max_size counts clicks and forecasts too; runs that wait are counted by demo.runs
    page.queue(max_size=ROOM * limits.queue_size, default_concurrency_limit=4, api_open=False)
    page.handlers, page.wiring = handlers, wiring
    page.turns = Turns(page._queue, handlers.quotas, limits)
    return page


def launch_options(limits: Limits) -> dict:
    """What `launch` must be told, decided once."""
    served = [visitors_folder(limits), answers_folder(limits)]
    for folder in served:
        folder.mkdir(parents=True, exist_ok=True)
    gr.set_static_paths(served[1:])  # handed out where they lie: a copy of Gradio's would outlive them
    return {
        "theme": _theme(),
        "css": (HERE / "page.css").read_text(),
        "show_error": True,
        "max_file_size": limits.upload_mb * 2**20,
        "allowed_paths": [str(folder) for folder in served],
        "blocked_paths": [str(PROGRAM)],  # the program, its weights, and whatever else lies beside it
        **no_history(),
        "footer_links": ["api", "settings"],
        "state_session_capacity": 1000,
        "max_threads": REQUESTS,
        "ssr_mode": False,
        "app_kwargs": {"middleware": [Middleware(NoDeepLinks), Middleware(Stopwatch), Middleware(Uploads)]},
    }


def _theme() -> gr.themes.Base:
    # fonts that are there already: nothing is fetched from elsewhere
    font = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
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
