"""Runs: the forecast, Track, Stop, Continue after a correction."""

import time
from collections.abc import Iterator
from contextlib import closing

from demo.draw import charts, readout
from demo.engine.device import Engine
from demo.limits import Limits
from demo.panels import stage_state as render
from demo.panels import views
from demo.panels.result import OPACITY
from demo.panels.runlog import RunLog
from demo.panels.views import Props, View, answers
from demo.work.run import Again, Job, Step
from demo.work.visitor import Session
from stm_core.engine.forecast import Prediction
from stm_core.engine.threads import read_ahead
from stm_core.errors import LimitError, OptionError, PromptError
from stm_core.memory.policy import PRESETS, MemoryConfig
from stm_core.runs.clip import Plan

DIRECTIONS = {"forward": (1,), "backward": (-1,), "both": (1, -1)}
TELLING = 10  # frames of a run that say how long others will take
AHEAD = 2  # frames that may be done before the page hears of them


class Runs:
    """The page's runs, over one engine for all visitors."""

    def __init__(self, engine: Engine, limits: Limits):
        self.engine, self.limits = engine, limits
        self.lined_up: list[Session] = []  # those whose run waits for its turn, or waited

    # before -----------------------------------------------------------------------------------------------

    def memory(self, preset: str, budget_mb: float, every: float) -> MemoryConfig:
        """The chosen memory.  OptionError when a value makes no sense or is over the host's limit."""
        if str(preset) not in PRESETS:
            raise OptionError(
                f"there is no memory preset {str(preset)[:30]!r}; choose one of {', '.join(PRESETS)}"
            )
        try:
            megabytes, interval = float(budget_mb), int(every)
        except (TypeError, ValueError) as error:
            raise OptionError("budget and “every” are numbers; set both again") from error
        if not 0.1 <= megabytes <= self.limits.max_budget_mb:
            raise OptionError(f"the budget is {megabytes:g} MB; choose 0.1 to {self.limits.max_budget_mb} MB")
        return MemoryConfig(preset=preset, every=interval, budget_bytes=int(megabytes * 2**20))

    def side(self, height: int, width: int, size: float | None) -> int | None:
        """The short side that was chosen (0 or None: the clip's own), as far as the host allows it."""
        chosen = int(size or 0) or min(height, width)
        return self.limits.max_side if chosen > self.limits.max_side else int(size or 0) or None

    @answers
    def forecast(self, session: Session, preset: str, budget_mb: float, every: float, size: int) -> View:
        """What a run would cost: bytes from the closed form, seconds from a short calibration on this
        machine.
        """
        if session.clip is None or session.running:
            return {}
        memory = self.memory(preset, budget_mb, every)
        seen = self.engine.seen(*session.clip.size, self.side(*session.clip.size, size))
        objects, frames = len(session.subjects), session.clip.stop - session.clip.start
        found = self.engine.predict(memory, *seen, objects, frames, len(session.marks))
        rate = self.engine.rate(*seen, objects)
        view = {
            "prediction": readout.prediction(
                found,
                rate,
                frames,
                memory.bound_bytes,
                preset,
                self.engine.device,
                seen,
                60 * self.limits.run_minutes,
            )
        }
        if not session.records:
            budget = memory.bound_bytes
            view["readout"] = readout.memory(
                [], frames, (), (), found.frame_bytes, budget, found.unbounded_bytes, self.engine.device
            )
        return view

    def get_ready(self, session: Session) -> View:
        """Track was pressed: said at once, while the run may still wait for its turn."""
        if session.running:
            text = "This clip is being tracked already; press Stop to end that run first."
            return {"notice": render.notice(text, "info")}
        self.lined_up = [one for one in self.lined_up if one.waiting]
        if len(self.lined_up) >= self.limits.queue_size:
            text = f"{len(self.lined_up)} runs wait for their turn, the most here; try again in a minute."
            return {"notice": render.notice(text, "info")}
        mine = sum(one.caller == session.caller for one in self.lined_up)
        if session.caller and mine >= self.limits.runs_of_one:
            text = f"{mine} runs from your address wait for their turn, the most here; wait for one of them."
            return {"notice": render.notice(text, "info")}
        self.lined_up.append(session)
        session.stop, session.waiting = False, True
        session.touch()
        return {
            "stop": Props(interactive=True),
            "track": Props(interactive=False),
            "fix": Props(interactive=False),
            "notice": "",
            "progress": readout.progress(0, 1, 0.0, queue="waiting for its turn…"),
        }

    def stop(self, session: Session) -> View:
        """Stop was pressed: the run ends after the frame it is at, or does not begin."""
        waited = session.waiting
        session.stop, session.waiting = True, False
        if session.running:
            return {"stop": Props(interactive=False)}
        if waited:
            verdict = readout.progress(0, 1, 0.0, finished="stopped before it began")
            return {**views.buttons(session), "progress": verdict}
        session.answer += 1  # the page lost its connection, and with it the end of its run
        return {
            **views.buttons(session),
            "stage": render.stage(session),
            "timeline": charts.timeline(session),
            "progress": readout.progress(0, 1, 0.0, finished="ended; every mask so far is kept"),
        }

    # the run ----------------------------------------------------------------------------------------------

    @answers
    def track(
        self, session: Session, preset: str, budget_mb: float, every: float, size: int, direction: str = ""
    ) -> Iterator[View]:
        """Give every frame its mask; with a direction, go on from the corrected frame and recompute only
        what follows.
        """
        if not session.waiting:  # stopped, or another clip was opened, before its turn came
            yield {}
            return
        mine = session.run
        try:
            session.need_clip()
            seen = self.side(*session.clip.size, size)
            job, found = self._begun(session, self.memory(preset, budget_mb, every), seen, direction)
        finally:
            if session.run == mine:  # else another clip was opened, and its own Track may wait
                session.waiting = False
        if job is None:
            yield {}
        else:
            run = RunLog(session, job, found, self.engine.device)
            yield from self._run(session, job, run, mine + 1, fresh=not direction)

    def _begun(
        self, session: Session, memory: MemoryConfig, size: int | None, direction: str
    ) -> tuple[Job, Prediction] | tuple[None, None]:
        """A run that has begun, with all marks there are: from now on nobody may mark.  (None, None) when it
        was stopped, or another clip was opened, while it was planned.
        """
        mine = session.run
        while session.waiting and session.run == mine:  # planning takes seconds: Stop counts till here
            job = self.plan(session, memory, size, direction)
            found = self.predict(job.plan)
            with session.alone():
                if session.waiting and session.run == mine and session.given() == job.plan.known:
                    session.run += 1
                    session.waiting, session.running = False, True
                    return job, found
        return None, None

    def plan(self, session: Session, memory: MemoryConfig, size: int | None, direction: str) -> Job:
        """The job that a session's marks ask for.  PromptError when there is nothing to begin from."""
        clip = session.need_clip()
        with views.of_this_clip(session):
            rate = self.engine.rate(*self.engine.seen(*clip.size, size), len(session.subjects))
        given = session.given()  # only now: measuring took a while, in which marks may have changed
        prompts = session.prompts()
        first = prompts[0].frame
        directions = (1, -1) if first > clip.start else (1,)
        if direction:
            fixes = session.fixes()
            if direction not in DIRECTIONS or not fixes:
                raise PromptError(
                    "no frame was corrected since the last run; go to a wrong frame, click it right, "
                    "then continue"
                )
            first = session.frame if session.frame in fixes else fixes[0]
            directions = DIRECTIONS[direction]
        height, width = clip.size
        plan = Plan(
            height=height,
            width=width,
            start=clip.start,
            stop=clip.stop,
            first=first,
            prompts=tuple(prompts),
            directions=directions,
            known=given,
            memory=memory,
            size=size,
        )
        return Job(
            plan,
            clip=clip.path,
            folder=clip.folder,
            preview_side=self.limits.preview_side,
            opacity=OPACITY,
            seconds=rate * (clip.stop - clip.start),
        )

    def _run(self, session: Session, job: Job, run: RunLog, mine: int, fresh: bool) -> Iterator[View]:
        session.revision += 1
        try:
            yield {**views.buttons(session), "notice": "", **run.view(), "stage": render.stage(session)}
            with closing(self.steps(session, job)) as steps:
                for step in steps:
                    if session.run != mine:  # another clip was opened, or the page was closed
                        yield {"progress": ""}
                        return
                    if isinstance(step, dict):
                        session.report = step
                        continue
                    if isinstance(step, Again):
                        job = step.job
                        run = RunLog(session, job, self.predict(job.plan), self.engine.device)
                        yield {"notice": render.notice(views.sentence(step.why), "info"), **run.view()}
                        continue
                    if not run.done:  # what an earlier run made stays until there is something new
                        session.report = None
                        if fresh:
                            session.records.clear()
                    run.add(step)
                    if step.preview is not None:
                        yield run.view(step)
            if session.run != mine:  # while the last frame was under way
                yield {"progress": ""}
                return
            session.running = False
            yield self._finished(session, job, run)
        except Exception:
            if session.run == mine:
                session.keep_what_is_written()
                session.report = run.summary(stopped=True) if run.done else session.report
                session.revision += 1
                yield {"timeline": charts.timeline(session)}
                raise
            yield {"progress": ""}  # its clip was closed under it, which is no news
        except GeneratorExit:  # the page was closed, or lost its connection
            if session.running and session.run == mine:
                self._keep(session, run, stopped=True)
            raise
        finally:
            if session.run == mine:
                session.running = False

    def steps(self, session: Session, job: Job) -> Iterator[Step | Again | dict]:
        """The engine's steps, computed in a thread of their own while the page is told of those before."""

        def until_stop():
            end = time.monotonic() + 60 * self.limits.run_minutes
            with closing(self.engine.track(job)) as steps:
                for step in steps:
                    if step is not None:
                        yield step
                    if session.stop:
                        return
                    if time.monotonic() > end and not isinstance(step, dict):
                        raise LimitError(
                            f"the run was ended after {self.limits.run_minutes} minutes, the most that one "
                            "may take here; choose a smaller size or a shorter clip"
                        )

        # a ZeroGPU worker is another process already, and its calls belong to this thread
        if self.engine.zero:
            return until_stop()
        # Gradio closes the run of a closed tab where it serves everybody: that must not wait for a frame
        return read_ahead(until_stop(), AHEAD, patient=False)

    def predict(self, plan: Plan) -> Prediction:
        """Bytes that a plan will take at most.  LimitError when its budget cannot hold all marked frames."""
        seen = self.engine.seen(plan.height, plan.width, plan.size)
        marked = {prompt.frame for prompt in plan.prompts}
        return self.engine.predict(plan.memory, *seen, len(plan.objects), plan.frames, len(marked))

    def _finished(self, session: Session, job: Job, run: RunLog) -> View:
        self._keep(session, run, stopped=session.stop)
        if run.done >= TELLING:
            height, width = self.engine.seen(*session.clip.size, job.plan.size)
            self.engine.rates[(height, width, len(session.subjects))] = run.pace
        session.answer += 1
        session.frame, session.jump = job.plan.first, session.jump + 1
        notes = " ".join(map(views.sentence, session.report.get("warnings") or ()))
        return {
            **views.buttons(session),
            **({"notice": render.notice(notes, "info")} if notes else {}),
            "stage": render.stage(session),
            "timeline": charts.timeline(session),
            **run.view(),
            "progress": run.verdict(stopped=session.stop),
        }

    def _keep(self, session: Session, run: RunLog, stopped: bool) -> None:
        """What a run made becomes the session's; without a frame, what an earlier one made stays."""
        if not run.done and session.report:
            return
        session.dirty -= run.frames  # a correction that no frame of this run was made from stays one
        session.pinned = tuple(sorted(set(session.marks) - session.dirty))
        session.report = {**(session.report or {}), **run.summary(stopped)}
        session.curve = run.points
        session.revision += 1  # pictures that were asked for during the run may be older than its end
