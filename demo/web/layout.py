"""The page's parts and where they stand: six cards, two columns on a desk and one on a phone (page.css)."""

import html
from pathlib import Path

import gradio as gr

from demo.draw import charts, readout
from demo.limits import Limits
from demo.panels import stage_state as render
from demo.web.gradio_fixes import webcam_input
from stm_core.memory.policy import PRESETS, MemoryConfig

HERE = Path(__file__).parent
PANELS = HERE.parent / "panels"
STAGE = PANELS / "stage"
STAGE_SCRIPT = ("shared.js", "pictures.js", "moving.js", "pointer.js", "tools.js", "state.js")
# On a phone the settings are folded away (page.css), so that Track is near the picture.
UNFOLD = """element.addEventListener("click", (event) => {
  const button = event.target.closest(".stm-fold");
  if (!button) return;
  const open = element.closest(".stm-memory").classList.toggle("stm-unfolded");
  button.setAttribute("aria-expanded", String(open));
  button.textContent = open ? "Done" : "Change";
});"""

DISMISS = """element.addEventListener("click", (event) => {
  if (event.target.closest("button")) element.querySelector(".stm-notice")?.remove();
});"""


def place(limits: Limits, gallery: str) -> dict:
    parts = {}
    gr.HTML(
        '<header class="stm-head"><h1>STM Live</h1><p>Mark an object on one frame; a space-time memory '
        "network follows it through the clip, and shows what it remembers.</p></header>"
    )
    parts["notice"] = gr.HTML("", elem_id="notice", js_on_load=DISMISS)
    with gr.Row(equal_height=False, elem_classes="stm-columns"):
        with gr.Column(scale=7, min_width=340):
            _clip_card(parts, limits, gallery)
            _mark_card(parts)
            _fix_card(parts)
        with gr.Column(scale=5, min_width=340):
            _memory_card(parts, limits)
            _track_card(parts)
            _result_card(parts)
    return parts


def _card(number: int, title: str, text: str) -> None:
    gr.HTML(_title(number, title, text))


def _title(number: int, title: str, text: str) -> str:
    words = f"<span>{html.escape(title)}</span><small>{html.escape(text)}</small>"
    return f'<h2 class="stm-title"><b>{number}</b>{words}</h2>'


def _clip_card(parts: dict, limits: Limits, gallery: str) -> None:
    with gr.Group(elem_classes="stm-card stm-clip"):
        _card(1, "Clip", "upload, record, or pick an example")
        with gr.Tabs(elem_classes="stm-tabs"):
            with gr.Tab("Upload"):
                parts["upload"] = gr.File(
                    label="A clip, a ZIP of frames, or an “Everything” ZIP to resume",
                    height=84,
                    elem_id="upload",
                    file_types="video .mkv .avi .mov .ts .mts .m2ts .gif .webp .apng .zip".split(),
                )
            with gr.Tab("Webcam"):
                parts["webcam"] = webcam_input(
                    label="Record a few seconds", height=240, elem_id="webcam", buttons=[]
                )
        parts["gallery"] = gr.HTML(
            gallery,
            elem_classes="stm-gallery",
            visible=bool(gallery),
            js_on_load="element.addEventListener('click', (event) => "
            "{ const card = event.target.closest('[data-example]');"
            " if (card) trigger('pick', { name: card.dataset.example }); });",
        )
        parts["report"] = gr.HTML(render.clip_report(None, limits), elem_id="report")
        parts["part"] = gr.Slider(
            0,
            1,
            value=0,
            step=0.1,
            visible=False,
            elem_id="part",
            label="This clip is longer than what is tracked here: start at second",
            info="Drag or type; nothing outside this part is processed.",
        )


def _mark_card(parts: dict) -> None:
    with gr.Group(elem_classes="stm-card stm-mark"):
        _card(2, "Mark", "click, or paint; on any frame")
        parts["stage"] = gr.HTML(
            {"clip": None, "welcome": render.WELCOME},
            html_template=(STAGE / "stage.html").read_text(),
            elem_id="stage",
            js_on_load="\n".join((STAGE / name).read_text() for name in STAGE_SCRIPT),
            apply_default_css=False,
        )
        with gr.Accordion("Mask file instead", open=False):
            parts["mask_file"] = gr.File(
                label="A mask for the frame that is shown: PNG in palette colours, or black and white",
                height=84,
                file_types=[".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".jpg", ".jpeg"],
                elem_id="mask",
            )


def _fix_card(parts: dict) -> None:
    with gr.Group(elem_classes="stm-card stm-fix"):
        _card(5, "Check and fix", "go to a doubtful frame, mark it right, continue")
        parts["timeline"] = gr.HTML(
            charts.NO_TIMELINE,
            elem_id="timeline",
            js_on_load=(PANELS / "timeline.js").read_text(),
            apply_default_css=False,
        )
        with gr.Group(visible=False, elem_classes="stm-plain") as parts["fixing"]:
            parts["direction"] = gr.Radio(
                ["forward", "backward", "both"],
                value="forward",
                label="From the corrected frame, go on",
                info="Click or paint a wrong frame right first; only what follows is computed again.",
                elem_id="direction",
            )
            parts["fix"] = gr.Button("Continue", interactive=False, elem_id="fix")


def _memory_card(parts: dict, limits: Limits) -> None:
    with gr.Group(elem_classes="stm-card stm-memory"):
        gr.HTML(
            _title(3, "Memory", "what the network may keep")
            + '<button type="button" class="stm-fold" aria-expanded="false">Change</button>',
            elem_classes="stm-folding",
            js_on_load=UNFOLD,
        )
        parts["preset"] = gr.Dropdown(
            [(PRESETS[name].title, name) for name in reversed(PRESETS)],
            value=MemoryConfig.preset,
            label="Strategy",
            elem_id="preset",
            info="Which frames are stored, and what is dropped.",
        )
        with gr.Row():
            parts["budget"] = gr.Number(
                64,
                label="Budget, MB",
                elem_id="budget",
                min_width=96,
                info="Most bytes stored.",
            )
            parts["every"] = gr.Number(
                5,
                label="Every n-th",
                precision=0,
                elem_id="every",
                min_width=96,
                info="1 stores all frames.",
            )
            parts["size"] = gr.Dropdown(
                list(readout.SIZES.items()),
                value=480,
                label="Size, px",
                elem_id="size",
                min_width=120,
                info="Short side seen.",
            )
        parts["prediction"] = gr.HTML(
            readout.NO_PREDICTION,
            elem_id="prediction",
            apply_default_css=False,
        )


def _track_card(parts: dict) -> None:
    with gr.Group(elem_classes="stm-card stm-track"):
        _card(4, "Track", "watch it work")
        with gr.Column(elem_classes="stm-actions"):  # stays in sight on a phone while a run goes
            with gr.Row():
                parts["track"] = gr.Button(
                    "Track", variant="primary", interactive=False, elem_id="track", min_width=90
                )
                parts["stop"] = gr.Button(
                    "Stop", variant="stop", interactive=False, elem_id="stop", min_width=90
                )
            parts["progress"] = gr.HTML("", elem_id="progress", min_height=46)
        parts["readout"] = gr.HTML(
            readout.memory([], 100, (), (), 0, None, 0, "cpu"), elem_id="readout", apply_default_css=False
        )


def _result_card(parts: dict) -> None:
    with gr.Group(elem_classes="stm-card stm-result", visible=False) as parts["results"]:
        _card(6, "Result", "watch it, take it away")
        parts["player"] = gr.Video(
            label="Overlay, with the clip’s sound if it has any",
            interactive=False,
            elem_id="player",
            height=300,
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
        parts["made"] = gr.HTML("", elem_id="made", min_height=30, js_on_load=DISMISS)
        parts["file"] = gr.DownloadButton("Download", elem_id="file", elem_classes="stm-hidden")
