"""The memory: which strategy, how much, and what a run would take, before it runs."""

from pathlib import Path
from typing import Any

import gradio as gr

from demo.draw import html, readout
from demo.panels.base import SETTINGS, Change, Panel, View, Wires, answers
from demo.work.visitor import Visitor
from stm_core.memory.policy import PRESETS, MemoryConfig

SCRIPT = Path(__file__).with_suffix(".js")


class MemoryPanel(Panel):
    """Asks for the settings of a run and forecasts it."""

    name = "memory"

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(
            html.title(number, "Memory", "what the network may keep")
            + '<button type="button" class="stm-fold" aria-expanded="false">Change</button>',
            elem_classes="stm-folding",
            js_on_load=SCRIPT.read_text(),
        )
        preset = gr.Dropdown(
            [(PRESETS[name].title, name) for name in reversed(PRESETS)],
            value=MemoryConfig.preset,
            label="Strategy",
            elem_id="preset",
            info="Which frames are stored, and what is dropped.",
        )
        narrow = {"min_width": 96}
        with gr.Row():
            budget = gr.Number(64, label="Budget, MB", elem_id="budget", info="Most bytes stored.", **narrow)
            every = gr.Number(
                5, label="Every n-th", precision=0, elem_id="every", info="1 stores all frames.", **narrow
            )
            size = gr.Dropdown(
                list(readout.SIZES.items()),
                value=480,
                label="Size, px",
                elem_id="size",
                min_width=120,
                info="Short side seen.",
            )
        prediction = gr.HTML(readout.NO_PREDICTION, elem_id="prediction", apply_default_css=False)
        return {"preset": preset, "budget": budget, "every": every, "size": size, "prediction": prediction}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        for event in ("opened", "marked", *(self.parts[name].change for name in SETTINGS)):
            wires.on(event, self.forecast, SETTINGS, lane="aside")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        return {"prediction": readout.NO_PREDICTION} if change == Change.CLIP else {}

    @answers
    def forecast(self, visitor: Visitor, preset: str, budget_mb: float, every: float, size: int) -> View:
        """What a run would cost: bytes from the closed form, seconds from a short calibration on this
        machine.
        """
        work, runner, engine = visitor.work, self.host.runner, self.host.engine
        if work is None or work.running:
            return View()
        clip, objects = work.clip, len(work.objects)
        memory = runner.memory(preset, budget_mb, every)
        seen = engine.seen(*clip.size, runner.side(*clip.size, size))
        found = engine.predict(memory, *seen, objects, clip.frames, len(work.marks))
        most_seconds = 60 * self.host.limits.run_minutes
        view = View(
            prediction=readout.prediction(
                found,
                engine.rate(*seen, objects),
                clip.frames,
                memory.bound_bytes,
                preset,
                engine.words,
                seen,
                most_seconds,
            )
        )
        if not work.tracked:
            held = readout.Held((), (), found.frame_bytes, memory.bound_bytes, found.unbounded_bytes)
            view["readout"] = readout.memory([], clip.frames, held, engine.device)
        return view
