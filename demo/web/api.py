"""The web API: `/segment` and `/click`, with the engine and the guard of the page; more in `memory_api.py`.

Everything else that the page does is private: it belongs to a visitor and may change at any time.
"""

import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np

from demo.draw.html import sentence
from demo.engine.runner import OPACITY
from demo.gradio_fixes import describe, docstring_of
from demo.panels.base import Host
from demo.work.job import Again, Job
from demo.work.quotas import caller_of
from demo.work.retention import discard
from demo.work.run import Run
from demo.work.taking import chosen, ordered, take
from stm_core.engine.prompts import Prompt
from stm_core.errors import LimitError, PromptError, StmError, for_visitors
from stm_core.export.order import Options
from stm_core.export.registry import FORMATS
from stm_core.masks import mask_files as masks
from stm_core.media.files import Whole, write_whole
from stm_core.memory.policy import PRESETS, MemoryConfig
from stm_core.runs.plan import plan_clip

ANSWERED = ("overlay.mp4", "segment.zip")
STILL_THERE = 0.5  # seconds between checks that the client is still connected
UNDER_WAY = (None, None, None)  # an empty answer; Gradio ends the call here if its client is gone
CLIP = {"path": "clip.mp4", "meta": {"_type": "gradio.FileData"}}
EXAMPLE = {"video": CLIP, "clicks": [[0, 96, 128, 1, 1]]}  # of the API page


def add(host: Host) -> None:
    """Put both endpoints on the page that is being built."""
    api = Api(host)
    with gr.Group(visible=False):
        preset = gr.Textbox(MemoryConfig.preset, label="preset")
        more = [gr.JSON(label="formats"), gr.Textbox("", label="template")]
        inputs = [gr.File(label="video"), *prompting(), preset, *sizing(), *more]
        outputs = [gr.File(label="overlay"), gr.File(label="archive"), gr.JSON(label="report")]
        endpoint(api.segment, inputs, outputs, "gpu", EXAMPLE)
        frame = gr.Number(0, label="frame", precision=0)
        inputs = [gr.File(label="video"), frame, gr.JSON(label="clicks")]
        example = {"video": CLIP, "clicks": [[96, 128, 1, 1]]}
        endpoint(api.click, inputs, [gr.File(label="mask")], "upload", example)  # slow: it opens a clip


def prompting() -> list[gr.components.Component]:
    """The values that say what to follow."""
    return [gr.File(label="mask"), gr.JSON(label="clicks")]


def sizing() -> list[gr.components.Component]:
    """The values that say how much is kept, and how small the network works."""
    return [
        gr.Number(64, label="budget_mb"),
        gr.Number(5, label="every", precision=0),
        gr.Number(None, label="size", precision=0),
    ]


def endpoint(function, inputs: list, outputs: list, lane: str, example: dict[str, object]) -> None:
    """Connect an endpoint to a hidden button; its docstring becomes the text of the API page."""
    name = function.__name__
    _, words, returned = docstring_of(function)
    words.pop("request", None)  # filled in by Gradio, not by the caller
    for part, text in zip(inputs, words.values(), strict=True):
        told = text.replace("{presets}", ", ".join(PRESETS)).replace("{formats}", ", ".join(FORMATS))
        describe(part, told, example.get(part.label))
    for part, text in zip(outputs, returned, strict=True):
        describe(part, text.split(": ", 1)[1])
    lanes = {"concurrency_id": lane, "concurrency_limit": 1}
    gr.Button(name).click(function, inputs, outputs, api_name=name, **lanes)


class Api:
    """The two endpoints, callable as plain functions."""

    def __init__(self, host: Host):
        self.host, self.runner = host, host.runner

    def segment(
        self,
        video: str,
        mask: str | None = None,
        clicks: list | None = None,
        preset: str = "bounded",
        budget_mb: float = 64,
        every: int = 5,
        size: int | None = None,
        formats: list | None = None,
        template: str = "",
        request: gr.Request | None = None,
    ) -> Iterator[tuple[str | None, str | None, dict | None]]:
        """Give every frame of a clip a mask, from a mask of its first frame, from clicks, or from both.

        Args:
            video: the clip: MP4, MOV, WebM, MKV, AVI, MPEG-TS, GIF, animated WebP or a ZIP of pictures.
            mask: mask of frame 0, a picture of the clip's size: palette PNG (value = object) or black/white.
            clicks: list of [frame, x, y, label, object] in pixels; label 1 = object, 0 = not; objects from 1.
            preset: what the memory keeps, one of {presets}.
            budget_mb: most megabytes that stored frames may take, for presets with a limit.
            every: store one frame in this many.
            size: short side in pixels at which the network works; none = the clip's own size. Hosts limit it.
            formats: also export to these, list of names out of {formats}; files in exports/ of the archive.
            template: names of exported files, such as {clip}_{object}_{frame}; empty = as usual.

        Returns:
            overlay: the clip with its masks drawn in, MP4 (H.264) with the clip's times and sound.
            archive: ZIP of masks/00000.png ... (palette PNG, one per frame), overlay.mp4, report.json.
            report: the content of report.json: frames, seconds, memory, device, warnings.
        """
        caller = caller_from(request)
        with spoken(), self.opened(caller, video, mask) as (source, info):
            memory = self.runner.memory(preset, budget_mb, every)
            options, wanted = Options(template=template or "", opacity=OPACITY), chosen(formats)
            job = self.job(source, info, self.prompts(mask, clicks, info), memory, size)
            run = Run(job.folder)
            run.begin(job, self.runner.predict(job.plan))  # too many marked frames are refused here
            began, told, report, done, more = time.perf_counter(), 0.0, {}, [], []
            with closing(self.runner.steps(run)) as steps:
                for step in steps:
                    if isinstance(step, Again):
                        done.clear()
                    elif isinstance(step, dict):
                        report = step
                    else:
                        done.append(step.index)
                    if time.perf_counter() - told > STILL_THERE:
                        yield UNDER_WAY
                        told = time.perf_counter()
            done, notes = sorted(done), list(info["warnings"])
            with closing(self._film(source, done)) as film:
                for found, _ in film:  # every tenth frame
                    notes += found.get("warnings", [])
                    yield UNDER_WAY
            objects = {number: f"object{number}" for number in sorted(job.plan.objects)}
            for one in wanted:
                order = ordered(source.parent, done, objects, Path(video).stem, one, options)
                more.append(f"exports/{one.name}{one.ending if one.single else '.zip'}")
                with closing(take(self.host.guard, order, source, source.parent / more[-1])) as steps:
                    for _ in steps:
                        yield UNDER_WAY
            report = self._pack(source, done, report, notes, began, more)
            answer = self.handed_over(caller, *(source.parent / name for name in ANSWERED))
        yield *answer, report

    def click(
        self, video: str, frame: int = 0, clicks: list | None = None, request: gr.Request | None = None
    ) -> str:
        """The mask of one frame from clicks.

        Args:
            video: the clip, a file as for /segment.
            frame: number of the frame, from 0.
            clicks: list of [x, y, label, object], in pixels of the upright frame; label 1 = object, 0 = not.

        Returns:
            mask: palette PNG of that frame, value = object.
        """
        caller = caller_from(request)
        with spoken(), self.opened(caller, video) as (source, info):
            index, rows = int(frame or 0), _rows(clicks, (2, 4), "[x, y, label, object]")
            self._check_clicks(index, len(rows))
            prompt = Prompt.from_clicks(rows)
            self._check_objects([prompt])
            if not 0 <= index < info["frames"]:
                raise PromptError(
                    f"frame {index} does not exist; the clip has frames 0 to {info['frames'] - 1}"
                )
            picture = self.picture(source, index)
            labels = self.host.engine.click(picture, prompt.clicks, None, None)
            target = source.parent / f"mask_{index:05d}.png"
            write_whole(target, masks.encode_mask(labels))
            return self.handed_over(caller, target)[0]

    def picture(self, source: Path, index: int) -> np.ndarray:
        """A frame of a clip, uint8 (H, W, 3).  Raises PromptError when it cannot be decoded."""
        with closing(self.host.guard.frames(source, index, index + 1)) as frames:
            for found in frames:
                return found
        raise PromptError(f"frame {index} could not be decoded; choose another")

    @contextmanager
    def opened(self, caller: str, video: str, *others: str | None) -> Iterator[tuple[Path, dict]]:
        """The clip's path in a new folder, and what the probe says of the clip.

        others: paths of the call's other uploads.
        The folder is removed when the call ends, however it ends, and the uploads a few minutes later.
        """
        if not video:
            raise PromptError(
                "no video was given; send a file, for example gradio_client.handle_file('clip.mp4')"
            )
        visitor = self.host.new_visitor(caller)
        try:
            yield self.host.opener.whole(visitor, video)
        finally:
            discard(Path(visitor.folder))
            for upload in (video, *others):
                self.host.quotas.used(caller, upload)

    def handed_over(self, caller: str, *paths: Path) -> list[str]:
        """Move finished files to the folder from which the client fetches them; their new paths."""
        folder = self.host.quotas.new_answer(caller)
        return [str(path.replace(folder / path.name)) for path in paths]

    def prompts(self, mask: str | None, clicks: list | None, info: dict) -> list[Prompt]:
        """The prompts of a call.  Raises PromptError, MaskError, LimitError."""
        if not mask and not clicks:
            raise PromptError("neither mask nor clicks were given; send one of the two")
        found = [self._mask(mask, info)] if mask else []
        by_frame: dict[int, list] = {}
        for frame, *click in _rows(clicks or [], (3, 5), "[frame, x, y, label, object]"):
            by_frame.setdefault(int(frame), []).append(click)
        for index, rows in by_frame.items():
            self._check_clicks(index, len(rows))
            found.append(Prompt.from_clicks(rows, frame=index))
        self._check_objects(found)
        return found

    def job(
        self, source: Path, info: dict, prompts: list[Prompt], memory: MemoryConfig, size: float | None
    ) -> Job:
        """The job of a call, in the clip's folder.  Raises LimitError, and what `plan_clip` raises."""
        height, width = info["height"], info["width"]
        side, most = min(int(size or 0) or min(height, width), height, width), self.host.limits.max_side
        if side > most:
            raise LimitError(
                f"frames of {width}x{height} would be processed at {side} pixels, {most} are allowed here; "
                f"send size={most} or less"
            )
        seen = int(size) if size else None
        plan = plan_clip(height, width, info["frames"], prompts, memory=memory, size=seen)
        job = Job(plan, clip=str(source), folder=str(source.parent), preview_side=64)
        engine = self.host.engine
        if not engine.zero:
            return job
        rate = engine.rate(*engine.seen(height, width, plan.size), len(plan.objects))
        return replace(job, seconds=rate * plan.frames)

    def _check_clicks(self, frame: int, count: int) -> None:
        most = self.host.limits.max_edits
        if count > most:
            raise LimitError(
                f"frame {frame} has {count} clicks, the limit is {most}; send fewer, or give a mask instead"
            )

    def _check_objects(self, prompts: list[Prompt]) -> None:
        objects, most = {n for prompt in prompts for n in prompt.objects}, self.host.limits.max_objects
        if len(objects) > most:
            raise LimitError(f"{len(objects)} objects were asked for, {most} are allowed here")

    def _mask(self, path: str, info: dict) -> Prompt:
        labels = self.host.guard.pixels("mask", path=path, height=info["height"], width=info["width"])
        return Prompt.from_mask(labels, frame=0)

    def _film(self, source: Path, done: list[int]) -> Iterator[tuple[dict, None]]:
        return self.host.guard.stream(
            "film",
            cpu_seconds=3600,
            clip=str(source),
            folder=str(source.parent),
            out=str(source.parent / "overlay.mp4"),
            frames=done,
            kind="overlay",
            opacity=OPACITY,
        )

    def _pack(
        self,
        source: Path,
        done: list[int],
        report: dict,
        notes: list[str],
        began: float,
        more: list[str],
    ) -> dict:
        folder = source.parent
        overlay, archive = (folder / name for name in ANSWERED)
        spent = time.perf_counter() - began
        report["warnings"] = list(dict.fromkeys([*notes, *report.get("warnings", [])]))
        report["seconds"]["total"], report["fps"] = spent, len(done) / spent
        write_whole(folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
        with Whole(archive) as part, zipfile.ZipFile(part, "w") as pack:
            for index in done:
                pack.write(folder / "masks" / f"{index:05d}.png", f"masks/{index:05d}.png")
            for name in (overlay.name, "report.json", *more):
                pack.write(folder / name, name)
        return report


class spoken:
    """Turns a StmError into a gr.Error, whose text Gradio sends to the client."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, StmError):
            raise gr.Error(sentence(for_visitors(error)), print_exception=False) from error


def caller_from(request: gr.Request | None) -> str:
    """The address that a call came from; "" where there is none."""
    return caller_of(request.client and request.client.host, request.headers) if request else ""


def _rows(clicks, lengths: tuple[int, int], shape: str) -> list[list[float]]:
    """Clicks as lists of numbers.  Raises PromptError, which names the expected form."""
    if isinstance(clicks, str):
        try:
            clicks = json.loads(clicks)
        except ValueError:
            clicks = None
    if not isinstance(clicks, list) or not all(isinstance(row, (list, tuple)) for row in clicks):
        raise PromptError(f"clicks must be a list of {shape}, got {str(clicks)[:60]}")
    for row in clicks:
        if not lengths[0] <= len(row) <= lengths[1] or not all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e7 for v in row
        ):
            raise PromptError(f"a click is {str(row)[:60]}, expected {shape}")
    return [list(row) for row in clicks]
