"""What comes out for each frame: its masks, how sure they are, and what the memory holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.geometry import enlarge


@dataclass(frozen=True)
class MemoryReport:
    """What the memory holds after a frame.

    nbytes: of stored keys and values.  frames, pinned: indices held.  read_peak_bytes: most that a read
    allocates. usage: share of the softmax mass of each frame in this frame's read.  unbounded_bytes: what
    `every-5` would hold.
    """

    nbytes: int
    frames: tuple[int, ...]
    pinned: tuple[int, ...]
    read_peak_bytes: int
    usage: dict[int, float]
    unbounded_bytes: int


@dataclass(frozen=True)
class FrameResult:
    """The masks of one frame.

    index: of the frame.  labels: uint8 (H, W) ids.  objects: ids in the order of the channels of `probs`.
    confidence: mean probability of each object over its own pixels, 0 where it has none.
    seconds: what the frame took to compute.  prompted: whether its mask was given.
    """

    index: int
    labels: np.ndarray
    objects: tuple[int, ...]
    confidence: dict[int, float]
    memory: MemoryReport
    seconds: float
    prompted: bool
    _masks: Tensor = field(repr=False)  # (N, H', W') on the CPU, at the processed size

    @property
    def probs(self) -> np.ndarray:
        """Probabilities float32 (objects + 1, H, W), background first; they sum to 1.  Made when asked for.
        """
        masks = enlarge(self._masks, *self.labels.shape)
        return torch.cat([(1 - masks.sum(0, keepdim=True)).clamp(min=0), masks]).numpy()
