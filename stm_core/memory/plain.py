"""The read of bounded affinities: without their maximum, and so without a softmax.

Letters as in `readout.py`, of which this is a part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stm_core.memory.apart import Apart

Known = tuple[int, ...]  # the objects that a frame knows


def read_plainly(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor | Apart],
    trust: Sequence[float] | None,
    present: Tensor | None,
    step: int,
) -> tuple[Tensor, Tensor]:
    """Values (1, N, Q, Cv), and the share (S,) of each frame, for queries (Q, Ck) that are scaled.

    present: (N, S) bool on the CPU, or None.  The values of frames that do not know an object are zeros, so
    what it reads, divided by the mass at the frames that know it, is what its own softmax would give.
    step: queries to read at once, at most.
    """
    objects, channels = values[0].shape[2:]
    known = None if present is None else present.to(query.device, torch.float32)
    knowing = _knowing(present, objects, len(keys))
    step = _fewer(step, len(query), keys, values)
    value = query.new_empty(len(query), objects, channels)
    affinity = value.new_empty(step * max(block.shape[1] for block in keys))
    usage = torch.zeros(len(keys), device=value.device)
    for chunk, part in zip(query.split(step), value.split(step), strict=True):
        total, mass = _totals(chunk, keys, values, trust, knowing, part, affinity)
        own = mass.sum(1, keepdim=True) if known is None else mass @ known.T
        own = own.masked_fill_(own == 0, 1)  # no frame knows the object
        part.copy_(total.div_(own.unsqueeze(-1)))
        usage += (mass / own if known is None else mass * ((1 / own) @ known)).sum(0)
        del total, mass, own  # before those of the next chunk are made
    return value.transpose(0, 1).unsqueeze(0), usage / usage.sum().clamp(min=1e-12)


def _knowing(present: Tensor | None, objects: int, frames: int) -> list[Known]:
    """Of each frame the objects that it knows."""
    if present is None:
        return [tuple(range(objects))] * frames
    return [tuple(n for n, here in enumerate(column) if here) for column in present.T.tolist()]


def _fewer(step: int, queries: int, keys: Sequence[Tensor], values: Sequence[Tensor | Apart]) -> int:
    """How many queries to read at once where values are apart: what these need takes no more memory.

    That is the affinity to the positions of one object, and the sum of common values: it is in float32, and
    in half precision there is a product as well.
    """
    apart = [one for one in values if isinstance(one, Apart)]
    if not apart:
        return step
    widest = max(block.shape[1] for block in keys)
    more = max(one.widest for one in apart) + 3 * apart[0].shape[3]
    most = max(1, step * widest // (widest + more))
    return math.ceil(queries / math.ceil(queries / most))


def _totals(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor | Apart],
    trust: Sequence[float] | None,
    knowing: Sequence[Known],
    part: Tensor,
    affinity: Tensor,
) -> tuple[Tensor, Tensor]:
    """e^affinity times values, (q, N, Cv), and summed for each frame, (q, S); both float32.

    Frame by frame: what is worked on stays in the cache.
    part: (q, N, Cv) of the result, summed up in place where it is float32.  affinity: room for a frame's.
    """
    total = part if part.dtype == torch.float32 else torch.empty_like(part, dtype=torch.float32)
    total, mass = total.zero_(), total.new_empty(len(query), len(keys))
    apart = any(isinstance(one, Apart) for one in values)
    common = total.new_zeros(len(query) if apart else 0, total.shape[2])
    sharing: Known = ()  # objects whose common values are summed up: those of frames in a row that know them
    for i, (key, value) in enumerate(zip(keys, values, strict=True)):
        weights = affinity[: len(query) * key.shape[1]].view(len(query), -1)
        torch.mm(query, key[0].T, out=weights).exp_()
        count = 1 if trust is None else trust[i]
        mass[:, i] = weights.sum(-1) * count
        if not isinstance(value, Apart):
            _add(total.flatten(1), weights, value[0].flatten(1), count)
            continue
        if knowing[i] != sharing:
            _share(common, total, sharing)
            sharing = knowing[i]
        _add(common, weights, value.common, count)
        for n, own in value.own.items():
            near = own.window.cut(weights.unflatten(1, own.window.size)).flatten(1)
            _add(total[:, n], near, own.differs, count)
    _share(common, total, sharing)
    return total, mass


def _share(common: Tensor, total: Tensor, objects: Known) -> None:
    """Add a sum of common values (q, C) to the totals (q, N, C) of objects, and begin it anew."""
    for n in objects:
        total[:, n].add_(common)
    common.zero_()


def _add(total: Tensor, weights: Tensor, values: Tensor, count: float) -> None:
    """Add weights (q, P) times values (P, C) to a float32 total (q, C)."""
    if weights.dtype == torch.float32:
        total.addmm_(weights, values, alpha=count)
    else:
        total.add_(torch.mm(weights, values), alpha=count)
