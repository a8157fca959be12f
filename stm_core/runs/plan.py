"""The plan of a run over a clip: which frames get a mask, from which prompts, and in which order.

Prompts and memory budget are checked here, before any frame is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stm_core.engine.forecast import predict
from stm_core.engine.prompts import Absent, Prompt, check_absent, check_begun, check_inside, listed
from stm_core.errors import MaskError, OptionError, PromptError
from stm_core.media.video import VideoInfo
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model

Part = tuple[int, int]  # the first and the last frame


@dataclass(frozen=True)
class Plan:
    """One run over a clip: frames `start` to `stop` - 1, beginning at frame `first`.

    height, width: of the clip's frames.
    prompts: by frame.
    directions: 1 (forward to the end) and -1 (backward to the start), in this order.
    known: masks (PNG) of marked frames; a direction that does not pass them puts them into memory first.
    size: most pixels of the short side that the network sees (None: any).
    absent: ranges of frames in which an object is not there.
    earlier: folder of masks that this run continues; a direction ends once masks come out as they were there
        (see `agreement`). None: it goes on to the end.
    """

    height: int
    width: int
    start: int
    stop: int
    first: int
    prompts: tuple[Prompt, ...]
    directions: tuple[int, ...] = (1,)
    known: Mapping[int, bytes] = field(default_factory=dict)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    size: int | None = None
    absent: Absent = field(default_factory=dict)
    earlier: str | None = None

    @property
    def frames(self) -> int:
        """How many frames will get a mask."""
        return len({index for direction in self.directions for index in self.way(direction)})

    @property
    def objects(self) -> set[int]:
        """Ids of all prompted objects."""
        return {i for prompt in self.prompts for i in prompt.objects}

    def whole(self, frames: int) -> bool:
        """Whether these are all frames of a clip that has so many."""
        return (self.start, self.stop) == (0, frames)

    def way(self, direction: int) -> range:
        """The frames along a direction, sorted, the first one included."""
        return range(self.first, self.stop) if direction > 0 else range(self.start, self.first + 1)

    def smaller(self, size: int) -> Plan:
        """What to try after memory ran out: that size, and half the budget."""
        budget = max(self.memory.budget_bytes // 2, 2**20)
        return replace(self, size=size, memory=replace(self.memory, budget_bytes=budget))


def plan_clip(
    height: int,
    width: int,
    frames: int,
    prompts: Prompt | Sequence[Prompt],
    *,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    absent: Absent | None = None,
    part: Part | None = None,
) -> Plan:
    """All of a clip of so many frames: from the earliest prompt to the end, then backward to the start.

    part: only these frames of it.
    The prompts are checked here, once.  Raises PromptError, MaskError, OptionError.
    """
    inside = frames_inside(frames, part)
    prompts = check_prompts(height, width, inside, prompts)
    check_absent(absent or {}, prompts)
    first = prompts[0].frame
    return Plan(
        height=height,
        width=width,
        start=inside.start,
        stop=inside.stop,
        first=first,
        prompts=tuple(prompts),
        directions=(1, -1) if first > inside.start else (1,),
        memory=memory or MemoryConfig(),
        size=size,
        absent=absent or {},
    )


def frames_inside(frames: int, part: Part | None) -> range:
    """The frames of a part of a clip of so many frames; all without a part.  Raises OptionError."""
    first, last = part or (0, frames - 1)
    if not 0 <= first <= last < frames:
        raise OptionError(
            f"the part from frame {first} to {last} is not in the clip, whose frames are 0 to {frames - 1}; "
            "choose a part inside these"
        )
    return range(first, last + 1)


def check_prompts(height: int, width: int, frames: range, prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """The prompts sorted by frame.  Raises PromptError or MaskError when one does not fit these frames."""
    prompts = sorted(listed(prompts), key=lambda prompt: prompt.frame)
    if not prompts:
        raise PromptError("no prompt was given; give a mask or a click on one frame")
    for prompt in prompts:
        if prompt.frame not in frames:
            raise PromptError(
                f"frame {prompt.frame} is marked, but there are only frames {frames[0]} to {frames[-1]}; "
                "choose one of them"
            )
        if prompt.labels is not None and prompt.labels.shape != (height, width):
            got = f"{prompt.labels.shape[1]}x{prompt.labels.shape[0]}"
            raise MaskError(
                f"the mask is {got}, the clip's frames are {width}x{height}; "
                "draw the mask on a frame of this clip"
            )
        check_inside(prompt.clicks or (), height, width)
    check_begun(prompts)
    return prompts


def planned(model: Model, info: VideoInfo, prompts: Prompt | Sequence[Prompt], **how: Any) -> Plan:
    """The plan that `plan_clip` makes for a clip, once it is known that its memory fits the budget.

    how: as in `plan_clip`.  Raises LimitError too.
    """
    plan = plan_clip(info.height, info.width, info.frames, prompts, **how)
    _check_budget(model, plan)
    return plan


def _check_budget(model: Model, plan: Plan) -> None:
    """Raises LimitError when the budget cannot hold all prompted frames with all their objects."""
    predict(
        model.network,
        plan.memory,
        height=plan.height,
        width=plan.width,
        objects=len(plan.objects),
        frames=plan.frames,
        dtype=model.dtype,
        pinned=len({prompt.frame for prompt in plan.prompts}),
        size=plan.size,
        device=model.device,
    )
