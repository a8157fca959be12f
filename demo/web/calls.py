"""What the calls of the web API share: how one is received, checked, planned and answered."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np

from demo.draw.html import sentence
from demo.gradio_fixes import describe, docstring_of
from demo.panels.base import Host
from demo.web.sent_lists import rows_of
from demo.work.job import Job
from demo.work.quotas import caller_of
from demo.work.retention import discard
from stm_core.engine.prompts import Absent, Prompt
from stm_core.errors import LimitError, PromptError, StmError, for_visitors
from stm_core.export.registry import FORMATS
from stm_core.memory.policy import PRESETS, MemoryConfig
from stm_core.runs.plan import plan_clip

log = logging.getLogger(__name__)
STILL_THERE = 0.5  # seconds between checks that the client is still connected
CLIP = {"path": "clip.mp4", "meta": {"_type": "gradio.FileData"}}
EXAMPLE = {"video": CLIP, "clicks": [[0, 96, 128, 1, 1]]}  # of the API page


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


class spoken:
    """Inside, an error becomes a gr.Error, whose text Gradio sends to the client.

    An error that is not ours goes to the log instead: its text may name files of the server.
    """

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, StmError):
            raise gr.Error(sentence(for_visitors(error)), print_exception=False) from error
        if isinstance(error, Exception):
            log.error("a call failed", exc_info=error)
            raise gr.Error("Something went wrong on the server; try again.", print_exception=False) from error


def caller_from(request: gr.Request | None) -> str:
    """The address that a call came from; "" where there is none."""
    return caller_of(request.client and request.client.host, request.headers) if request else ""


class Calls:
    """Checks what a call brings, within the limits of the host, and plans its job."""

    def __init__(self, host: Host):
        self.host = host

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
        for frame, *click in rows_of(clicks or [], (3, 5), "[frame, x, y, label, object]"):
            by_frame.setdefault(int(frame), []).append(click)
        for index, rows in by_frame.items():
            self.check_clicks(index, len(rows))
            found.append(Prompt.from_clicks(rows, frame=index))
        self.check_objects(found)
        return found

    def job(
        self,
        source: Path,
        info: dict,
        prompts: list[Prompt],
        memory: MemoryConfig,
        size: float | None,
        absent: Absent | None = None,
    ) -> Job:
        """The job of a call, in the clip's folder.  Raises LimitError, and what `plan_clip` raises."""
        height, width = info["height"], info["width"]
        seen, most = int(size) if size else None, self.host.limits.max_side
        side = min(seen or height, height, width)
        if side > most:
            raise LimitError(
                f"frames of {width}x{height} would be processed at {side} pixels, {most} are allowed here; "
                f"send size={most} or less"
            )
        if min(self.host.engine.seen(height, width, seen)) > most:  # a small clip, enlarged
            seen = most
        plan = plan_clip(height, width, info["frames"], prompts, memory=memory, size=seen, absent=absent)
        job = Job(plan, clip=str(source), folder=str(source.parent), preview_side=64)
        engine = self.host.engine
        if not engine.zero:
            return job
        rate = engine.rate(*engine.seen(height, width, plan.size), len(plan.objects))
        return replace(job, seconds=rate * plan.frames)

    def check_clicks(self, frame: int, count: int) -> None:
        most = self.host.limits.max_edits
        if count > most:
            raise LimitError(
                f"frame {frame} has {count} clicks, the limit is {most}; send fewer, or give a mask instead"
            )

    def check_objects(self, prompts: list[Prompt]) -> None:
        objects, most = {n for prompt in prompts for n in prompt.objects}, self.host.limits.max_objects
        if len(objects) > most:
            raise LimitError(f"{len(objects)} objects were given, {most} are allowed here; send fewer")

    def _mask(self, path: str, info: dict) -> Prompt:
        labels = self.host.guard.pixels("mask", path=path, height=info["height"], width=info["width"])
        return Prompt.from_mask(labels, frame=0)
