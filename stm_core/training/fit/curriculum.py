"""The settings of a run, and its stages: which clips it sees when."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stm_core.errors import OptionError
from stm_core.networks.compact import CompactConfig


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum."""

    until: float  # share of the whole run at which it ends
    size: int  # square crop, pixels
    frames: int  # of a clip
    clips: int  # of a batch
    video: float  # share of the batches whose scene is annotated video


CURRICULUM = (
    Stage(until=0.30, size=160, frames=3, clips=12, video=0.25),
    Stage(until=0.65, size=224, frames=3, clips=8, video=0.40),
    Stage(until=0.88, size=288, frames=4, clips=4, video=0.45),
    Stage(until=1.00, size=384, frames=4, clips=2, video=0.50),
)


def _option(default: Any, text: str, **bounds: float) -> Any:
    return field(default=default, metadata={"help": text, **bounds})


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run.  Those with a help text are options of `train`.

    minutes or steps: how long the whole run is, pieces before a resume included.
    """

    out: Path
    minutes: float | None = _option(None, "length of the whole run in minutes, what was done before included")
    steps: int | None = _option(None, "length of the whole run in steps, instead of minutes")
    seed: int = _option(0, "seed of the random numbers")
    device: str = "cpu"
    bf16: bool = True
    rate: float = _option(1.0, "factor on the learning rates", least=0)
    batch: float = _option(1.0, "factor on the clips of a batch; try 8 on a large GPU", least=0)
    begin: float = _option(0.0, "skip this share of the curriculum", least=0, most=1)
    clicks: float = _option(0.3, "share of the batches that train clicks", least=0, most=1)
    hold: bool = _option(False, "freeze trunk and keys, and train the rest; a step is faster")
    compile: bool = _option(False, "torch.compile the tracking step")
    save_minutes: float = 4.0
    freeze: float = 0.3  # from this share of the curriculum on, norms keep their statistics
    settle: int = 60  # batches over which those are measured
    curriculum: tuple[Stage, ...] = CURRICULUM
    network: CompactConfig = field(default_factory=CompactConfig)

    def __post_init__(self) -> None:
        length = self.steps if self.minutes is None else self.minutes
        if length is None or (self.minutes is not None and self.steps is not None):
            raise OptionError("training needs a length: give either --minutes M or --steps N")
        if not 0 < length < float("inf"):  # NaN fails too
            raise OptionError(f"the length of training is {length}; give a finite number above 0")

    def stage(self, place: float, earlier: bool = False) -> Stage:
        """The stage at this share of the curriculum, or the one before it."""
        last = len(self.curriculum) - 1
        index = next((i for i, stage in enumerate(self.curriculum) if place < stage.until), last)
        return self.curriculum[max(0, index - earlier)]
