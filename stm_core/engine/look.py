"""Where a pixel looked: the attention that a read paid to each stored frame, and what memory says there.

Of a run it needs only which frames its memory held (`MemoryReport.read`) and their masks: the keys are
computed anew from the frames, and kept for the next pixel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.engine.click_answers import digest, keep, recall
from stm_core.engine.geometry import (
    check_image,
    check_size,
    masks_of,
    pad,
    pixel_at,
    place,
    processed_side,
    processed_size,
    spread_over_pixels,
    to_network,
)
from stm_core.engine.prompts import check_inside
from stm_core.engine.result import Held
from stm_core.errors import PromptError
from stm_core.faults import memory_told
from stm_core.memory.bank import MemoryBank
from stm_core.memory.policy import LATEST, PUBLISHED, TUNED, UNLIMITED, Kind, MemoryConfig
from stm_core.memory.window import Window
from stm_core.networks.interface import STRIDE
from stm_core.networks.weights import Model, check_model

MATCHES = 5  # strongest positions that are named


class Frames(Protocol):
    """Frames by index, each uint8 (H, W, 3): a dict, or what reads a frame when it is asked for."""

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)  # arrays have no plain equality
class Seen:
    """A stored frame, and how a pixel looked at it.

    t: index of the frame.
    kind: why it was in memory, as in `Held`.
    share: of the attention; all shares sum to 1.
    weights: float32 (H, W), the attention spread over its pixels; all frames together sum to 1, less what
        falls into the padding.
    """

    t: int
    kind: Kind
    share: float
    weights: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Match:
    """A stored position that counted much: frame t, the pixel in its middle, its share of the attention."""

    t: int
    x: int
    y: int
    weight: float


@dataclass(frozen=True, eq=False)
class Look:
    """Where pixel `at` (x, y) of a frame looked.

    object: what the decoder decided there, an id or 0; None where the frame's mask is not known.
    votes: what memory says by itself, by object: the stored masks averaged with the weights, 0 to 1.
    stored: the frames that memory held, by index.
    matches: the strongest positions, the strongest first.
    gone: frames that memory had held before: index, and the frame at which they were gone.
    """

    frame: int
    at: tuple[int, int]
    object: int | None
    votes: dict[int, float]
    stored: tuple[Seen, ...]
    matches: tuple[Match, ...]
    gone: dict[int, int]

    def as_dict(self) -> dict:
        """The content of `look.json`; everything but the weights."""
        return {
            "frame": self.frame,
            "at": list(self.at),
            "object": self.object,
            "votes": {str(n): vote for n, vote in self.votes.items()},
            "stored": [{"t": one.t, "kind": one.kind, "share": one.share} for one in self.stored],
            "matches": [{"t": m.t, "x": m.x, "y": m.y, "weight": m.weight} for m in self.matches],
            "gone": [{"t": t, "at": at} for t, at in self.gone.items()],
        }


@memory_told()
@torch.inference_mode()
def look(
    model: Model,
    frames: Frames,
    held: Sequence[Held],
    masks: Mapping[int, np.ndarray],
    frame: int,
    at: tuple[float, float],
    *,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    gone: Mapping[int, int] | None = None,
) -> Look:
    """Where a pixel of a frame looked while it was segmented, and what it found.

    frames: the frame itself and those that were held.
    held: the frames in memory then, `FrameResult.memory.read`.
    masks: of the same frames, uint8 (H, W) ids; or float32 (N, H', W'), the objects' probabilities at the
        processed size, which the paper's network remembers and its keys depend on.
    at: (x, y), a pixel of the frame.
    memory, size: of the run.
    gone: becomes `Look.gone`; see `gone_before`.
    Raises PromptError (outside the frame, or nothing was held), VideoError, LimitError when memory runs out.
    """
    check_model(model)
    check_size(size)
    if not held:
        raise PromptError(
            f"nothing was in memory when frame {frame} was segmented, because the run began with its mask; "
            "look at another frame"
        )
    image = frames[frame]
    check_image(image)
    shape = image.shape[:2]
    check_inside([at], *shape)
    size = processed_side(model.network, *shape, size)
    bank = _bank(model, frames, held, masks, memory or MemoryConfig(), size)
    stride = model.network.stride
    column, row = (max(int(side) // stride, 0) for side in place(*at, *shape, size))
    query = _key(model, image, Held(frame, "", False, (), (), _whole(shape, size)), None, size)
    attention = bank.look(query, row, column)
    cells = torch.stack([attention[one.t].float() for one in held])  # (S, h, w)
    shares = (cells.sum((1, 2)) / cells.sum()).tolist()
    pixels = spread_over_pixels(cells, stride, *shape, size).cpu().numpy()
    objects = max((one.objects for one in held), key=len)
    votes = bank.read(query[:, :, row : row + 1, column : column + 1]).flatten().tolist()
    decided = masks.get(frame)
    x, y = int(at[0]), int(at[1])
    return Look(
        frame=frame,
        at=(x, y),
        object=int(decided[y, x]) if decided is not None and decided.ndim == 2 else None,
        votes=dict(zip(objects, votes, strict=True)),
        stored=tuple(Seen(h.t, h.kind, s, w) for h, s, w in zip(held, shares, pixels, strict=True)),
        matches=_matches(cells, held, stride, shape, size),
        gone=dict(gone or {}),
    )


def gone_before(read: Iterable[tuple[int, Sequence[Held]]]) -> dict[int, int]:
    """Frames that memory held for good or for long and then dropped: {t: the frame at which it was gone}.

    read: (index, `MemoryReport.read`) of a run's frames, in its order, up to the one that is looked at.
    A previous frame that makes room for the next one is not counted.
    """
    gone: dict[int, int] = {}
    before: set[int] = set()
    for index, held in read:
        here = {one.t for one in held}
        gone = {t: at for t, at in gone.items() if t not in here}
        gone |= dict.fromkeys(sorted(before - here), index)
        before = {one.t for one in held if one.stays}
    return gone


def _bank(
    model: Model,
    frames: Frames,
    held: Sequence[Held],
    masks: Mapping[int, np.ndarray],
    memory: MemoryConfig,
    size: int,
) -> MemoryBank:
    """A bank that holds these frames as the run's did, with each frame's masks as its values (N, 1, h, w)."""
    network, trust = model.network, memory.trust or (TUNED if model.tuned else PUBLISHED)
    bank = MemoryBank(
        MemoryConfig(preset=UNLIMITED, every=1, top_k=memory.top_k),  # which keeps every frame
        scale=network.scale,
        shared_keys=network.shared_keys,
        bounded=network.bounded,
        trust=trust,
    )
    # the latest frame must be written last; older frames know fewer objects
    for one in sorted(held, key=lambda one: (one.kind == LATEST, len(one.objects), one.t)):
        image = frames[one.t]
        soft = _soft(masks[one.t], one, size, model.device)
        key = _key(model, image, one, soft, size)
        values = F.avg_pool2d(pad(soft)[:, None], network.stride).to(key.dtype)
        values, pinned = one.window.cut(values), one.kind == "prompted"
        bank.write(one.t, key, values, pinned=pinned, present=one.present, window=one.window)
    return bank


def _soft(mask: np.ndarray, one: Held, size: int, device: torch.device) -> Tensor:
    """The masks (N, H', W') that were stored with a frame."""
    if mask.ndim == 3:
        return torch.from_numpy(np.ascontiguousarray(mask[: len(one.objects)])).to(device)
    return masks_of(mask, one.objects, size, device)


def _key(model: Model, image: np.ndarray, one: Held, soft: Tensor | None, size: int) -> Tensor:
    """The key (1 or N, Ck, h, w) of a frame in its window.  soft: its masks; None: the key it asks with."""
    network, window = model.network, one.window
    own = soft is not None and not network.shared_keys  # else what is stored is what a frame asks with
    about = hashlib.blake2b(soft.cpu().numpy().tobytes(), digest_size=16).digest() if own else b""
    name = digest(image), size, (*window.rows, *window.columns), about
    key = recall(network, name)
    if key is None:
        frame = window.cut(to_network(image, size, model.device))
        query = network.encode_query(frame)
        key = network.encode_memory(frame, window.cut(pad(soft)), query)[0] if own else query.key
        keep(network, name, key)
    return key


def _whole(shape: tuple[int, int], size: int) -> Window:
    rows, columns = (-(-side // STRIDE) for side in processed_size(*shape, size))
    return Window.whole((rows, columns))


def _matches(
    cells: Tensor, held: Sequence[Held], stride: int, shape: tuple[int, int], size: int
) -> tuple[Match, ...]:
    """The strongest positions of cells (S, h, w)."""
    best, where = cells.flatten().topk(min(MATCHES, cells.numel()))
    found = []
    for weight, index in zip(best.tolist(), where.tolist(), strict=True):
        n, rest = divmod(index, cells[0].numel())
        row, column = divmod(rest, cells.shape[2])
        middle = (column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5
        if weight > 0:
            found.append(Match(held[n].t, *pixel_at(*middle, *shape, size), weight))
    return tuple(found)
