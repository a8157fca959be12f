"""A run as text: the command and the Python that do the same."""

from __future__ import annotations

import shlex
from dataclasses import fields

import numpy as np

from stm_core.engine.prompts import Click, Prompt
from stm_core.incoming.masks import SPARSE
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.plan import Plan

MASKS = "prompts"  # the folder of given masks, as a ZIP of the page has it


def as_command(plan: Plan, clip: str, frames: int, out: str = "out", weights: str = "compact") -> str:
    """The command that tracks the plan's part of the clip from its prompts.

    clip: its path.  Masks among the prompts are looked for in `prompts/00000.png`, and so on.
    frames: of the whole clip.
    """
    words = ["python", "-m", "stm_core", "segment", clip, *_prompt_words(plan.prompts)]
    words += [f"--erased={number}:{prompt.frame}" for prompt in plan.prompts for number in _erased(prompt)]
    usual, memory = MemoryConfig(), plan.memory
    given = {
        "--weights": None if weights == "compact" else weights,
        "--memory": None if memory.preset == usual.preset else memory.preset,
        "--every": None if memory.every == usual.every else str(memory.every),
        "--budget-mb": None if memory.budget_bytes == usual.budget_bytes else _megabytes(memory),
        "--capacity": None if memory.capacity == usual.capacity else str(memory.capacity),
        "--top-k": None if memory.top_k is None else str(memory.top_k),
        "--size": None if plan.size is None else str(plan.size),
        "--part": None if plan.whole(frames) else f"{plan.start}-{plan.stop - 1}",
    }
    words += [word for option, value in given.items() if value is not None for word in (option, value)]
    for number, ranges in plan.absent.items():
        words += [f"--absent={number}:{first}-{last}" for first, last in ranges]
    return " ".join(map(shlex.quote, [*words, "--out", out]))


def as_python(plan: Plan, clip: str, frames: int, out: str = "out", weights: str = "compact") -> str:
    """The Python that tracks the same part of the clip from the prompts and writes masks; as `as_command`."""
    usual = MemoryConfig()
    given = [
        f"{field.name}={getattr(plan.memory, field.name)!r}"
        for field in fields(MemoryConfig)
        if field.name != "trust" and getattr(plan.memory, field.name) != getattr(usual, field.name)
    ]
    prompts = "".join(f"    {_prompt_code(prompt)},\n" for prompt in plan.prompts)
    size = f", size={plan.size}" if plan.size is not None else ""
    gone = {number: list(ranges) for number, ranges in plan.absent.items() if ranges}
    absent = f", absent={gone}" if gone else ""
    part = "" if plan.whole(frames) else f", part={(plan.start, plan.stop - 1)}"
    return f"""from pathlib import Path

import stm_core

model = stm_core.load_model({weights!r})
prompts = [
{prompts}]
memory = stm_core.MemoryConfig({", ".join(given)})
masks = Path({out!r}) / "masks"
masks.mkdir(parents=True, exist_ok=True)
for frame in stm_core.segment_clip(model, {clip!r}, prompts, memory=memory{size}{absent}{part}):
    stm_core.write_mask(masks / f"{{frame.result.index:05d}}.png", frame.result.labels)
"""


def needs_masks(plan: Plan) -> list[int]:
    """The frames whose masks both texts read from `prompts/00000.png`, and so on."""
    return [prompt.frame for prompt in plan.prompts if prompt.labels is not None]


def _prompt_words(prompts: tuple[Prompt, ...]) -> list[str]:
    """Masks, then clicks: of a frame that has both, as all marked frames have in `prompts/`, clicks count."""
    if len(prompts) == 1:
        frame = ["--prompt-frame", str(prompts[0].frame)] if prompts[0].frame else []
        if prompts[0].labels is not None:
            return [f"--mask={MASKS}/{prompts[0].frame:05d}.png", *frame]
        return [*(f"--click={','.join(map(_number, click))}" for click in prompts[0].clicks or ()), *frame]
    rows = [(prompt.frame, *click) for prompt in prompts for click in prompt.clicks or ()]
    masks = any(prompt.labels is not None and prompt.labels.any() for prompt in prompts)
    words = ["--prompts", MASKS] if masks else []
    words += ["--all-prompts"] if masks and len(prompts) > SPARSE else []
    listed = ",".join(f"[{','.join(map(_number, row))}]" for row in rows)
    return [*words, *(["--prompts", f"[{listed}]"] if rows else [])]


def _erased(prompt: Prompt) -> list[int]:
    """The objects of which a mask says that they are not on its frame."""
    return [] if prompt.labels is None else np.setdiff1d(prompt.objects, prompt.labels).tolist()


def _prompt_code(prompt: Prompt) -> str:
    frame = f", frame={prompt.frame}" if prompt.frame else ""
    if prompt.labels is None:
        return f"stm_core.Prompt.from_clicks([{', '.join(map(_click, prompt.clicks or ()))}]{frame})"
    empty = "" if prompt.labels.any() else ", empty=True"
    mask = f'stm_core.read_mask("{MASKS}/{prompt.frame:05d}.png"{empty})'
    return f"stm_core.Prompt.from_mask({mask}{frame}, objects={list(prompt.objects)})"


def _click(click: Click) -> str:
    return f"({', '.join(map(_number, click))})"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _megabytes(memory: MemoryConfig) -> str:
    return _number(memory.budget_bytes / 2**20)
