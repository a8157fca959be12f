"""The web API of what the memory does: `/look` and `/compare`, with the answers of the commands."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import gradio as gr

from demo.engine.comparing import tabulate, try_out
from demo.engine.looking import look_at
from demo.panels.base import Host
from demo.web.calls import EXAMPLE, STILL_THERE, Calls, caller_from, endpoint, prompting, sizing, spoken
from demo.work import brought
from demo.work.compared import Compared, MaskFiles, new_run
from demo.work.job import Again
from demo.work.run import Run
from stm_core.errors import OptionError, PromptError
from stm_core.memory.policy import PRESETS, SHOWN, MemoryConfig
from stm_core.runs.compare import FILM
from stm_core.runs.compare_cases import cases_of, with_reference
from stm_core.runs.look_picture import look_picture
from stm_core.runs.look_run import PICTURE, WEIGHTS, look_files


def add(host: Host) -> None:
    """Put the endpoints on the page that is being built."""
    api = MemoryApi(host)
    with gr.Group(visible=False):
        frame, at = gr.Number(0, label="frame", precision=0), gr.JSON(label="at")
        preset = gr.Textbox(MemoryConfig.preset, label="preset")
        inputs = [gr.File(label="video"), frame, at, *prompting(), preset, *sizing()]
        outputs = [gr.JSON(label="look"), gr.File(label="picture"), gr.File(label="weights")]
        endpoint(api.look, inputs, outputs, "gpu", {**EXAMPLE, "frame": 10, "at": [96, 128]})
        presets, truth = gr.JSON(label="presets"), gr.File(label="truth")
        inputs = [gr.File(label="video"), presets, *prompting(), truth, *sizing()]
        outputs = [gr.JSON(label="table"), gr.File(label="film")]
        endpoint(api.compare, inputs, outputs, "gpu", {**EXAMPLE, "presets": [*SHOWN[:2]]})


class MemoryApi:
    """The endpoints, callable as plain functions."""

    def __init__(self, host: Host):
        self.host, self.runner, self.calls = host, host.runner, Calls(host)

    def look(
        self,
        video: str,
        frame: int = 0,
        at: list | None = None,
        mask: str | None = None,
        clicks: list | None = None,
        preset: str = MemoryConfig.preset,
        budget_mb: float = 64,
        every: int = 5,
        size: int | None = None,
        request: gr.Request | None = None,
    ) -> Iterator[tuple[dict | None, str | None, str | None]]:
        """Where a pixel of a frame looks in memory, when the clip is segmented up to that frame.

        Args:
            video: the clip, a file as for /segment.
            frame: number of the frame, from 0.
            at: [x, y], a pixel of the upright frame.
            mask: mask of frame 0, as for /segment.
            clicks: list of [frame, x, y, label, object], as for /segment.
            preset: what the memory keeps, one of {presets}.
            budget_mb: most megabytes of stored frames, where the preset has a limit.
            every: store one frame in this many.
            size: most pixels of the short side that the network sees; none = no limit, small ones enlarged.

        Returns:
            look: the frames in memory with their shares, the strongest matches, what memory says by itself.
            picture: PNG of the same: heat maps over the stored frames.
            weights: NPZ, one float32 (height, width) array for each stored frame, named t00005.
        """
        caller = caller_from(request)
        with spoken(), self.calls.opened(caller, video, mask) as (source, info):
            index, (x, y) = _frame(frame, info), _pixel(at)
            memory = self.runner.memory(preset, budget_mb, every)
            job = self.calls.job(source, info, self.calls.prompts(mask, clicks, info), memory, size)
            run, told = Run(job.folder), 0.0
            run.begin(job, self.runner.predict(job.plan))
            with closing(self.runner.steps(run)) as steps:
                for step in steps:
                    if isinstance(step, Again):
                        run.again(step.job, self.runner.predict(step.job.plan))
                    elif not (run.stop or isinstance(step, dict)):
                        run.add(step)
                        if step.index == index:
                            run.end()  # and go on: at the end every mask is written
                    if time.perf_counter() - told > STILL_THERE:
                        yield None, None, None
                        told = time.perf_counter()
            picture = partial(self.calls.picture, source)
            found, images = look_at(self.host.engine, run, index, (x, y), picture)
            files = look_files(found, look_picture(found, images, run.labels(index)))
            paths = [source.parent / name for name in (PICTURE, WEIGHTS)]
            for path in paths:
                path.write_bytes(files[path.name])
            answer = self.calls.handed_over(caller, *paths)
        yield found.as_dict(), *answer

    def compare(
        self,
        video: str,
        presets: list | None = None,
        mask: str | None = None,
        clicks: list | None = None,
        truth: str | None = None,
        budget_mb: float = 64,
        every: int = 5,
        size: int | None = None,
        request: gr.Request | None = None,
    ) -> Iterator[tuple[dict | None, str | None]]:
        """Segment a clip once for each of several memories, and put the results side by side.

        Args:
            video: the clip, a file as for /segment.
            presets: list of one to five of {presets}; none = all.
            mask: mask of frame 0, as for /segment.
            clicks: list of [frame, x, y, label, object], as for /segment.
            truth: true masks: a ZIP of PNGs named by frame, COCO or CVAT; none = agreement with every-5.
            budget_mb: most megabytes of stored frames, where the preset has a limit.
            every: store one frame in this many.
            size: most pixels of the short side that the network sees; none = no limit, small ones enlarged.

        Returns:
            table: the runs with bytes, seconds, J, F and agreement, as the command's compare.json.
            film: MP4 of all runs side by side, and of where their masks differ.
        """
        caller = caller_from(request)
        with spoken(), self.calls.opened(caller, video, mask, truth) as (source, info):
            names = [case.name for case in with_reference(cases_of(_names(presets)), bool(truth))]
            given, true = self.calls.prompts(mask, clicks, info), self._truth(truth, source, info)
            jobs = {}
            for name in names:
                memory = self.runner.memory(name, budget_mb, every)
                jobs[name] = self.calls.job(source, info, given, memory, size)
                self.runner.predict(jobs[name].plan)  # all are refused before one runs
            found, told = Compared(), 0.0
            for name, job in jobs.items():
                run = found.runs[name] = new_run(source.parent)
                run.begin(replace(job, folder=run.folder), self.runner.predict(job.plan))
                with closing(try_out(self.runner, run)) as steps:
                    for _ in steps:
                        if time.perf_counter() - told > STILL_THERE:
                            yield None, None
                            told = time.perf_counter()
            yield None, None
            table = tabulate(found, true)
            with closing(self._film(source, found)) as film:
                for _ in film:  # every tenth frame
                    yield None, None
            answer = self.calls.handed_over(caller, source.parent / FILM)
        yield table, *answer

    def _truth(self, path: str | None, source: Path, info: dict) -> MaskFiles | None:
        if not path:
            return None
        folder, size = source.parent / "truth", (info["height"], info["width"])
        masks = brought.stream(self.host.guard, size, self.host.limits, [path], info["frames"])
        return MaskFiles(folder, brought.write(masks, folder))

    def _film(self, source: Path, found: Compared) -> Iterator[tuple[dict, None]]:
        return self.host.guard.stream(
            "compared",
            cpu_seconds=3600,
            clip=str(source),
            out=str(source.parent / FILM),
            extra={name: f"{run.folder}/masks" for name, run in found.runs.items()},
            frames=sorted({t for run in found.runs.values() for t in run.records}),
        )


def _names(presets: list | None) -> list[str]:
    if presets is not None and not (isinstance(presets, list) and all(isinstance(n, str) for n in presets)):
        raise OptionError(f'presets are {str(presets)[:60]}, expected a list of names such as ["first"]')
    return presets or list(PRESETS)


def _frame(frame: int, info: dict) -> int:
    if not 0 <= int(frame or 0) < info["frames"]:
        raise OptionError(f"there is no frame {frame}; the clip has frames 0 to {info['frames'] - 1}")
    return int(frame or 0)


def _pixel(at: list | None) -> tuple[int, int]:
    whole = isinstance(at, list) and all(type(one) in (int, float) and abs(one) < 1e7 for one in at)
    if at is None or not whole or len(at) != 2:
        raise PromptError(f"at is {str(at)[:60]}, expected [x, y] in pixels of the upright frame")
    return int(at[0]), int(at[1])
