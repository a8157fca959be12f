"""The result of each frame: its masks, how sure they are, and what the memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from stm_core.engine.geometry import Area, resized
from stm_core.memory.bank import MemoryBank
from stm_core.memory.policy import Kind
from stm_core.memory.window import Window
from stm_core.networks.interface import strongest


@dataclass(frozen=True)
class Held:
    """A frame that was in memory while another one was read.

    t: index of the frame.
    kind: why it was in memory.
    stays: it is kept for more than one read, as long as memory has room; false for most previous frames.
    objects: ids known when it was stored, in the order of their channels.
    present: which of these objects it shows.
    window: the part of it that is stored.
    """

    t: int
    kind: Kind
    stays: bool
    objects: tuple[int, ...]
    present: tuple[bool, ...]
    window: Window

    @classmethod
    def of(cls, bank: MemoryBank, objects: Sequence[int]) -> tuple[Held, ...]:
        """The frames of a bank by index.  objects: all ids known by now."""
        return tuple(
            cls(
                one.t,
                one.kind(bank.latest),
                one.pinned or one.due or one.t != bank.latest,
                tuple(objects[: len(one.present)]),
                one.present,
                bank.windows[one.t],
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
    usage: share of the softmax mass of each stored frame in the read for this one, over the positions read.
    unbounded_bytes: bytes that STM as published would hold.
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
    def of(cls, bank: MemoryBank, index: int, read: tuple[Held, ...]) -> MemoryReport:
        """The report of a bank after frame `index`, whose read saw these frames."""
        return cls(
            nbytes=bank.nbytes,
            frames=tuple(bank.frames),
            pinned=tuple(bank.pinned),
            read_peak_bytes=bank.read_peak_bytes,
            usage=bank.usage,
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
    refused: by object, the share of what resembled it that lay where it cannot be; 0 if it is left out.
    """

    index: int
    labels: np.ndarray
    objects: tuple[int, ...]
    confidence: dict[int, float]
    memory: MemoryReport
    seconds: float
    prompted: bool
    _masks: Tensor = field(repr=False)  # (N, a, b) on the CPU, of `_area`; elsewhere there is no object
    _area: Area = field(repr=False)
    _processed: tuple[int, int] = field(repr=False)
    refused: dict[int, float] = field(default_factory=dict)

    @property
    def masks(self) -> np.ndarray:
        """Probabilities of the objects, float32 (N, H', W'), at the processed size."""
        return _whole(self._masks, self._area, self._processed).numpy()

    @property
    def probs(self) -> np.ndarray:
        """Probabilities float32 (objects + 1, H, W), background first; they sum to 1."""
        masks = resized(_whole(self._masks, self._area, self._processed), *self.labels.shape)
        return torch.cat([(1 - masks.sum(0, keepdim=True)).clamp(min=0), masks]).numpy()


def labels_at(
    shape: tuple[int, int],
    masks: Tensor,
    channels: Tensor,
    objects: Sequence[int],
    area: Area,
    processed: tuple[int, int],
) -> np.ndarray:
    """Ids uint8 (H, W) at the frame's own size, from an area's masks (N, a, b), strongest channels."""
    if processed != shape:
        channels, _ = strongest(resized(_whole(masks, area, processed), *shape))
        area = Area((0, shape[0]), (0, shape[1]))
    labels = np.zeros(shape, np.uint8)
    labels[area.at] = np.array([0, *objects], np.uint8)[channels.cpu().numpy()]
    return labels


def pixels_of(shown: Tensor, best: Tensor) -> Tensor:
    """(2, N): pixels of hard masks (N, H', W'), and the sums of probabilities (H', W') over them."""
    shown = shown.flatten(1)
    return torch.stack([shown.sum(1), shown @ best.flatten()])


def confidence_of(pixels: Sequence[float], sums: Sequence[float], objects: Sequence[int]) -> dict[int, float]:
    """Mean probability of each object over its own pixels, by id; 0 where it has none."""
    means = (total / count if count else 0.0 for count, total in zip(pixels, sums, strict=True))
    return dict(zip(objects, means, strict=True))


def _whole(masks: Tensor, area: Area, processed: tuple[int, int]) -> Tensor:
    """Masks of an area as masks of the whole processed frame."""
    return area.moved(masks, Area((0, processed[0]), (0, processed[1])))
