"""The web API: `/segment` and `/click`, with the engine and the guard of the page; more in `memory_api.py`.

Everything else that the page does is private: it belongs to a visitor and may change at any time.
"""

import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import gradio as gr

from demo.engine.runner import OPACITY
from demo.panels.base import Host
from demo.web.calls import CLIP, EXAMPLE, STILL_THERE, Calls, caller_from, endpoint, prompting, sizing, spoken
from demo.web.sent_lists import ranges_of, rows_of
from demo.work.job import Again
from demo.work.run import Run
from demo.work.taking import chosen, ordered, take
from stm_core.engine.prompts import Prompt
from stm_core.errors import PromptError
from stm_core.export.order import Options
from stm_core.masks import mask_files as masks
from stm_core.media.files import Whole, write_whole
from stm_core.memory.policy import MemoryConfig

ANSWERED = ("overlay.mp4", "segment.zip")
UNDER_WAY = (None, None, None)  # an empty answer; Gradio ends the call here if its client is gone


def add(host: Host) -> None:
    """Put both endpoints on the page that is being built."""
    api = Api(host)
    with gr.Group(visible=False):
        preset = gr.Textbox(MemoryConfig.preset, label="preset")
        more = [gr.JSON(label="formats"), gr.Textbox("", label="template"), gr.JSON(label="absent")]
        inputs = [gr.File(label="video"), *prompting(), preset, *sizing(), *more]
        outputs = [gr.File(label="overlay"), gr.File(label="archive"), gr.JSON(label="report")]
        endpoint(api.segment, inputs, outputs, "gpu", EXAMPLE)
        frame = gr.Number(0, label="frame", precision=0)
        inputs = [gr.File(label="video"), frame, gr.JSON(label="clicks")]
        example = {"video": CLIP, "clicks": [[96, 128, 1, 1]]}
        endpoint(api.click, inputs, [gr.File(label="mask")], "upload", example)  # slow: it opens a clip


class Api:
    """The two endpoints, callable as plain functions."""

    def __init__(self, host: Host):
        self.host, self.runner, self.calls = host, host.runner, Calls(host)

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
        absent: list | None = None,
        request: gr.Request | None = None,
    ) -> Iterator[tuple[str | None, str | None, dict | None]]:
        """Give every frame of a clip a mask, from a mask of its first frame, from clicks, or from both.

        Args:
            video: the clip: MP4, MOV, WebM, MKV, AVI, MPEG-TS, GIF, animated WebP or a ZIP of pictures.
            mask: mask of frame 0, as large as the clip: palette PNG (value = object) or black and white.
            clicks: list of [frame, x, y, label, object] in pixels; label 1 = object, 0 = not; objects from 1.
            preset: what the memory keeps, one of {presets}.
            budget_mb: most megabytes that stored frames and a read of them take, for presets with a limit.
            every: store one frame in this many.
            size: most pixels of the short side that the network sees; none = no limit, small ones enlarged.
            formats: list of formats to export too, of {formats}; the files are in exports/ of the archive.
            template: how exported files are named, such as {clip}_{object}_{frame}; empty = the usual names.
            absent: list of [object, first, last]: frames in which an object is gone, first and last included.

        Returns:
            overlay: the clip with its masks drawn in, MP4 (H.264) with the clip's times and sound.
            archive: ZIP of masks/00000.png ... (palette PNG, one per frame), overlay.mp4, report.json.
            report: the content of report.json: frames, seconds, memory, device, warnings.
        """
        caller = caller_from(request)
        with spoken(), self.calls.opened(caller, video, mask) as (source, info):
            memory = self.runner.memory(preset, budget_mb, every)
            options, wanted = Options(template=template or "", opacity=OPACITY), chosen(formats)
            prompts = self.calls.prompts(mask, clicks, info)
            job = self.calls.job(source, info, prompts, memory, size, ranges_of(absent))
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
                self.host.opener.check_space(caller)  # each file may be as large as all others together
                order = ordered(source.parent, done, objects, Path(video).stem, one, options)
                more.append(f"exports/{one.name}{one.ending if one.single else '.zip'}")
                with closing(take(self.host.guard, order, source, source.parent / more[-1])) as steps:
                    for _ in steps:
                        yield UNDER_WAY
            report = self._pack(source, done, report, notes, began, more)
            answer = self.calls.handed_over(caller, *(source.parent / name for name in ANSWERED))
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
        with spoken(), self.calls.opened(caller, video) as (source, info):
            index, rows = int(frame or 0), rows_of(clicks, (2, 4), "[x, y, label, object]")
            self.calls.check_clicks(index, len(rows))
            prompt = Prompt.from_clicks(rows)
            self.calls.check_objects([prompt])
            if not 0 <= index < info["frames"]:
                raise PromptError(
                    f"frame {index} does not exist; the clip has frames 0 to {info['frames'] - 1}"
                )
            picture = self.calls.picture(source, index)
            labels = self.host.engine.click(picture, prompt.clicks, None, None)
            target = source.parent / f"mask_{index:05d}.png"
            write_whole(target, masks.encode_mask(labels))
            return self.calls.handed_over(caller, target)[0]

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
