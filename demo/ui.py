"""The page: its parts (demo.layout) and their wiring (demo.wiring) around one loaded model.

Files under a visitor's folder are served by address; nobody can guess the folder's name (128 random bits).
"""

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from demo import api, examples, layout
from demo.downloads import Downloads
from demo.engine import Engine
from demo.guard import Guard
from demo.handlers import Handlers
from demo.house import keep_house, lean_uploads, period, visitors_folder
from demo.limits import PROGRAM, Limits
from demo.marking import Marking
from demo.runs import Runs
from demo.stopwatch import Stopwatch
from demo.wiring import Wiring

HERE = Path(__file__).parent
STATE_SECONDS = 24 * 3600
ROOM = 8  # small requests of one visitor that may wait
EXAMPLES = HERE.parent / "assets" / "examples"


def build_app(model, limits: Limits, examples_folder: Path = EXAMPLES) -> gr.Blocks:
    """The page over a loaded model; `launch(**launch_options(limits))` it."""
    lean_uploads()
    limits.make_root()
    guard = Guard(limits)
    engine = Engine(model, guard)
    handlers = Handlers(engine, guard, limits, examples_folder)
    marking = Marking(engine, guard, limits, examples_folder)
    runs = Runs(engine, limits)
    with gr.Blocks(
        title="STM Live",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(period(limits.lifetime_minutes), 60 * limits.lifetime_minutes),
    ) as page:
        # files go by their last use (sweep); Gradio counts from the arrival
        session = gr.State(time_to_live=STATE_SECONDS)
        visit = gr.Textbox(visible=False)
        parts = layout.place(limits, examples.gallery(guard, examples_folder, handlers.visitors))
        doers = {"handlers": handlers, "marking": marking, "runs": runs, "downloads": Downloads(guard)}
        wiring = Wiring(page, session, visit, parts, **doers)
        wiring.connect()
        api.add(handlers, runs)
    # api_open: a call that skips the queue would skip the lanes too, and end at the first sign of life
    # max_size counts clicks and forecasts too; runs that wait are counted by demo.runs
    page.queue(max_size=ROOM * limits.queue_size, default_concurrency_limit=4, api_open=False)
    page.handlers, page.left = handlers, wiring.left
    keep_house(handlers.sweep, limits.lifetime_minutes)
    return page


def launch_options(limits: Limits) -> dict:
    """What `launch` must be told, decided once."""
    visitors_folder(limits).mkdir(parents=True, exist_ok=True)
    return {
        "theme": _theme(),
        "css": (HERE / "page.css").read_text(),
        "show_error": True,
        "max_file_size": limits.upload_mb * 2**20,
        "allowed_paths": [str(visitors_folder(limits))],
        "blocked_paths": [str(PROGRAM)],  # the program, its weights, and whatever else lies beside it
        "run_history": False,  # it would keep every visitor's clips in the browser and offer to upload them
        "footer_links": ["api", "settings"],
        "state_session_capacity": 1000,
        "ssr_mode": False,
        "app_kwargs": {"middleware": [Middleware(Stopwatch)]},
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
