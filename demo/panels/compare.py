"""Compare: several memories on the same clip and marks, one after the other, then side by side.

All runs of a comparison wait for one turn.  Nothing is shown of them elsewhere on the page.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from demo.draw import html
from demo.engine.comparing import tabulate, try_out
from demo.panels.base import (
    SETTINGS,
    Change,
    Panel,
    Props,
    View,
    Wires,
    after_edits,
    answers,
    run_ended,
    script,
)
from demo.work import brought
from demo.work.asking import prompts
from demo.work.compared import CASES, TABLE_5, Compared, MaskFiles, answers_to, chosen, new_run
from demo.work.job import Job
from demo.work.run import Run
from demo.work.side_by_side import compared_state
from demo.work.visitor import Overtaken, Visitor
from demo.work.work import Work
from stm_core.engine.forecast import Prediction
from stm_core.memory.policy import SHOWN
from stm_core.runs.compare_cases import Case, with_reference

TELL_EVERY = 1.0  # seconds between two views while a run goes
HERE = Path(__file__)
NOTHING = {"clip": None}
TRUTH = "truth"  # folder of true masks, in the clip's


class ComparePanel(Panel):
    """Runs comparisons."""

    name, wide, below, step = "compare", True, True, False
    live = ("compare_stop",)

    def layout(self, number: int) -> dict[str, Any]:
        """As Panel.layout."""
        gr.HTML(html.title("Compare", "what each memory keeps, costs and loses"))
        with gr.Accordion("Compare memories on this clip", open=False, elem_id="compare-fold"):
            cases = gr.CheckboxGroup(
                list(CASES),
                value=SHOWN,
                label="Two to five runs from the same marks",
                info="Choose strategies, sizes or memory limits; all else is as chosen under Memory. "
                "“The paper’s Table 5” runs the strategies that the STM paper compares.",
                elem_id="cases",
            )
            truth = gr.File(
                label="True masks: a ZIP, or PNGs named by frame",
                file_count="multiple",
                height=84,
                elem_id="truth",
            )
            with gr.Row():
                start = gr.Button("Compare", variant="primary", elem_id="compare", min_width=90)
                self.paper = gr.Button("The paper’s Table 5", elem_id="table5", min_width=190)
                halt = gr.Button("Stop", variant="stop", interactive=False, min_width=90)
            shown = gr.HTML(
                NOTHING,
                html_template=HERE.with_suffix(".html").read_text(),
                elem_id="compared",
                js_on_load=script("frames.js", "compare.js"),
                apply_default_css=False,
            )
        return {"cases": cases, "compare": start, "compare_stop": halt, "truth": truth, "compared": shown}

    def wire(self, wires: Wires) -> None:
        """As Panel.wire."""
        for button, given in ((self.parts["compare"], ()), (self.paper, (TABLE_5,))):
            asked = [*([] if given else ["cases"]), *SETTINGS]
            js = after_edits(len(asked))
            ready = wires.on(button.click, self.get_ready, asked, queue=False, given=given, js=js)
            wires.on(ready.then, self.compare, lane="gpu")
        wires.on(self.parts["compare_stop"].click, self.stop, queue=False)
        wires.on(self.parts["truth"].upload, self.take_truth, ["truth"], lane="media")

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """As Panel.refresh."""
        if change < Change.MARKS:
            return {}
        work = visitor.work
        goes = work is not None and work.busy and work.current.trial
        view: dict = {"compare_stop": Props(interactive=goes)}
        if change == Change.CLIP:
            shown = compared_state(work) if work is not None and work.compared is not None else NOTHING
            view |= {"compared": shown, "truth": None}
        return view

    # events -----------------------------------------------------------------------------------------------

    @answers
    def get_ready(self, visitor: Visitor, names: list[str], *settings: Any) -> View:
        """Compare was pressed: say at once what will run, as the comparison may have to wait for its turn.

        names: of the cases.  settings: see SETTINGS.
        """
        work = visitor.need_work()
        if work.busy:
            return View(notice=html.notice("This clip is being tracked already; press Stop first.", "info"))
        prompts(work)  # nothing is marked: said before anybody waits
        self.host.waiting.join(visitor, work, new_run(work.clip.folder), (names, *settings))
        told = html.bar(0, 1, "Waiting to start…")
        return View(Change.MARKS, cases=names, compared=compared_state(work, told))

    @answers
    def stop(self, visitor: Visitor) -> View:
        """Stop was pressed: what is done is kept."""
        work = visitor.need_work()
        if work.compared is not None:
            work.compared.stop = True
        if work.current is not None:
            work.current.end()
        return View(compare_stop=Props(interactive=False))

    @answers
    def take_truth(self, visitor: Visitor, paths: list[str] | None) -> View:
        """True masks were given: they are read behind the guard, and kept beside the clip."""
        with visitor.at_work() as work:
            self.host.opener.check_space(visitor.caller)
            frames = self._read_truth(work, [str(path) for path in paths or ()])
            first, last = html.number(frames[0]), html.number(frames[-1])
            view = View(
                notice=html.notice(f"{len(frames)} true masks were read, frames {first} to {last}.", "info"),
                truth=None,
            )
            if work.compared is not None and work.compared.runs and not work.busy:
                work.compared.table = tabulate(work.compared, self._truth(work))
                view["compared"] = compared_state(work)
        return view

    @answers
    def compare(self, visitor: Visitor) -> Iterator[View]:
        """Run what was asked when the button was pressed, one after the other, and show it side by side."""
        work = visitor.work
        waiting = work.current if work else None
        if work is None or waiting is None or waiting.state != "waiting" or not waiting.trial:
            yield self._idle(work)  # it was stopped before its turn
            return
        try:
            visitor.wait_for_edits(waiting)
            if visitor.work is not work:  # another clip was opened meanwhile
                raise Overtaken
            if waiting.state != "waiting":  # Stop was pressed
                yield self._idle(work)
                return
            waiting.state = "running"  # it has its turn: its place in the queue is free
            with visitor.at_work():
                names, *settings = waiting.asked
                cases = with_reference(chosen(names), self._truth(work) is not None)
                runs = {case.name: self._planned(work, case, settings) for case in cases}
                if not waiting.stop:  # else Stop was pressed while the truth was read, or the clip was closed
                    yield from self._run(visitor, work, runs)
            idle = self._idle(work)
            idle |= run_ended(visitor)
            yield idle
        except Overtaken:
            raise
        except Exception:
            yield self._idle(work)
            raise
        finally:
            waiting.state = "stopped"
            if work.current is not None and work.current.trial:  # the page may have been closed
                work.current.state = "stopped" if work.current.under_way else work.current.state
                work.current = None

    def _idle(self, work: Work | None) -> View:
        """Nothing is being compared."""
        if work is None:
            return View()
        if work.current is not None and work.current.trial:
            work.current.end()
            work.current = None
        return View(Change.MARKS, compared=compared_state(work))

    def _planned(self, work: Work, case: Case, settings: list) -> tuple[Job, Prediction]:
        """What a case computes, and what it takes at most.  Refuses a case before any other has run."""
        runner, given = self.host.runner, dict(zip(SETTINGS, settings, strict=True))
        size = case.size or given.pop("size")
        given |= {"preset": case.preset or given["preset"], "budget": case.budget_mb or given["budget"]}
        memory = runner.memory(*(given[name] for name in SETTINGS if name != "size"))
        job = runner.plan(work, memory, runner.side(*work.clip.size, size), "")
        return job, runner.predict(job.plan)

    def _run(
        self, visitor: Visitor, work: Work, planned: dict[str, tuple[Job, Prediction]]
    ) -> Iterator[View]:
        found, before = Compared(), work.compared or Compared()
        work.compared = found
        for at, (name, (job, forecast)) in enumerate(planned.items()):
            more = job.plan.frames * (len(planned) - at - 1)
            old = [run for run in (*before.runs.values(), work.run) if answers_to(run, job.plan)]
            if old:
                found.runs[name] = self._kept(work, old[0])
                continue
            run = new_run(work.clip.folder)
            with visitor.changing(work):
                run.begin(replace(job, folder=run.folder), forecast)
                work.current = found.runs[name] = run
            yield View(Change.MARKS, compared=compared_state(work, _told(name, run, more)))
            with closing(try_out(self.host.runner, run)) as steps:
                told = time.perf_counter()
                for _ in steps:
                    if visitor.work is not work:
                        return
                    if time.perf_counter() - told > TELL_EVERY:
                        told = time.perf_counter()
                        yield View(compared=compared_state(work, _told(name, run, more)))
            if found.stop or run.stop:
                break
        found.runs = {name: run for name, run in found.runs.items() if run.records}
        _discard_others(work, found)
        if found.runs:
            yield View(compared=compared_state(work, html.bar(1, 1, "Scoring…")))
            found.table = tabulate(found, self._truth(work))

    def _kept(self, work: Work, run: Run) -> Run:
        """A run that need not run again; the page's own run is copied, because its folder may be removed."""
        if run is not work.run:
            return run
        kept = new_run(work.clip.folder)
        kept.copy(run)
        kept.job, kept.report, kept.state, kept.fresh = run.job, run.report, run.state, set(run.fresh)
        kept.first_step, kept.last_step = run.first_step, run.last_step
        return kept

    # the truth --------------------------------------------------------------------------------------------

    def _truth(self, work: Work) -> Mapping[int, np.ndarray] | None:
        """The true masks of the clip: those that were given, or that an example brings."""
        folder = Path(work.clip.folder) / TRUTH
        bundled = self.host.examples / f"{work.clip.example}_masks.zip"
        if not folder.is_dir() and work.clip.example and bundled.exists():
            self._read_truth(work, [str(bundled)])
        frames = [int(path.stem) for path in folder.glob("*.png")]
        inside = [t for t in frames if work.clip.start <= t < work.clip.stop]
        return MaskFiles(folder, inside) if inside else None

    def _read_truth(self, work: Work, paths: list[str]) -> list[int]:
        found = brought.read(self.host.guard, work.clip, self.host.limits, paths)
        folder = Path(work.clip.folder) / TRUTH
        shutil.rmtree(folder, ignore_errors=True)
        return brought.write(found.items(), folder)


def _discard_others(work: Work, found: Compared) -> None:
    """Remove the runs of earlier comparisons that this one does not show."""
    kept = {run.folder for run in found.runs.values()}
    for folder in Path(work.clip.folder).glob("tried-*"):
        if str(folder) not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _told(name: str, run: Run, more: int) -> str:
    return html.faint(name) + html.progress(run.done, run.job.plan.frames, run.began, more)
