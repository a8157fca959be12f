"""What a run's memory held at each step, so that a frame can be looked at again.  No bank is kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from stm_core.engine.look import gone_before
from stm_core.engine.result import Held
from stm_core.errors import PromptError
from stm_core.memory.policy import MemoryConfig


@dataclass(frozen=True)
class Glance:
    """What memory held when one frame was segmented.

    first: the frame that its run began with.
    read: the frames in memory then.
    memory, size: the settings of its run.
    bank, read_peak: bytes stored after the frame, and most bytes that its read took.
    """

    first: int
    read: tuple[Held, ...]
    memory: MemoryConfig
    size: int | None
    bank: int = 0
    read_peak: int = 0


def glance_at(glances: Mapping[int, Glance], index: int) -> Glance:
    """How a frame was read.  PromptError when no run of this page has read it."""
    if index not in glances:
        raise PromptError(
            f"what memory held at frame {index} is not known; press Track, then look at a frame with a mask"
        )
    return glances[index]


def gone_at(glances: Mapping[int, Glance], index: int) -> dict[int, int]:
    """The frames that memory had dropped before a frame: {t: the frame at which it was gone}."""
    first = glance_at(glances, index).first
    step = 1 if index >= first else -1
    way = (t for t in range(first, index + step, step) if t in glances and glances[t].first == first)
    return gone_before((t, glances[t].read) for t in way)
