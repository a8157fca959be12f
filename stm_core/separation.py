"""What tells an object from the rest: a linear classifier of keys, fitted anew to the frames in memory.

Attention asks which stored positions look like this one; it always finds some, and what the clip newly shows
beside an object is taken for whatever it resembles most.  A classifier that was fitted to all stored
positions at once, the object's against the others, sees what they have in common, and generalises where
matching copies.  The fit is weighted ridge regression in closed form: a few small matrix products.

Source: differentiable ridge regression as a few-shot learner, Bertinetto et al., ICLR 2019; target models
beside a memory in video segmentation, Bhat et al., "Learning what to learn", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

LEAST = 1.0  # positions: an object that covers fewer in a frame counts less there
SMALLEST = 1e-4  # penalty, also of the offset: nothing is divided by zero


def separate(
    keys: Sequence[Tensor],
    covers: Sequence[Tensor],
    query: Tensor,
    *,
    ridge: float | Tensor,
    weights: Sequence[float] | None = None,
    present: Tensor | None = None,
) -> Tensor:
    """Score of each query position for each object, (B, N, Q), float32: about 1 on it, -1 off it, 0 for an
    object that no stored frame shows.

    keys: blocks (B, Si, P, Ck) of stored frames, S in all; a key of zeros was not seen.  covers: blocks
    (B, Si, P, N), share of each position that the object covers.  query: (B, Q, Ck), or (1, Q, Ck) for all.
    ridge: weight of the penalty beside the mean square of the keys' numbers.  weights, present: as in
    `readout.read`.
    """
    batch, objects, width = keys[0].shape[0], covers[0].shape[3], keys[0].shape[3] + 1
    gram = query.new_zeros(batch, objects, width, width, dtype=torch.float32)
    moment, shown = gram[..., 0].clone(), gram[..., 0, 0].clone()
    with torch.autocast(query.device.type, enabled=False):
        for t, (key, cover) in enumerate(_frames(keys, covers)):
            row = _with_one(key)  # (B, P, Ck + 1)
            on, off, positions = _balanced(row[..., :-1], cover.transpose(1, 2).float())
            factor = torch.full_like(positions, 1.0 if weights is None else weights[t])  # (B, N)
            if present is not None:
                factor = factor * present[:, :, t].to(factor)
            on, off = on * factor[..., None], off * factor[..., None]
            moment = moment + (on - off) @ row
            gram = gram + _grams(row, on + off)
            shown = shown + positions * factor
        size = gram.diagonal(dim1=-2, dim2=-1)[..., :-1].mean(-1, keepdim=True)
        penalty = torch.cat([(ridge * size).expand(-1, -1, width - 1), torch.zeros_like(size)], -1) + SMALLEST
        classifier = torch.linalg.solve(gram + torch.diag_embed(penalty), moment)
        scores = classifier @ _with_one(query).transpose(1, 2)  # (B, N, Q)
    return scores * (shown > 0).unsqueeze(-1)


def peak_bytes(*, batch: int, positions: int, objects: int, channels: int) -> int:
    """Most bytes that `separate` allocates for keys of so many channels and as many queries as positions."""
    width = channels + 1
    rows = 2 * width + 8 * objects  # of a frame: as they are and weighted, and what its positions count
    return 4 * batch * (positions * rows + 4 * objects * width**2)


def _frames(keys: Sequence[Tensor], covers: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Key (B, P, Ck) and cover (B, P, N) of each stored frame."""
    for key, cover in zip(keys, covers, strict=True):
        yield from zip(key.unbind(1), cover.unbind(1), strict=True)


def _with_one(rows: Tensor) -> Tensor:
    """rows (B, P, C) in float32 with a column of ones: a classifier's offset."""
    wider = rows.new_ones(*rows.shape[:2], rows.shape[2] + 1, dtype=torch.float32)
    wider[..., :-1] = rows
    return wider


def _grams(row: Tensor, count: Tensor) -> Tensor:
    """Sums of row (B, P, C) outer row, each position as often as count (B, N, P) says: (B, N, C, C)."""
    return torch.stack([(row * one.unsqueeze(-1)).transpose(1, 2) @ row for one in count.unbind(1)], 1)


def _balanced(key: Tensor, cover: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How much each position counts as the object's and as the rest's, (B, N, P): half of a frame's weight
    for either, however small the object is.  And how many positions the object covers, (B, N).
    """
    seen = (torch.linalg.vector_norm(key.detach(), dim=-1) > 0).unsqueeze(1)  # many times faster than any
    on, off = cover * seen, (1 - cover) * seen
    positions = on.sum(-1)
    share = 0.5 / positions.clamp(min=LEAST), 0.5 / off.sum(-1).clamp(min=LEAST)
    return on * share[0].unsqueeze(-1), off * share[1].unsqueeze(-1), positions.detach()
