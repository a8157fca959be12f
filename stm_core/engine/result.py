"""The result of each frame: its masks, how sure they are, and what the memory holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.geometry import enlarge
from stm_core.engine.whereabouts import Window
from stm_core.memory.bank import MemoryBank
from stm_core.networks.interface import strongest


@dataclass(frozen=True)
class Held:
    """A frame that was in memory while another one was read.

    t: index of the frame.
    kind: "prompted" (a person gave its mask, it stays), "previous" (the latest one) or "due" (any other).
    stays: it is there for more than one read, until memory is full; so is every frame but most previous ones.
    objects: ids known when it was stored, in the order of their channels.
    present: which of these objects it shows.
    window: the part of it that is stored.
    """

    t: int
    kind: str
    stays: bool
    objects: tuple[int, ...]
    present: tuple[bool, ...]
    window: Window

    @classmethod
    def of(cls, bank: MemoryBank, objects: Sequence[int], windows: Mapping[int, Window]) -> tuple[Held, ...]:
        """The frames of a bank by index.  objects: all ids known by now; windows: of each frame."""
        return tuple(
            cls(
                one.t,
                "prompted" if one.pinned else "previous" if one.t == bank.latest else "due",
                one.pinned or one.due or one.t != bank.latest,
                tuple(objects[: len(one.present)]),
                one.present,
                windows[one.t],
            )
            for one in bank.stored
        )


@dataclass(frozen=True)
class MemoryReport:
    """What the memory holds after a frame.

    nbytes: bytes of the stored keys and values.
    frames: indices of the frames held.
    pinned: indices of those that were prompted and stay for good.
    read_peak_bytes: most bytes that a read allocates.
    usage: share of the softmax mass of each frame in the read for this one.
    unbounded_bytes: what STM as published would hold.
    read: the frames that the read for this one saw, by index.
    """

    nbytes: int
    frames: tuple[int, ...]
    pinned: tuple[int, ...]
    read_peak_bytes: int
    usage: dict[int, float]
    unbounded_bytes: int
    read: tuple[Held, ...] = ()

    @classmethod
    def of(
        cls, bank: MemoryBank, index: int, usage: dict[int, float], read: tuple[Held, ...]
    ) -> MemoryReport:
        """The report of a bank after frame `index`, whose read saw these frames and had that usage."""
        return cls(
            nbytes=bank.nbytes,
            frames=tuple(bank.frames),
            pinned=tuple(bank.pinned),
            read_peak_bytes=bank.read_peak_bytes,
            usage=usage,
            unbounded_bytes=bank.unbounded_bytes(index),
            read=read,
        )


@dataclass(frozen=True)
class FrameResult:
    """The masks of one frame.

    index: of the frame.
    labels: uint8 (H, W) ids.
    objects: ids in the order of the channels of `probs`.
    confidence: mean probability of each object over its own pixels, 0 where it has none.
    seconds: time that the frame took.
    prompted: whether something was given for it.
    refused: of what resembled each object, the share that lay where it cannot be; 0 where it is left out.
    """

    index: int
    labels: np.ndarray
    objects: tuple[int, ...]
    confidence: dict[int, float]
    memory: MemoryReport
    seconds: float
    prompted: bool
    _masks: Tensor = field(repr=False)  # (N, H', W') on the CPU, at the processed size
    refused: dict[int, float] = field(default_factory=dict)

    @property
    def masks(self) -> np.ndarray:
        """Probabilities of the objects, float32 (N, H', W'), at the processed size."""
        return self._masks.numpy()

    @property
    def probs(self) -> np.ndarray:
        """Probabilities float32 (objects + 1, H, W), background first; they sum to 1."""
        masks = enlarge(self._masks, *self.labels.shape)
        return torch.cat([(1 - masks.sum(0, keepdim=True)).clamp(min=0), masks]).numpy()


def labels_at(shape: tuple[int, int], masks: Tensor, channels: Tensor, objects: Sequence[int]) -> np.ndarray:
    """Ids uint8 (H, W) at the frame's own size, from masks and their strongest channels (H', W')."""
    if channels.shape != shape:
        channels, _ = strongest(enlarge(masks, *shape))
    found = channels.cpu().numpy()
    if tuple(objects) == tuple(range(1, len(objects) + 1)):
        return found
    return np.array([0, *objects], np.uint8)[found]


def pixels_of(channels: Tensor, probs: Tensor, objects: Sequence[int]) -> tuple[list[int], dict[int, float]]:
    """Pixels of each object at the processed size, and its mean probability over them by id."""
    channels, most = channels.flatten().int(), len(objects) + 1
    counts = torch.bincount(channels, minlength=most).tolist()[1:]
    sums = torch.bincount(channels, weights=probs.flatten(), minlength=most).tolist()[1:]
    means = [total / count if count else 0.0 for count, total in zip(counts, sums, strict=True)]
    return counts, dict(zip(objects, means, strict=True))
