"""What goes into a run and what comes out of it: small, and can be pickled (see demo.engine)."""

from dataclasses import dataclass, field

from stm_core.engine.prompts import Prompt
from stm_core.memory.policy import MemoryConfig


@dataclass(frozen=True)
class Job:
    """One run: which frames of which clip, from what, with which memory."""

    clip: str
    folder: str
    start: int
    stop: int
    first: int  # the frame that it begins at
    directions: tuple[int, ...]  # of 1 (forward) and -1 (backward), in this order
    prompts: tuple[Prompt, ...]
    given: dict[int, bytes]  # masks of all marked frames, PNG: the ones off the way are pinned in memory
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    size: int | None = None
    preview_side: int = 640
    opacity: float = 0.5
    seconds: float = 60.0  # expected; a ZeroGPU Space grants this long
    side: int = 480  # short side of the clip's frames, pixels

    @property
    def frames(self) -> int:
        """How many frames it will give a mask."""
        return sum(len(self.way(step)) for step in self.directions) - (len(self.directions) - 1)

    def way(self, direction: int) -> range:
        """The frames along a direction, the first one included."""
        return range(self.first, self.stop) if direction > 0 else range(self.start, self.first + 1)


@dataclass(frozen=True)
class Step:
    """What the page learns about one frame."""

    index: int
    areas: dict[int, int]
    confidence: dict[int, float]
    prompted: bool
    bank: int  # bytes stored, read_peak: most bytes that one read took, unbounded: what no budget would hold
    read_peak: int
    unbounded: int
    held: tuple[int, ...]
    pinned: tuple[int, ...]
    process: int  # bytes: resident memory, or GPU memory when there is a GPU
    preview: bytes | None = None  # JPEG


@dataclass(frozen=True)
class Again:
    """The run begins once more with a smaller job, and why."""

    job: Job
    why: str
