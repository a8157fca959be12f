"""The memory bank: holds the keys and values of frames, and reads them for a query. It knows no network.

Which frames it keeps is the strategy's decision (`policy.py`). A stored frame is *pinned* (it was prompted
and stays for good), *due* (it stays until the memory is full), or one of the latest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stm_core.errors import PromptError
from stm_core.memory import readout
from stm_core.memory.apart import Apart
from stm_core.memory.footprint import Layout, chunk_bytes
from stm_core.memory.known import is_sole, known, presence
from stm_core.memory.policy import AS_PUBLISHED, PUBLISHED, MemoryConfig, Stored, Trust
from stm_core.memory.storage import Storage
from stm_core.memory.window import Window


class MemoryBank:
    """Keys and values of the frames that a strategy keeps.

    scale: affinity = scale * key . query.
    shared_keys: a frame has one key for all its objects, or one for each.
    bounded: as in `readout.read`.
    trust: how far each kind of frame is trusted.
    """

    def __init__(
        self,
        config: MemoryConfig,
        *,
        scale: float,
        shared_keys: bool = True,
        bounded: bool = False,
        trust: Trust = PUBLISHED,
    ):
        self.config, self.trust = config, trust
        self.scale, self.shared_keys, self.bounded = scale, shared_keys, bounded
        self._strategy = config.strategy
        self.clear()

    def clear(self) -> None:
        """Forget everything and free the storage; frames of another size may follow, and other objects."""
        self._frames: list[Stored] = []  # in the order in which they were stored
        self.windows: dict[int, Window] = {}  # which part of each frame held is stored
        self._storage: Storage | None = None
        self._origin: int | None = None
        self._last: int | None = None
        self._share: Tensor | None = None
        self._usage: dict[int, float] = {}

    def wants(self, t: int, pinned: bool) -> bool:
        """Whether `write` would store frame t: if not, a caller need not encode it."""
        return self._strategy.stores(pinned, self._due(t))

    def reads_apart(self, query: Tensor) -> bool:
        """Whether `write` takes values apart (`apart.py`); it does not on a GPU.  query: a frame's key."""
        plain = self.bounded and self.config.top_k is None and query.dtype != torch.float16
        return plain and self.shared_keys and query.device.type == "cpu"

    def write(
        self,
        t: int,
        key: Tensor,
        value: Tensor | Apart,
        *,
        pinned: bool = False,
        present: Sequence[bool] | None = None,
        window: Window | None = None,
    ) -> None:
        """Store frame t as the latest one, and drop what the strategy does not keep beside it.

        key: (1 or N, Ck, h, w), of the positions that are stored.
        value: (N, Cv, h, w), or apart where `reads_apart`. N never falls: new objects come last, and older
            frames do not know them.
        pinned: the frame was prompted.
        present: (N,) which objects this frame shows; None: all.
        window: where in the frame these positions lie; None: they are all of it.
        A frame that alone knows some object stays, whatever the strategy says.
        Raises LimitError, and changes nothing, when the budget cannot hold the pinned frames and one more.
        """
        count = value.objects if isinstance(value, Apart) else len(value)
        present = (True,) * count if present is None else tuple(bool(here) for here in present)
        if len(present) != count:
            raise ValueError(f"present has {len(present)} objects, value has {count}")
        if not self.wants(t, pinned) or not any(present):
            return
        frame = Stored(t, pinned and self._strategy.pins, self._due(t), present)
        window = window or Window.whole((key.shape[2], key.shape[3]))
        layout = self._layout_with(key, value, window)
        limit = self._most_frames(frame, layout)
        self._drop_outdated(frame)
        self._last = t
        while limit is not None and len(self._frames) >= limit:
            self.evict()  # this ends: pinned frames are fewer, and any other may go, even the latest so far
        if isinstance(value, Apart):
            value = value.without(present)
        elif not all(present):  # `readout.read` asks for zeros there
            value = value * value.new_tensor(present).view(-1, 1, 1, 1)
        self._store(frame, key, value, layout)
        self.windows[t] = window

    def read(self, query_key: Tensor, cells: Tensor | None = None) -> Tensor:
        """Values (N, Cv, h, w) that the stored frames give for a frame with key (1, Ck, h, w).

        cells: the positions that are read, int64 (n,); the others get zeros.  None: all.
        Raises PromptError when nothing is stored.
        """
        options, query = self._read_options(), readout.rows(query_key)
        result = readout.read(
            self._storage.keys,
            self._storage.values,
            query,
            cells=cells,
            bounded=self.bounded,
            present=presence(self._frames, self._objects, self.shared_keys),
            chunk_bytes=chunk_bytes(self.config, query_key.device.type),
            **options,
        )
        self._settle()
        self._share = result.usage
        value = result.value.flatten(0, 1)  # (N, Q, Cv)
        if cells is None:
            value = value.contiguous()
        else:
            value = value.new_zeros(len(value), query.shape[1], value.shape[2]).index_copy_(1, cells, value)
        return readout.maps(value, *query_key.shape[-2:])

    def discount(self) -> None:
        """Do not count the last read: the frame is read once more, or was refused."""
        self._share = None

    def look(self, query_key: Tensor, row: int, column: int) -> dict[int, Tensor]:
        """Where one position (row, column) of a frame with key (1, Ck, h, w) looks: {t: attention (h, w)}.

        All frames together sum to 1; what is not stored of a frame has 0.  Raises PromptError when nothing is
        stored.
        """
        options = self._read_options()
        found = readout.where(self._storage.keys, query_key[:, :, row, column].unsqueeze(1), **options)
        windows = [self.windows[frame.t] for frame in self._frames]
        maps = [
            window.spread(one.unflatten(0, window.shape), 0)
            for window, one in zip(windows, found, strict=True)
        ]
        return {frame.t: one for frame, one in zip(self._frames, maps, strict=True)}

    def evict(self) -> int | None:
        """Drop a frame that is neither pinned nor the latest; its index, or None if there is none.

        A frame that alone knows some object goes only when every other one has gone.
        """
        self._settle()
        free = [frame for frame in self._frames if not frame.pinned and frame.t != self._last]
        if not free:
            return None
        frame = self._strategy.least_used([one for one in free if not is_sole(one, self._frames)] or free)
        self._drop(frame)
        return frame.t

    @property
    def frames(self) -> list[int]:
        """Indices of the frames held, sorted."""
        return sorted(frame.t for frame in self._frames)

    @property
    def pinned(self) -> list[int]:
        """Indices of the prompted frames that stay for good, sorted."""
        return sorted(frame.t for frame in self._frames if frame.pinned)

    @property
    def stored(self) -> list[Stored]:
        """The frames held, by index; they are the bank's own and change with it."""
        return sorted(self._frames, key=lambda frame: frame.t)

    @property
    def latest(self) -> int | None:
        """Index of the frame that was stored last, None before the first."""
        return self._last

    @property
    def known(self) -> tuple[bool, ...]:
        """(N,) whether some stored frame knows the object."""
        return known(self._frames, self._objects)

    @property
    def _objects(self) -> int:
        return self._storage.layout.objects if self._storage else 0

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
    def frame_bytes(self) -> int:
        """Bytes of one stored frame by formula, as if it were stored whole: an upper bound."""
        return self._storage.layout.frame_bytes if self._storage else 0

    @property
    def read_peak_bytes(self) -> int:
        """Most bytes that a read of the frames held now allocates, by formula, as if all were whole."""
        if not self._frames:
            return 0
        return self._storage.layout.read_peak_bytes(len(self._frames), self.config)

    def unbounded_bytes(self, t: int) -> int:
        """Bytes that STM as published would hold after frame t, with the same frames pinned."""
        if not self._frames:
            return 0
        every = self.config.every
        extra = sum((pinned - self._origin) % every != 0 for pinned in self.pinned if pinned != t)
        frames = AS_PUBLISHED.most_held(pinned=1, frames=abs(t - self._origin) + 1, every=every)
        return self.frame_bytes * (extra + frames)

    def _due(self, t: int) -> bool:
        return self._strategy.due(t, self._origin, self.config.every)

    def _layout_with(self, key: Tensor, value: Tensor | Apart, window: Window) -> Layout:
        """The layout that holds this frame too.  Raises ValueError if it does not fit the frames held."""
        if window.shape != tuple(key.shape[2:]):
            raise ValueError(f"the key has {tuple(key.shape[2:])} positions, its window {window.shape}")
        layout = Layout.of(key, value, window.size, self.shared_keys, self.bounded)
        old = self._storage.layout if self._storage else layout
        same = old.positions == layout.positions and old.channels == layout.channels
        if not same or layout.objects < old.objects:
            raise ValueError(f"the bank holds frames of {old}, got {layout}; clear it first")
        return layout

    def _most_frames(self, frame: Stored, layout: Layout) -> int | None:
        """How many frames fit the budget once this one is stored; None without a budget."""
        if not self._strategy.bounded:
            return None
        pinned = sum(one.pinned for one in self._frames if one.t != frame.t) + frame.pinned
        return layout.most_frames(self.config, max(pinned, 1))

    def _drop_outdated(self, coming: Stored) -> None:
        """Drop what the strategy does not keep beside the coming frame, and an older entry of that frame."""
        self._settle()
        outdated = self._strategy.outdated([frame for frame in self._frames if frame.t != coming.t])
        for frame in self._frames.copy():
            if frame.t == coming.t or (frame in outdated and not is_sole(frame, [*self._frames, coming])):
                self._drop(frame)

    def _store(self, frame: Stored, key: Tensor, value: Tensor | Apart, layout: Layout) -> None:
        if self._storage is None:
            self._origin = frame.t
            self._storage = Storage(layout)
        elif self._storage.layout.objects < layout.objects:
            self._storage.enlarge(layout)
        self._storage.append(key, value)
        self._frames.append(frame)

    def _drop(self, frame: Stored) -> None:
        self._storage.remove(self._frames.index(frame))
        del self.windows[frame.t]
        self._frames.remove(frame)

    def _read_options(self) -> dict[str, object]:
        """The options with which `readout` reads the frames held.  Raises PromptError when there is none."""
        if not self._frames:
            raise PromptError("the memory is empty; give a mask or a click on a frame first")
        trust = [self.trust.in_frame(frame, self._last) for frame in self._frames]
        trust = trust if len(set(trust)) > 1 else None  # if all count alike there is nothing to do
        return {"scale": self.scale, "top_k": self.config.top_k, "trust": trust}

    def _settle(self) -> None:
        """Add the shares of the last read to the frames. It waits for the device, so it is done late."""
        if self._share is None:
            return
        shares, self._share = self._share.tolist(), None
        for frame, share in zip(self._frames, shares, strict=True):
            frame.used, frame.reads = frame.used + share, frame.reads + 1
        self._usage = {frame.t: share for frame, share in zip(self._frames, shares, strict=True)}
