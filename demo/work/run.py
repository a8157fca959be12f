"""What goes into a run and what comes out of it: small, and can be pickled (see demo.engine)."""

from dataclasses import dataclass, replace

from stm_core.runs.clip import Plan


@dataclass(frozen=True)
class Job:
    """One run of the page: a plan for the clip at `clip`, with masks that go to `folder`/masks.

    preview_side: most pixels of a live picture's side.
    opacity: of the masks in live pictures.
    seconds: that the run is expected to take; a ZeroGPU Space grants this long.
    """

    plan: Plan
    clip: str
    folder: str
    preview_side: int = 640
    opacity: float = 0.5
    seconds: float = 60.0

    def with_plan(self, plan: Plan) -> "Job":
        """The same job with another plan."""
        return replace(self, plan=plan)


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
