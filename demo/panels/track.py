"""Track: the run, its live memory readout, Stop, and the run that goes on from a correction or a stop."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from demo.draw import html, readout
from demo.panels.base import SETTINGS, Change, Panel, Props, View, Wires, after_edits, answers, run_ended
from demo.work.job import Again, Job
from demo.work.run import Run
from demo.work.told import before_a_run, computed, going_on, verdict, without_a_run
from demo.work.visitor import Visitor
from demo.work.work import Work
from stm_core.memory.policy import MemoryConfig

TELLING = 10  # frames after which a run's pace is used to forecast other runs
READOUT_EVERY = 0.4  # seconds between drawings of the chart: it costs a browser more than the picture


class TrackPanel(Panel):
    """Runs, one at a time for each visitor."""

    name, live = "track", ("track", "fix", "direction", "to_end", "stop", "progress", "readout")

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title("Track", "follow the object through the clip", number))
        off = {"interactive": False, "min_width": 90}
        with gr.Column(elem_classes="stm-actions"):  # stays in sight
            direction = gr.Radio(
                ["forward", "backward", "both"],
                value="forward",
                label="Continue from the corrected frame",
                info="Only the frames in that direction are computed again.",
                elem_id="direction",
                visible=False,
            )
            to_end = gr.Checkbox(
                label="Continue to the end, even when the masks no longer change",
                elem_id="to-end",
                visible=False,
            )
            with gr.Row():
                fix = gr.Button("Continue", variant="primary", elem_id="fix", **off)
                track = gr.Button("Track", variant="primary", elem_id="track", **off)
                stop = gr.Button("Stop", variant="stop", elem_id="stop", **off)
            progress = gr.HTML(before_a_run(None), elem_id="progress", min_height=46, js_on_load=html.FOLLOW)
        shown = gr.HTML(
            readout.NO_READOUT, elem_id="readout", apply_default_css=False, js_on_load=readout.SCRIPT
        )
        return {
            "track": track,
            "fix": fix,
            "direction": direction,
            "to_end": to_end,
            "stop": stop,
            "progress": progress,
            "readout": shown,
        }

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        waiting = {"show_progress": "minimal", "show_progress_on": self.parts["progress"]}
        for button, more in (("track", ()), ("fix", ("direction", "to_end"))):
            inputs = [*SETTINGS, *more]
            js = after_edits(len(inputs))
            ready = wires.on(wires.part(button).click, self.get_ready, inputs, queue=False, js=js)
            wires.on(ready.then, self.track, lane="gpu", live=True, leads_to="ran", **waiting)
        wires.on(self.parts["stop"].click, self.stop, queue=False)

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        work, view = visitor.work, {}
        if change >= Change.MARKS:
            view |= _buttons(work)
            if work is None or not work.busy:
                view["progress"] = without_a_run(work)
        if change == Change.CLIP:
            view = {"progress": "", "readout": readout.NO_READOUT} | view
        if change >= Change.RESULTS and work is not None and work.tracked and not work.busy:
            run = computed(work)
            view["readout"] = self._numbers(run)["readout"] if run else readout.NO_READOUT
        return view

    # before and after -------------------------------------------------------------------------------------

    @answers
    def get_ready(self, visitor: Visitor, *asked: Any) -> View:
        """Track was pressed, and the edits before it were answered: said while the run may still wait for its
        turn.

        asked: the values of SETTINGS; if it continues, also the direction, and whether it goes to the end.
        """
        work = visitor.need_work()
        if work.running or (work.busy and work.current.trial):  # a second press while it waits is no mistake
            text = "This clip is being tracked already; press Stop first."
            return View(notice=html.notice(text, "info"))
        self.host.waiting.join(visitor, work, Run.new(work.clip.folder), asked)
        visitor.touch()
        return View(Change.MARKS, notice="", progress=html.bar(0, 1, "Waiting to start…"))

    @answers
    def stop(self, visitor: Visitor) -> View:
        """Stop was pressed: the run ends after the frame it is at, or does not begin."""
        work = visitor.need_work()
        if work.running:
            work.current.end()
            return View(stop=Props(interactive=False))
        if work.busy:
            work.current.end()
            return View(Change.MARKS, progress=html.bar(0, 1, "Stopped before it began."))
        # the page lost its connection, and with it the end of its run
        return View(Change.RESULTS, progress=html.bar(0, 1, "Stopped, every mask so far is kept."))

    # the run ----------------------------------------------------------------------------------------------

    @answers
    def track(self, visitor: Visitor) -> Iterator[View]:
        """Give every frame its mask, as was asked when the button was pressed last; this request may be that
        of an earlier press, which was stopped.

        With a direction, continue from the corrected frame, or from where the last run was stopped, and
        recompute only what follows: to the end, or until the masks come out as they were before.
        """
        work = visitor.work
        run = work.current if work else None
        # stopped, or another clip was opened, before its turn
        if run is None or run.state != "waiting" or run.trial:
            yield View()
            return
        try:
            begun = self._begin(visitor, work, run)
        except BaseException:
            run.end()
            raise
        if begun:
            yield from self._run(visitor, work, run)
        else:
            yield View()

    def _begin(self, visitor: Visitor, work: Work, run: Run) -> bool:
        """Begin a run with all marks there are; from then on nobody may mark.  Returns False when the run was
        stopped, or another clip was opened, while it was planned.
        """
        runner = self.host.runner
        visitor.wait_for_edits(run)
        while run.state == "waiting":  # planning takes seconds: Stop counts till here
            with visitor.at_work():
                shown, asked = work.run, run.asked
                job, continues = self._planned(work, *asked)
            found, plan = runner.predict(job.plan), job.plan
            with visitor.alone():
                same = work.given() == plan.known and work.absent == plan.absent and work.run is shown
                same = same and run.asked is asked
                if run.state == "waiting" and same:
                    job = replace(job, folder=run.folder)
                    run.begin(job, found, before=work.run if continues else None)
                    return True
        return False

    def _planned(
        self,
        work: Work,
        preset: str,
        budget_mb: float,
        every: float,
        size: int,
        capacity: float = MemoryConfig.capacity,
        direction: str = "",
        to_end: bool = False,
    ) -> tuple[Job, bool]:
        """What a run computes that was asked for like this, and whether it continues another one."""
        runner = self.host.runner
        memory, seen = runner.memory(preset, budget_mb, every, capacity), runner.side(*work.clip.size, size)
        return runner.plan(work, memory, seen, direction, to_end), bool(direction)

    def _run(self, visitor: Visitor, work: Work, run: Run) -> Iterator[View]:
        drawn = time.perf_counter()
        try:
            yield View(Change.MARKS, notice="", **self._numbers(run))
            with closing(self.host.runner.steps(run)) as steps:
                for step in steps:
                    if visitor.work is not work:
                        break
                    if isinstance(step, dict):
                        run.report = step
                    elif isinstance(step, Again):
                        run.again(step.job, self.host.runner.predict(step.job.plan))
                        told = html.notice(html.sentence(step.why), "info")
                        yield View(notice=told, **self._numbers(run))
                    else:
                        run.add(step)
                        if work.run is not run:  # masks of an earlier run stay until there are new ones
                            with visitor.changing(work):
                                work.show(run)
                        if step.preview is not None:
                            due = time.perf_counter() - drawn >= READOUT_EVERY
                            drawn = time.perf_counter() if due else drawn
                            yield View(Change.STAGE, **self._numbers(run, memory=due))
            if visitor.work is not work:  # another clip was opened
                yield View(progress=before_a_run(visitor.work))
                return
            yield self._finished(visitor, work, run)
        except Exception:
            if visitor.work is not work:  # the clip was closed during the run: the error interests nobody
                yield View(progress=before_a_run(visitor.work))
                return
            run.keep_what_is_written()
            _end(visitor, work, run, "failed")
            yield View(Change.RESULTS)
            raise
        finally:  # also when the page was closed, or lost its connection
            if run.state == "running":
                _end(visitor, work, run, "stopped")

    def _finished(self, visitor: Visitor, work: Work, run: Run) -> View:
        _end(visitor, work, run, "stopped" if run.stop else "done")
        if run.done >= TELLING:
            self.host.runner.learn(run, len(work.objects))
        work.frame = run.job.plan.first
        work.jump += 1
        notes = " ".join(map(html.sentence, (run.report or {}).get("warnings") or ()))
        told = run_ended(visitor)
        if notes:
            told = {"notice": html.notice(html.from_one(notes), "info")}
        return View(Change.RESULTS, **told, **{**self._numbers(run), "progress": verdict(work, run)})

    def _numbers(self, run: Run, memory: bool = True) -> dict[str, str]:
        """Progress and memory readout."""
        view = {"progress": html.progress(run.done, run.job.plan.frames, run.began)}
        if memory:
            plan, last, forecast = run.job.plan, run.last, run.forecast
            held = readout.Held(
                last.held if last else (),
                tuple(n for n in last.pinned if n in plan.known) if last else (),  # the others are no marks
                forecast.frame_bytes,
                forecast.frames_held,
                forecast.unbounded_bytes,
                plan.memory,
            )
            view["readout"] = readout.memory(run.points, plan.frames, held, self.host.engine.device)
        return view


def _end(visitor: Visitor, work: Work, run: Run, state: str) -> None:
    with visitor.alone():  # a frame may be flagged just now
        work.finish(run, state)


def _buttons(work: Work | None) -> dict:
    """What can be pressed: what a visitor most likely wants next is the primary one."""
    if work is None:
        off = Props(interactive=False)
        hidden = Props(visible=False)
        return {"track": off, "fix": off, "stop": off, "direction": hidden, "to_end": hidden}
    tracked, ready = work.tracked, bool(work.marks) and not work.busy
    fixes, rest = work.fixes(), work.rest if work.tracked else []
    label, waits = going_on(fixes, rest), bool(fixes or rest)
    usable = tracked and bool(fixes or rest or work.corrected)
    masks = len(work.run.records) if tracked and work.run else 0
    again = f"Track from scratch (replaces {masks} mask{'s' * (masks > 1)})" if masks else "Track"
    choice = Props(visible=usable and not work.busy and not (rest and not fixes))
    return {
        "track": Props(interactive=ready, value=again, variant="secondary" if tracked else "primary"),
        "fix": Props(interactive=usable and ready, value=label, variant="primary" if waits else "secondary"),
        "direction": choice,
        "to_end": choice,
        "stop": Props(interactive=work.busy),
    }
