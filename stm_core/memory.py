"""The memory bank: keys and values of past frames, which frames stay, and what they cost.

The bank knows no network. Storage is allocated in blocks of frames and slots are used again, so writing a frame
copies that frame only. Slots are dense: frame i of `_frames` lives in slot i, counted through the blocks. A stored
frame costs positions x (keys x Ck + objects x Cv) x bytes per number, with one key for all objects or one for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import readout
from .config import MemoryConfig
from .errors import LimitError, PromptError
from .network import Network
from .scaling import processed_size

BLOCK_FRAMES = {"first": 1, "previous": 1, "first+previous": 2, "every-5": 8}
CHUNK_SHARE = 8  # `bounded`: one chunk of affinity takes at most this part of the budget


@dataclass
class _Frame:
    """One stored frame.  used: sum over reads of its share of the softmax mass."""

    t: int
    pinned: bool
    due: bool  # stays when the next frame comes
    present: tuple[bool, ...]
    used: float = 0.0
    reads: int = 0


@dataclass(frozen=True)
class _Layout:
    """What a stored frame looks like; fixes its cost."""

    keys: int  # 1, or one for each object
    objects: int
    positions: int
    channels: tuple[int, int]  # Ck, Cv
    itemsize: int
    device: str

    @property
    def frame_bytes(self) -> int:
        key_channels, value_channels = self.channels
        return self.positions * (self.keys * key_channels + self.objects * value_channels) * self.itemsize

    def read_peak_bytes(self, frames: int, config: MemoryConfig, partial: bool = False) -> int:
        return readout.read_peak_bytes(
            batch=self.keys,
            frames=frames,
            positions=self.positions,
            objects=self.objects // self.keys,
            channels=self.channels,
            itemsize=self.itemsize,
            device=self.device,
            top_k=config.top_k,
            chunk_bytes=_chunk_bytes(config, self.device),
            partial=partial,
        )

    def most_frames(self, config: MemoryConfig, pinned: int) -> int:
        """Frames that `bounded` may hold: bank and read together fit the budget; pinned and previous always do.

        Raises LimitError when the budget cannot hold even those.
        """
        least = pinned + 1
        for frames in range(min(max(config.capacity, least), config.budget_bytes // self.frame_bytes), least - 1, -1):
            if self._total(frames, config) <= config.budget_bytes:
                return frames
        needed = self._total(least, config) / 2**20
        raise LimitError(
            f"the memory budget is {config.budget_bytes / 2**20:.1f} MB, but {pinned} prompted frame(s), the previous "
            f"one and reading them take {needed:.1f} MB with {self.objects} object(s) at this size; give a budget of at "
            f"least {int(needed) + 1} MB or a smaller size"
        )

    def _total(self, frames: int, config: MemoryConfig) -> int:
        return frames * self.frame_bytes + self.read_peak_bytes(frames, config, partial=True)


class MemoryBank:
    """Keys and values of the frames that a strategy keeps; see `MemoryConfig` for the strategies.

    scale: affinity = scale * key . query.  shared_keys: one key for all objects of a frame, or one for each.
    `frames` lists the frame indices held, in order of index.
    """

    def __init__(self, config: MemoryConfig, *, scale: float, shared_keys: bool = True):
        self.config, self.scale, self.shared_keys = config, scale, shared_keys
        self.clear()

    def clear(self) -> None:
        """Forget everything and free the storage; frames of another size or other objects may follow."""
        self._frames: list[_Frame] = []
        self._blocks: list[tuple[Tensor, Tensor]] = []
        self._layout: _Layout | None = None
        self._origin: int | None = None
        self._last: int | None = None
        self._share: Tensor | None = None
        self._usage: dict[int, float] = {}

    def wants(self, pinned: bool) -> bool:
        """Whether `write` would store a frame at all: a caller may spare itself the encoding."""
        return pinned or self.config.preset != "first"

    def write(
        self, t: int, key: Tensor, value: Tensor, *, pinned: bool = False, present: Sequence[bool] | None = None
    ) -> None:
        """Store frame t as the latest one, and let go what the strategy does not keep.

        key: (1 or N, Ck, h, w).  value: (N, Cv, h, w), N never falling: new objects come last and do not exist in
        older frames.  pinned: never evicted.  present: (N,) which objects this frame knows; None = all.
        The latest frame before t goes now unless it was pinned or due (each `every`-th after the first written).
        Raises LimitError when the budget cannot hold the pinned frames and this one.
        """
        present = (True,) * len(value) if present is None else tuple(bool(here) for here in present)
        if not self.wants(pinned) or not any(present):
            return
        frame = _Frame(t, pinned and self.config.preset != "previous", self._due(t), present)
        layout = self._layout_with(key, value)
        limit = self._most_frames(frame, layout)
        self._settle()
        for i in reversed(range(len(self._frames))):
            if self._frames[i].t == t or not (self._stays(i) or self._sole(i, frame)):
                self._drop(i)
        self._last = t
        while limit is not None and len(self._frames) >= limit and self.evict() is not None:
            pass
        self._adopt(layout)
        self._store(frame, key, value)

    def read(self, query_key: Tensor) -> Tensor:
        """What the stored frames say of each position of a frame with key (1, Ck, h, w): (N, Cv, h, w).

        Raises PromptError when nothing is stored.
        """
        if not self._frames:
            raise PromptError("the memory is empty; give a mask or a click on a frame first")
        keys, values = zip(*self._held(), strict=True)
        result = readout.read(
            keys,
            values,
            readout.rows(query_key),
            scale=self.scale,
            top_k=self.config.top_k,
            present=self._presence(),
            chunk_bytes=_chunk_bytes(self.config, query_key.device.type),
        )
        self._settle()
        self._share = result.usage
        value = result.value.flatten(0, 1).contiguous()  # (N, P, Cv)
        return readout.maps(value, *query_key.shape[-2:])

    def evict(self) -> int | None:
        """Drop the least used frame that is neither pinned nor the latest; its index, None if there is none."""
        self._settle()
        free = [i for i, frame in enumerate(self._frames) if not frame.pinned and frame.t != self._last]
        if not free:
            return None
        least = min(free, key=lambda i: (self._sole(i), self._frames[i].used / max(self._frames[i].reads, 1)))
        t = self._frames[least].t
        self._drop(least)
        return t

    @property
    def frames(self) -> list[int]:
        """Indices of the frames held, sorted."""
        return sorted(frame.t for frame in self._frames)

    @property
    def pinned(self) -> list[int]:
        """Indices of the frames that are never evicted, sorted."""
        return sorted(frame.t for frame in self._frames if frame.pinned)

    @property
    def objects(self) -> int:
        """Objects known so far."""
        return self._layout.objects if self._layout else 0

    @property
    def known(self) -> tuple[bool, ...]:
        """Which objects exist in at least one stored frame: (N,)."""
        return tuple(any(column) for column in zip(*map(self._present, self._frames), strict=True))

    @property
    def usage(self) -> dict[int, float]:
        """Share of the softmax mass that each frame had in the last read; they sum to 1."""
        self._settle()
        return dict(self._usage)

    @property
    def nbytes(self) -> int:
        """Bytes of the stored keys and values, counted on the tensors."""
        return sum(keys.nbytes + values.nbytes for keys, values in self._held())

    @property
    def allocated_bytes(self) -> int:
        """Bytes of the storage, free slots included."""
        return sum(keys.nbytes + values.nbytes for keys, values in self._blocks)

    @property
    def frame_bytes(self) -> int:
        """Closed form of what one stored frame costs."""
        return self._layout.frame_bytes if self._layout else 0

    @property
    def read_peak_bytes(self) -> int:
        """Closed form of what one read allocates for a moment, at most, with the frames held now."""
        if not self._frames:
            return 0
        return self._layout.read_peak_bytes(len(self._frames), self.config, self._presence() is not None)

    @property
    def unbounded_bytes(self) -> int:
        """What the bank would hold by now under `every-5` with the same pinned frames."""
        if not self._frames:
            return 0
        extra = sum((t - self._origin) % self.config.every != 0 for t in self.pinned if t != self._last)
        return self.frame_bytes * (extra + _published_frames(abs(self._last - self._origin), self.config.every))

    def _due(self, t: int) -> bool:
        if self.config.preset not in ("every-5", "bounded"):
            return False
        return self._origin is None or (t - self._origin) % self.config.every == 0

    def _stays(self, i: int) -> bool:
        return self._frames[i].pinned or self._frames[i].due

    def _present(self, frame: _Frame) -> tuple[bool, ...]:
        """Which of today's objects the frame knows: those added after it, it does not."""
        return frame.present + (False,) * (self.objects - len(frame.present))

    def _sole(self, i: int, coming: _Frame | None = None) -> bool:
        """Whether frame i is the only one that knows some object: without it the object would be forgotten."""
        others = [frame.present for j, frame in enumerate(self._frames) if j != i]
        others += [coming.present] if coming else []
        known = {n for present in others for n, here in enumerate(present) if here}
        return any(here and n not in known for n, here in enumerate(self._frames[i].present))

    def _presence(self) -> Tensor | None:
        """(B, N, S) for `readout.read`, or None when every frame knows every object."""
        present = [self._present(frame) for frame in self._frames]
        if all(map(all, present)):
            return None
        table = torch.tensor(present, device=self._blocks[0][0].device).T  # (N, S)
        return table.unsqueeze(0) if self.shared_keys else table.unsqueeze(1)

    def _settle(self) -> None:
        """Add the last read's shares to the frames; waits for the device, so not before it is needed."""
        if self._share is None:
            return
        shares, self._share = self._share.tolist(), None
        for frame, share in zip(self._frames, shares, strict=True):
            frame.used, frame.reads = frame.used + share, frame.reads + 1
        self._usage = {frame.t: share for frame, share in zip(self._frames, shares, strict=True)}

    def _layout_with(self, key: Tensor, value: Tensor) -> _Layout:
        """The layout that holds a frame of this key and value.  Raises ValueError if it does not fit the bank."""
        (keys, key_channels, *key_size), (objects, value_channels, *size) = key.shape, value.shape
        layout = _Layout(
            keys=1 if self.shared_keys else objects,
            objects=objects,
            positions=size[0] * size[1],
            channels=(key_channels, value_channels),
            itemsize=key.element_size(),
            device=key.device.type,
        )
        if keys != layout.keys or key_size != size or key.dtype != value.dtype:
            raise ValueError(f"key {tuple(key.shape)} {key.dtype} and value {tuple(value.shape)} {value.dtype} differ")
        old = self._layout
        if old and (old.positions, old.channels) != (layout.positions, layout.channels):
            raise ValueError(f"the bank holds frames of {old}, got {layout}; clear it first")
        if objects < self.objects:
            raise ValueError(f"the bank knows {self.objects} objects, got values of {objects}")
        return layout

    def _most_frames(self, frame: _Frame, layout: _Layout) -> int | None:
        if self.config.preset != "bounded":
            return None
        pinned = sum(one.pinned for one in self._frames if one.t != frame.t) + frame.pinned
        return layout.most_frames(self.config, max(pinned, 1))

    def _adopt(self, layout: _Layout) -> None:
        """Move to storage with more objects, in which the frames held so far have zeros."""
        old, held = self._layout, list(self._held())
        self._layout = layout
        if old is None or old.objects == layout.objects:
            return
        self._blocks, slot = [], 0
        for keys, values in held:
            for i in range(keys.shape[1]):
                new_keys, new_values, at = self._slot(slot, keys.dtype, keys.device)
                new_keys[: old.keys, at].copy_(keys[:, i])
                new_values[: old.keys, at, :, : values.shape[3]].copy_(values[:, i])
                slot += 1

    def _store(self, frame: _Frame, key: Tensor, value: Tensor) -> None:
        self._origin = frame.t if self._origin is None else self._origin
        keys, values, at = self._slot(len(self._frames), key.dtype, key.device)
        keys[:, at].copy_(readout.rows(key))
        value = readout.rows(value)  # (N, P, Cv)
        if self.shared_keys:
            values[0, at].copy_(value.transpose(0, 1))
        else:
            values[:, at, :, 0].copy_(value)
        self._frames.append(frame)

    def _drop(self, i: int) -> None:
        """Free slot i: the frame of the last slot moves into it."""
        last = len(self._frames) - 1
        if i != last:
            keys, values, at = self._slot(i)
            last_keys, last_values, last_at = self._slot(last)
            keys[:, at].copy_(last_keys[:, last_at])
            values[:, at].copy_(last_values[:, last_at])
            self._frames[i] = self._frames[last]
        self._frames.pop()

    def _slot(self, slot: int, dtype: torch.dtype | None = None, device=None) -> tuple[Tensor, Tensor, int]:
        """The block with a slot, and where in it; allocated if it is the first one after the last block."""
        for keys, values in self._blocks:
            if slot < keys.shape[1]:
                return keys, values, slot
            slot -= keys.shape[1]
        layout, frames = self._layout, self._block_frames()
        (key_channels, value_channels), make = layout.channels, dict(dtype=dtype, device=device)
        keys = torch.zeros(layout.keys, frames, layout.positions, key_channels, **make)
        objects = layout.objects // layout.keys
        values = torch.zeros(layout.keys, frames, layout.positions, objects, value_channels, **make)
        self._blocks.append((keys, values))
        return keys, values, slot

    def _block_frames(self) -> int:
        if self.config.preset != "bounded":
            return BLOCK_FRAMES[self.config.preset]
        if self._blocks:
            return 1
        pinned = sum(frame.pinned for frame in self._frames)
        return self._layout.most_frames(self.config, max(pinned, 1))

    def _held(self):
        """Blocks of (keys, values) cut to the slots in use."""
        left = len(self._frames)
        for keys, values in self._blocks:
            used = min(left, keys.shape[1])
            if used:
                yield keys[:, :used], values[:, :used]
            left -= used


@dataclass(frozen=True)
class Prediction:
    """What a clip will need, before it runs; bytes.

    bank_bytes: most held in the bank.  read_peak_bytes: most that one read allocates.  frame_bytes: one stored
    frame.  frames_held: most frames held.  unbounded_bytes: the bank at the clip's end under `every-5`.
    """

    bank_bytes: int
    read_peak_bytes: int
    frame_bytes: int
    frames_held: int
    unbounded_bytes: int


def predict(
    network: Network,
    config: MemoryConfig,
    height: int,
    width: int,
    objects: int,
    frames: int,
    dtype: torch.dtype,
    *,
    size: int | None = None,
    device: str = "cpu",
) -> Prediction:
    """What a clip of height x width pixels and so many frames will need, prompted on its first frame.

    size: short side at which it is processed (None: as it is).
    Raises LimitError when the budget cannot hold the prompted and the previous frame.
    """
    stride = network.stride
    rows, columns = (-(-side // stride) for side in processed_size(height, width, size))
    layout = _Layout(
        keys=1 if network.shared_keys else objects,
        objects=objects,
        positions=rows * columns,
        channels=(network.key_channels, network.value_channels),
        itemsize=dtype.itemsize,
        device=torch.device(device).type,
    )
    published = _published_frames(max(frames - 1, 0), config.every)
    held = {"first": 1, "previous": 1, "first+previous": min(frames, 2)}.get(config.preset, published)
    if config.preset == "bounded":
        held = min(held, layout.most_frames(config, pinned=1))
    return Prediction(
        bank_bytes=held * layout.frame_bytes,
        read_peak_bytes=layout.read_peak_bytes(held, config),
        frame_bytes=layout.frame_bytes,
        frames_held=held,
        unbounded_bytes=published * layout.frame_bytes,
    )


def _published_frames(distance: int, every: int) -> int:
    """Frames that STM holds so far from the first one: each `every`-th, and the previous where that is not one."""
    return distance // every + 1 + (distance % every > 0)


def _chunk_bytes(config: MemoryConfig, device: str) -> int | None:
    """Affinity held at once; under a small budget a part of it."""
    usual = readout.CHUNK_BYTES.get(device, readout.CHUNK_BYTES["cpu"])
    return min(usual, max(1, config.budget_bytes // CHUNK_SHARE)) if config.preset == "bounded" else usual
