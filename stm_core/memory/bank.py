"""The memory bank: which frames stay, and what they say to a query. It knows no network.

A strategy writes frames and lets go what it does not keep; `MemoryConfig` describes the presets. Frames are
*pinned* (prompted: they stay), *due* (each `every`-th: they stay until the budget is full) or only the
previous one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stm_core.errors import PromptError
from stm_core.memory import readout
from stm_core.memory.footprint import Layout, chunk_bytes, published_frames
from stm_core.memory.policy import MemoryConfig
from stm_core.memory.storage import Storage

BLOCK_FRAMES = {"first": 1, "previous": 1, "first+previous": 2, "every-5": 8}  # slots allocated at once


@dataclass
class _Frame:
    """One stored frame.  used: sum over reads of its share of the softmax mass."""

    t: int
    pinned: bool
    due: bool
    present: tuple[bool, ...]
    used: float = 0.0
    reads: int = 0

    @property
    def mean_use(self) -> float:
        return self.used / max(self.reads, 1)


class MemoryBank:
    """Keys and values of the frames that a strategy keeps.

    scale: affinity = scale * key . query.  shared_keys: one key for all objects of a frame, or one for each.
    margin: as in `readout.read`.  prompted, latest: how many times a position of a pinned frame, and of the
    latest one that is not pinned, counts beside one of the other frames.
    """

    def __init__(
        self,
        config: MemoryConfig,
        *,
        scale: float,
        shared_keys: bool = True,
        margin: float | None = None,
        prompted: float = 1.0,
        latest: float = 1.0,
    ):
        self.config, self.scale, self.shared_keys, self.margin = config, scale, shared_keys, margin
        self.prompted, self.latest = prompted, latest
        self.clear()

    def clear(self) -> None:
        """Forget everything and free the storage; frames of another size or other objects may follow."""
        self._frames: list[_Frame] = []  # frame i lies in slot i
        self._storage: Storage | None = None
        self._origin: int | None = None
        self._last: int | None = None
        self._share: Tensor | None = None
        self._usage: dict[int, float] = {}

    def wants(self, pinned: bool) -> bool:
        """Whether `write` would store a frame at all: a caller may spare itself the encoding."""
        return pinned or self.config.preset != "first"

    def passes(self, t: int) -> bool:
        """Whether frame t, if it is not pinned, will be at most the latest of several frames, for one read.
        """
        return bool(self._frames) and self.config.preset != "previous" and not self._due(t)

    def write(
        self,
        t: int,
        key: Tensor,
        value: Tensor,
        *,
        pinned: bool = False,
        present: Sequence[bool] | None = None,
    ) -> None:
        """Store frame t as the latest one, and let go what the strategy does not keep.

        key: (1 or N, Ck, h, w).  value: (N, Cv, h, w); N never falls: new objects come last and do not exist
        in older frames.  pinned: never evicted.  present: (N,) which objects this frame knows, None = all.
        The latest frame before t goes now, unless it is pinned, due, or the only one that knows some object.
        Raises LimitError, changing nothing, when the budget cannot hold the pinned frames and one more.
        """
        present = (True,) * len(value) if present is None else tuple(bool(here) for here in present)
        if len(present) != len(value):
            raise ValueError(f"present speaks of {len(present)} objects, value of {len(value)}")
        if not self.wants(pinned) or not any(present):
            return
        frame = _Frame(t, pinned and self.config.preset != "previous", self._due(t), present)
        layout = self._layout_with(key, value)
        limit = self._most_frames(frame, layout)
        self._let_go(frame)
        self._last = t
        if limit is not None:
            self._make_room(limit)
        if not all(present):  # `readout.read` asks for zeros where it must not look
            value = value * value.new_tensor(present).view(-1, 1, 1, 1)
        self._store(frame, key, value, layout, limit)

    def read(self, query_key: Tensor) -> Tensor:
        """What the stored frames say of each position of a frame with key (1, Ck, h, w): (N, Cv, h, w).

        Raises PromptError when nothing is stored.
        """
        if not self._frames:
            raise PromptError("the memory is empty; give a mask or a click on a frame first")
        keys, values = zip(*self._storage.held(), strict=True)
        result = readout.read(
            keys,
            values,
            readout.rows(query_key),
            scale=self.scale,
            top_k=self.config.top_k,
            margin=self.margin,
            weights=self._weights(),
            present=self._presence(),
            chunk_bytes=chunk_bytes(self.config, query_key.device.type),
        )
        self._settle()
        self._share = result.usage
        return readout.maps(result.value.flatten(0, 1).contiguous(), *query_key.shape[-2:])

    def look(self, query_key: Tensor, row: int, column: int) -> dict[int, Tensor]:
        """Where one position (row, column) of a frame with key (1, Ck, h, w) looks: {t: weights (h, w)}.

        The weights of all frames together sum to 1.  Raises PromptError when nothing is stored.
        """
        if not self._frames:
            raise PromptError("the memory is empty; give a mask or a click on a frame first")
        keys = [keys for keys, _ in self._storage.held()]
        query = query_key[:, :, row, column].unsqueeze(1)
        options = {"scale": self.scale, "top_k": self.config.top_k, "margin": self.margin}
        weights = readout.where(keys, query, weights=self._weights(), **options)
        maps = weights.unflatten(-1, tuple(query_key.shape[-2:]))
        return {frame.t: maps[i] for i, frame in enumerate(self._frames)}

    def evict(self) -> int | None:
        """Drop the least used frame that is neither pinned nor the latest; its index, None if there is none.
        """
        self._settle()
        free = [i for i, frame in enumerate(self._frames) if not frame.pinned and frame.t != self._last]
        if not free:
            return None
        least = min(free, key=lambda i: (self._sole(i), self._frames[i].mean_use))
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
    def known(self) -> tuple[bool, ...]:
        """Which objects some stored frame knows: (N,)."""
        return tuple(any(column) for column in zip(*map(self._present, self._frames), strict=True))

    @property
    def usage(self) -> dict[int, float]:
        """Share of the softmax mass that each frame had in the last read; they sum to 1."""
        self._settle()
        return dict(self._usage)

    @property
    def nbytes(self) -> int:
        """Bytes of the stored keys and values, counted on the tensors."""
        return self._storage.nbytes if self._storage else 0

    @property
    def allocated_bytes(self) -> int:
        """Bytes of the storage, free slots included."""
        return self._storage.allocated_bytes if self._storage else 0

    @property
    def frame_bytes(self) -> int:
        """Closed form of what one stored frame costs."""
        return self._storage.layout.frame_bytes if self._storage else 0

    @property
    def read_peak_bytes(self) -> int:
        """Closed form of the most that one read allocates for a moment, with the frames held now."""
        if not self._frames:
            return 0
        return self._storage.layout.read_peak_bytes(len(self._frames), self.config)

    def unbounded_bytes(self, t: int) -> int:
        """What the bank would hold after frame t under `every-5`, with the same frames pinned."""
        if not self._frames:
            return 0
        every = self.config.every
        extra = sum((pinned - self._origin) % every != 0 for pinned in self.pinned if pinned != t)
        return self.frame_bytes * (extra + published_frames(abs(t - self._origin), every))

    def _due(self, t: int) -> bool:
        if self.config.preset not in ("every-5", "bounded"):
            return False
        return self._origin is None or (t - self._origin) % self.config.every == 0

    def _layout_with(self, key: Tensor, value: Tensor) -> Layout:
        """The layout that holds this frame too.  Raises ValueError if it does not go with the frames held."""
        layout = Layout.of(key, value, self.shared_keys)
        old = self._storage.layout if self._storage else layout
        if (old.positions, old.channels) != (
            layout.positions,
            layout.channels,
        ) or layout.objects < old.objects:
            raise ValueError(f"the bank holds frames of {old}, got {layout}; clear it first")
        return layout

    def _most_frames(self, frame: _Frame, layout: Layout) -> int | None:
        if self.config.preset != "bounded":
            return None
        pinned = sum(one.pinned for one in self._frames if one.t != frame.t) + frame.pinned
        return layout.most_frames(self.config, max(pinned, 1))

    def _let_go(self, coming: _Frame) -> None:
        """Drop what the strategy does not keep beside the coming frame, and an older entry of that frame."""
        self._settle()
        for i in reversed(range(len(self._frames))):
            old = self._frames[i]
            if old.t == coming.t or not (old.pinned or old.due or self._sole(i, coming)):
                self._drop(i)

    def _make_room(self, limit: int) -> None:
        """Evict until one more frame may come.  It ends: limit is above the number of pinned frames, and by
        now the latest frame is the one that comes, so any that is not pinned can go.
        """
        while len(self._frames) >= limit:
            self.evict()

    def _store(self, frame: _Frame, key: Tensor, value: Tensor, layout: Layout, limit: int | None) -> None:
        block_frames = BLOCK_FRAMES.get(self.config.preset, limit)
        if self._storage is None:
            self._origin = frame.t
            self._storage = Storage(layout, key.dtype, key.device)
        elif self._storage.layout.objects < layout.objects:
            self._storage = self._storage.enlarged(layout, block_frames)
        elif limit is not None and self._storage.allocated_bytes:
            block_frames = 1  # more frames are pinned than the first block was made for
        self._storage.append(key, value, block_frames)
        self._frames.append(frame)

    def _drop(self, i: int) -> None:
        self._storage.remove(i)
        self._frames[i] = self._frames[-1]
        self._frames.pop()

    def _present(self, frame: _Frame) -> tuple[bool, ...]:
        """Which of today's objects the frame knows: those added after it, it does not."""
        return frame.present + (False,) * (self._storage.layout.objects - len(frame.present))

    def _weights(self) -> list[float] | None:
        """For `readout.read`: how many times each frame counts, or None where all count alike."""
        weights = [
            self.prompted if frame.pinned else self.latest if frame.t == self._last else 1.0
            for frame in self._frames
        ]
        return weights if len(set(weights)) > 1 else None

    def _presence(self) -> Tensor | None:
        """(B, N, S) for `readout.read`, or None when every frame knows every object."""
        present = [self._present(frame) for frame in self._frames]
        if all(map(all, present)):
            return None
        table = torch.tensor(present).T  # (N, S)
        return table.unsqueeze(0) if self.shared_keys else table.unsqueeze(1)

    def _sole(self, i: int, coming: _Frame | None = None) -> bool:
        """Whether frame i is the only one that knows some object: without it the object would be forgotten.
        """
        others = [frame.present for j, frame in enumerate(self._frames) if j != i]
        others += [coming.present] if coming else []
        known = {n for present in others for n, here in enumerate(present) if here}
        return any(here and n not in known for n, here in enumerate(self._frames[i].present))

    def _settle(self) -> None:
        """Add the last read's shares to the frames; waits for the device, so not before it is needed."""
        if self._share is None:
            return
        shares, self._share = self._share.tolist(), None
        for frame, share in zip(self._frames, shares, strict=True):
            frame.used, frame.reads = frame.used + share, frame.reads + 1
        self._usage = {frame.t: share for frame, share in zip(self._frames, shares, strict=True)}
