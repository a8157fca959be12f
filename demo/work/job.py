"""What the page asks of the engine, and what it gets back: all small, so that it can be pickled.

A ZeroGPU Space computes in another process.
"""

from dataclasses import dataclass, field, replace

from stm_core.engine.result import Held
from stm_core.runs.plan import Plan
from stm_core.runs.record import Record


@dataclass(frozen=True)
class Job:
    """One run of the page: a plan for the clip at `clip`, with masks that go to `folder`/masks.

    preview_side: most pixels of a live picture's side.
    opacity: of the masks in live pictures.
    colours: of the objects in live pictures, where they are not the usual ones.
    seconds: how long the run is expected to take; a ZeroGPU Space is asked for so much time.
    """

    plan: Plan
    clip: str
    folder: str
    preview_side: int = 640
    opacity: float = 0.5
    colours: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    seconds: float = 60.0

    def with_plan(self, plan: Plan) -> "Job":
        """The same job with another plan."""
        return replace(self, plan=plan)


@dataclass(frozen=True)
class Step:
    """What the page learns about one frame.

    record: areas, confidence and shapes of the objects on it.
    bank: bytes stored.
    read_peak: most bytes that one read took.
    unbounded: bytes that would be stored without a limit.
    held, pinned: numbers of the frames stored.
    process: bytes of resident memory, or of GPU memory when there is a GPU.
    read: the frames that memory held while this one was read.
    preview: a small picture with the mask, JPEG.
    """

    index: int
    record: Record
    bank: int
    read_peak: int
    unbounded: int
    held: tuple[int, ...]
    pinned: tuple[int, ...]
    process: int
    read: tuple[Held, ...] = ()
    preview: bytes | None = None


@dataclass(frozen=True)
class Again:
    """The run begins again with a smaller job, because memory ran out.  why: a sentence for people."""

    job: Job
    why: str
