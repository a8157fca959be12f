"""Where stored frames lie: blocks of slots that are allocated once and reused.

Slots have no gaps: n frames lie in slots 0 to n - 1, counted through all blocks, so a read sees each block as
one matrix. Adding a frame copies only that frame. Removing one moves the last frame into its slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from stm_core.memory import readout
from stm_core.memory.footprint import Layout


class Storage:
    """Keys (B, S, P, Ck) and values (B, S, P, N, Cv) of frames of one layout, as `readout.read` takes."""

    def __init__(self, layout: Layout, dtype: torch.dtype, device: torch.device):
        self.layout = layout
        self._make: dict[str, Any] = {"dtype": dtype, "device": device}
        self._blocks: list[tuple[Tensor, Tensor]] = []
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def append(self, key: Tensor, value: Tensor, block_frames: int) -> None:
        """Copy key (1 or N, Ck, h, w) and value (N, Cv, h, w) into the next slot.

        block_frames: slots to allocate at once when none is left.
        """
        keys, values, at = self._next(block_frames)
        keys[:, at].copy_(readout.rows(key))
        value = readout.rows(value)  # (N, P, Cv)
        if self.layout.keys == 1:
            values[0, at].copy_(value.transpose(0, 1))
        else:
            values[:, at, :, 0].copy_(value)

    def remove(self, i: int) -> None:
        """Free slot i; the frame of the last slot moves into it."""
        last = self._used - 1
        if i != last:
            keys, values, at = self._slot(i)
            last_keys, last_values, last_at = self._slot(last)
            keys[:, at].copy_(last_keys[:, last_at])
            values[:, at].copy_(last_values[:, last_at])
        self._used = last

    def held(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Blocks of keys and values cut to the slots in use, in order."""
        left = self._used
        for keys, values in self._blocks:
            used = min(left, keys.shape[1])
            if used:
                yield keys[:, :used], values[:, :used]
            left -= used

    def enlarged(self, layout: Layout, block_frames: int) -> Storage:
        """A copy with more objects, which have zeros in the frames held so far."""
        larger = Storage(layout, **self._make)
        for keys, values in self.held():
            for i in range(keys.shape[1]):
                new_keys, new_values, at = larger._next(block_frames)
                new_keys[: keys.shape[0], at].copy_(keys[:, i])
                new_values[: values.shape[0], at, :, : values.shape[3]].copy_(values[:, i])
        return larger

    @property
    def nbytes(self) -> int:
        """Bytes of the frames held, counted on the tensors."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.held())

    @property
    def allocated_bytes(self) -> int:
        """Bytes of all slots, free ones included."""
        return sum(keys.nbytes + values.nbytes for keys, values in self._blocks)

    def _slot(self, i: int) -> tuple[Tensor, Tensor, int]:
        """The keys and values of the block that holds slot i, and its index in that block."""
        for keys, values in self._blocks:
            if i < keys.shape[1]:
                return keys, values, i
            i -= keys.shape[1]
        raise IndexError(f"slot {i} lies beyond the last block")

    def _next(self, block_frames: int) -> tuple[Tensor, Tensor, int]:
        """The first free slot, now in use."""
        if self._used == sum(keys.shape[1] for keys, _ in self._blocks):
            layout = self.layout
            shape = (layout.keys, block_frames, layout.positions)
            objects, (key_channels, value_channels) = layout.objects // layout.keys, layout.channels
            self._blocks.append(
                (
                    torch.zeros(*shape, key_channels, **self._make),
                    torch.zeros(*shape, objects, value_channels, **self._make),
                )
            )
        self._used += 1
        return self._slot(self._used - 1)
