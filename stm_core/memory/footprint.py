"""What a memory costs, in closed form: bytes of a stored frame and of a read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from stm_core.errors import BudgetError
from stm_core.memory import readout
from stm_core.memory.apart import Apart
from stm_core.memory.policy import MemoryConfig

CHUNK_SHARE = 8  # one chunk of affinity takes at most an eighth of a budget


@dataclass(frozen=True)
class Layout:
    """What a stored frame consists of, which decides its cost.  One that is stored in part, or with values
    apart (`apart.py`), costs less.

    keys: 1 for all objects, or one for each.
    objects: N.
    positions: P = h*w of a whole frame.
    channels: Ck, Cv.
    dtype: of keys and values.
    device: type of the device.
    bounded: as in `readout.read`.
    """

    keys: int
    objects: int
    positions: int
    channels: tuple[int, int]
    dtype: torch.dtype
    device: str
    bounded: bool = False

    @classmethod
    def of(
        cls, key: Tensor, value: Tensor | Apart, size: tuple[int, int], shared_keys: bool, bounded: bool
    ) -> Layout:
        """The layout of key (1 or N, Ck, h, w) and value (N, Cv, h, w), or apart, of frames of that size.

        Raises ValueError if they do not match.
        """
        if isinstance(value, Apart):
            (_, stored, objects, channels), dtype = value.shape, value.common.dtype
        else:
            (objects, channels, *sides), dtype = value.shape, value.dtype
            stored = math.prod(sides)
        keys = 1 if shared_keys else objects
        if len(key) != keys or key.shape[2:].numel() != stored or key.dtype != dtype:
            raise ValueError(
                f"key {tuple(key.shape)} {key.dtype} does not match value {tuple(value.shape)} {dtype}"
            )
        positions = size[0] * size[1]
        return cls(keys, objects, positions, (key.shape[1], channels), dtype, key.device.type, bounded)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame stored whole: positions x (keys x Ck + objects x Cv) x itemsize."""
        key_channels, value_channels = self.channels
        return (
            self.positions * (self.keys * key_channels + self.objects * value_channels) * self.dtype.itemsize
        )

    def read_peak_bytes(self, frames: int, config: MemoryConfig) -> int:
        """Most bytes that a read of so many frames allocates."""
        return read_peak_bytes(
            batch=self.keys,
            frames=frames,
            positions=self.positions,
            objects=self.objects // self.keys,
            channels=self.channels,
            dtype=self.dtype,
            device=self.device,
            bounded=self.bounded,
            top_k=config.top_k,
            chunk_bytes=chunk_bytes(config, self.device),
        )

    def most_frames(self, config: MemoryConfig, pinned: int) -> int:
        """Most frames such that the bank and a read of it together fit the budget.

        At least the pinned frames and the previous one.  Raises BudgetError when these do not fit.
        """
        least = pinned + 1
        fitting, needed = _fitting(self, config, max(config.capacity, least), least)
        if fitting >= least:
            return fitting
        enough = self._enough(config, least, needed // 2**20 + 1)
        raise BudgetError(
            f"the memory limit is {config.budget_bytes / 2**20:.4g} MB, but the marked frames ({pinned}), "
            f"the last frame and a lookup need {needed / 2**20:.4g} MB with {self.objects} object(s) at this "
            f"size; set at least {enough} MB, or choose a smaller size"
        )

    def _enough(self, config: MemoryConfig, least: int, megabytes: int) -> int:
        """The fewest MB, from `megabytes` up, that hold so many frames: with a larger budget a read uses
        larger chunks, so the need grows too.
        """
        while _fitting(self, replace(config, budget_bytes=megabytes * 2**20), least, least)[0] < least:
            megabytes += 1
        return megabytes


def read_peak_bytes(
    *,
    batch: int,
    frames: int,
    positions: int,
    objects: int,
    channels: tuple[int, int],
    dtype: torch.dtype,
    device: str = "cpu",
    bounded: bool = False,
    top_k: int | None = None,
    chunk_bytes: int | None = None,
) -> int:
    """Most bytes that one `MemoryBank.read` for a frame of so many positions allocates, without keys, values
    and query.

    objects: of one read, the N of values (B, P, N, Cv).
    channels: (Ck, Cv).
    """
    stored, (key_channels, value_channels), itemsize = frames * positions, channels, dtype.itemsize
    value = batch * objects * value_channels * itemsize  # per position
    # the bank puts the values of each object together, which are once more as many; beside them the usage
    ordered = 2 * positions * value + 4 * frames
    if bounded and readout.reads_plainly(batch, dtype, top_k, stored):
        step = readout.chunk_rows(positions, positions * itemsize, device, chunk_bytes)
        sums = 4 * (3 * frames + 3 * objects)  # per position: the mass of each frame, what an object knows
        if dtype != torch.float32:
            sums += objects * value_channels * (8 + itemsize)  # summed in float32
        work = step * (positions * itemsize + sums) + positions * key_channels * itemsize
        return max(work + positions * value, ordered)
    row_bytes = batch * stored * itemsize
    step = readout.chunk_rows(positions, row_bytes, device, chunk_bytes)
    sums = value if dtype == torch.float32 else value + 8 * value // itemsize  # over frames, in float32
    affinity = step * (row_bytes + max(row_bytes, sums))  # scores, softmax, what it gives
    if top_k is not None and top_k < stored:
        affinity += step * batch * top_k * (2 * itemsize + 8)  # the k best, their softmax, where they are
    copies = 1 if step == positions else 2
    work = affinity + step * value + positions * key_channels * itemsize
    return max(work + copies * positions * value, ordered)


@lru_cache(maxsize=64)
def _fitting(layout: Layout, config: MemoryConfig, most: int, least: int) -> tuple[int, int]:
    """How many frames, up to `most`, fit the budget; and the bytes that `least` frames take.

    Reads on the way there count too: a read of fewer frames may allocate more, because chunks are even.
    """
    fitting = worst = needed = 0
    for frames in range(1, most + 1):
        worst = max(worst, layout.read_peak_bytes(frames, config))
        total = frames * layout.frame_bytes + worst
        if total <= config.budget_bytes:
            fitting = frames
        elif frames > least:
            break
        if frames == least:
            needed = total
    return fitting, needed


def chunk_bytes(config: MemoryConfig, device: str) -> int:
    """Most bytes of affinity that a read holds at once: less under a small budget."""
    usual = readout.CHUNK_BYTES.get(device, readout.CHUNK_BYTES["cpu"])
    bound = config.bound_bytes
    return usual if bound is None else min(usual, max(1, bound // CHUNK_SHARE))
