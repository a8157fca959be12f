"""The memory: which strategy, its limits, and what a run would take, before it runs."""

from typing import Any

import gradio as gr

from demo.draw import html, readout
from demo.panels.base import SETTINGS, Change, Panel, Props, View, Wires, answers, complaint, script
from demo.work.told import before_a_run
from demo.work.visitor import Visitor
from stm_core.errors import OptionError
from stm_core.memory.policy import PRESETS, MemoryConfig


class MemoryPanel(Panel):
    """Asks for the settings of a run and forecasts it."""

    name, wide = "memory", True

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(
            html.title("Memory", "what the network may remember", number)
            + '<button type="button" class="stm-fold" aria-expanded="false">Change</button>',
            elem_classes="stm-folding",
            js_on_load=script("memory.js"),
        )
        preset = gr.Dropdown(
            [(PRESETS[name].title, name) for name in reversed(PRESETS)],
            value=MemoryConfig.preset,
            label="Strategy",
            elem_id="preset",
            info="Which frames the network keeps in its memory.",
        )
        narrow = {"min_width": 130}
        with gr.Row():
            budget = gr.Number(
                64,
                label="Memory limit, MB",
                elem_id="budget",
                info="For frames and lookup.",
                **narrow,
            )
            capacity = gr.Number(
                MemoryConfig.capacity,
                label="Most frames",
                precision=0,
                elem_id="capacity",
                info="Fewer is faster.",
                **narrow,
            )
            every = gr.Number(
                5, label="Keep every n-th", precision=0, elem_id="every", info="1 keeps all frames.", **narrow
            )
            size = gr.Dropdown(
                list(readout.SIZES.items()),
                value=480,
                label="Resolution",
                elem_id="size",
                info="Short side, at most.",
                **narrow,
            )
        prediction = gr.HTML(readout.NO_PREDICTION, elem_id="prediction", apply_default_css=False)
        return {
            "preset": preset,
            "budget": budget,
            "capacity": capacity,
            "every": every,
            "size": size,
            "prediction": prediction,
        }

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        for event in ("opened", "marked", "ran", *(self.parts[name].change for name in SETTINGS)):
            wires.on(event, self.forecast, SETTINGS, lane="aside", trigger_mode="always_last")
        wires.on(self.parts["preset"].change, self.choose, ["preset"], trigger_mode="always_last")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        return {"prediction": readout.NO_PREDICTION} if change == Change.CLIP else {}

    @answers
    def choose(self, visitor: Visitor, preset: str) -> View:
        """Disable the settings that the chosen strategy does not use."""
        bounded = preset in PRESETS and PRESETS[preset].strategy.bounded
        spaced = preset in PRESETS and PRESETS[preset].strategy.spaced
        limits = Props(interactive=bounded)
        return View(budget=limits, capacity=limits, every=Props(interactive=spaced))

    @answers
    def forecast(
        self,
        visitor: Visitor,
        preset: str,
        budget_mb: float,
        every: float,
        size: int,
        capacity: float = MemoryConfig.capacity,
    ) -> View:
        """Show what a run would cost: bytes by formula, seconds from a short measurement on this machine."""
        work, runner, engine = visitor.work, self.host.runner, self.host.engine
        asked = dict(zip(SETTINGS, (preset, budget_mb, every, size, capacity), strict=True))
        visitor.settings = asked
        if work is None or work.running:
            return View()
        clip, objects = work.clip, len(work.objects)
        seen = engine.seen(*clip.size, runner.side(*clip.size, size))
        try:
            memory = runner.memory(preset, budget_mb, every, capacity)
            found = engine.predict(memory, *seen, objects, clip.frames, len(work.marks))
        except OptionError as error:
            work.seconds = 0
            idle = {} if work.tracked or work.busy else {"readout": readout.NO_READOUT, "progress": ""}
            return View(prediction=readout.UNUSABLE, notice=complaint(visitor, error), **idle)
        most_seconds = 60 * self.host.limits.run_minutes
        with visitor.at_work():
            rate = engine.rate(*seen, objects)
        if visitor.settings is not asked:  # measuring took a while, and a later forecast is under way
            return View()
        work.seconds = rate * clip.frames
        told = readout.prediction(
            found, rate, clip.frames, memory, engine.words, seen, most_seconds, len(work.marks)
        )
        view = View(prediction=told, **({"notice": ""} if visitor.complaint else {}))
        if not work.tracked and not work.busy:
            most, unbounded = found.frames_held, found.unbounded_bytes
            held = readout.Held((), (), found.frame_bytes, most, unbounded, memory)
            view["readout"] = readout.memory([], clip.frames, held, engine.device)
            view["progress"] = before_a_run(work)
        return view
