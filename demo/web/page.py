"""The page: its panels around one loaded model.  A new panel is one more entry of PANELS.

Files under a visitor's folder are served by address; nobody can guess the folder's name (128 random bits).
Somebody who learns such an address can fetch that file and nothing else: a visit is opened by a key
(demo.web.visits).
"""

import inspect
import itertools
import time
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from demo.draw import html
from demo.engine.device import Engine
from demo.gradio_fixes import (
    ClosedDoors,
    LeanAnswers,
    QueueHooks,
    SoundValues,
    Stopwatch,
    broken_uploads,
    lean_uploads,
    no_history,
)
from demo.guard.process import Guard
from demo.limits import PROGRAM, Limits
from demo.panels.base import Host
from demo.panels.clip import ClipPanel
from demo.panels.compare import ComparePanel
from demo.panels.fix import FixPanel
from demo.panels.learn import LearnPanel
from demo.panels.look import LookPanel
from demo.panels.mark import MarkPanel
from demo.panels.memory import MemoryPanel
from demo.panels.result import ResultPanel
from demo.panels.share import SharePanel
from demo.panels.track import TrackPanel
from demo.web import api, memory_api
from demo.web.events import Events
from demo.web.fair_queue import FairQueue, Uploads
from demo.work.quotas import answers_folder
from demo.work.retention import discard, period, sweep_regularly, visitors_folder
from demo.work.visitor import Visitor

PANELS = [
    ClipPanel,
    MarkPanel,
    MemoryPanel,
    TrackPanel,
    FixPanel,
    ResultPanel,
    SharePanel,
    LearnPanel,
    LookPanel,
    ComparePanel,
]  # in the order of the work

STYLE = Path(__file__).with_name("page.css")
ROOM = 8  # small requests of one visitor that may wait
REQUESTS = 200  # under way at once; most of them wait in their visitor's line (demo.web.own_lines)
EXAMPLES = PROGRAM / "assets" / "examples"
HEADER = (
    '<header class="stm-head"><h1>STM Live</h1><p>Mark an object on one frame. A space-time memory (STM) '
    "network follows it through the clip and shows what it remembers.</p></header>"
)


class Page(SoundValues, LeanAnswers):
    """The page.  The sweep of old files starts and stops with it; at its end visitors' files are removed."""

    host: Host
    wires: Events
    fair: FairQueue

    def launch(self, *arguments, **options):
        """Serve the page, as `gr.Blocks.launch` does."""
        limits = self.host.limits
        self.closed = sweep_regularly(self._sweep, min(limits.lifetime_minutes, limits.answer_minutes))
        try:
            return super().launch(*arguments, **options)
        except BaseException:
            self.closed.set()
            raise

    def close(self, verbose: bool = True) -> None:
        """Stop serving.  The keys of all visitors are forgotten, so their work cannot be reached again."""
        super().close(verbose)
        if hasattr(self, "closed"):
            self.closed.set()
        for visitor in self.wires.visits.end():
            visitor.leave()
            discard(Path(visitor.folder))

    def asks_for_a_run(self, visitor: Visitor) -> bool:
        """Whether a request for a run of this visitor waits or is being answered."""
        return any(self.wires.visits.find(key) is visitor for key in self.fair.keys("gpu"))

    def _sweep(self) -> None:
        self.host.sweep()
        for path in broken_uploads(time.time() - 60 * self.host.limits.lifetime_minutes):
            path.unlink(missing_ok=True)
        self.host.quotas.sweep(self.fair.paths())
        self.wires.visits.forget_the_gone()


def build_app(model, limits: Limits, examples: Path = EXAMPLES) -> Page:
    """The page over a loaded model; `launch(**launch_options(limits))` it."""
    lean_uploads()
    guard = Guard(limits)
    host = Host(Engine(model, guard), guard, limits, examples)
    host.panels = [panel(host) for panel in PANELS]
    with Page(
        title="STM Live",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(period(limits.lifetime_minutes), 60 * limits.lifetime_minutes),
    ) as page:
        key = gr.Textbox(visible=False)
        page.host, page.wires = host, Events(host, page, key, mount(host))
        page.wires.connect()
        api.add(host)
        memory_api.add(host)
    # api_open: a call that skips the queue would skip the lanes too, and end at its first (empty) answer
    # max_size counts clicks and forecasts too; runs that wait are counted by the panel Track
    page.queue(max_size=ROOM * limits.queue_size, default_concurrency_limit=4, api_open=False)
    page.fair = FairQueue(QueueHooks(page), host.quotas, limits)
    host.waiting.comes = page.asks_for_a_run
    return page


def mount(host: Host) -> dict[str, Any]:
    """Put every panel into a card in its column; returns all parts by name."""
    gr.HTML(HEADER, elem_classes="stm-top")
    parts = {"notice": gr.HTML("", elem_id="notice", js_on_load=html.DISMISS)}
    with gr.Row(equal_height=False, elem_classes="stm-columns"):
        for scale, name, here in _columns(host.panels):
            with gr.Column(scale=scale, min_width=340, elem_classes=name):
                for number, panel in here:
                    with gr.Group(
                        elem_classes=f"stm-card stm-{panel.name}", visible=panel.seen
                    ) as panel.card:
                        panel.parts = panel.layout(number)
                    parts |= panel.parts
    return parts


def _columns(panels: list) -> list[tuple[int, str, list]]:
    """(scale, class, panels with their numbers) of each column that has panels: left, right, below both."""
    numbers = itertools.accumulate(int(panel.step) for panel in panels)
    numbered = list(zip(numbers, panels, strict=True))
    below = [one for one in numbered if one[1].below]
    left, right = ([one for one in numbered if one[1].wide == wide and one not in below] for wide in (1, 0))
    columns = [(7, "stm-left", left), (5, "stm-right", right), (12, "stm-below", below)]
    return [column for column in columns if column[2]]


def style(panels: list) -> str:
    """The page's CSS, and each panel's own beside its file.  On a phone the cards stand in the order of the
    work.
    """
    found = [STYLE.read_text()]
    for panel in panels:
        own = Path(inspect.getfile(panel)).with_suffix(".css")
        found += [own.read_text()] if own.exists() else []
    order = "".join(f".stm-{panel.name} {{ order: {n}; }} " for n, panel in enumerate(panels, 1))
    return "\n".join([*found, f"@media (max-width: 640px) {{ {order}}}"])


def launch_options(limits: Limits) -> dict:
    """The options for `launch`."""
    limits.make_root()
    served = [visitors_folder(limits), answers_folder(limits)]
    for folder in served:
        folder.mkdir(parents=True, exist_ok=True)
    gr.set_static_paths(served[1:])  # served from their place: a copy made by Gradio would outlive them
    return {
        "theme": _theme(),
        "css": style(PANELS),
        "show_error": True,
        "max_file_size": limits.upload_mb * 2**20,
        "allowed_paths": [str(folder) for folder in served],
        "blocked_paths": [str(PROGRAM)],  # the program, its weights, and whatever else lies beside it
        **no_history(),
        "footer_links": ["api", "settings"],
        "state_session_capacity": 1000,
        "max_threads": REQUESTS,
        "ssr_mode": False,
        "app_kwargs": {"middleware": [Middleware(ClosedDoors), Middleware(Stopwatch), Middleware(Uploads)]},
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
