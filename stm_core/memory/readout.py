"""The memory read: softmax attention of a frame's positions over all stored ones. Pure and differentiable.

Memory is kept position-major, (positions, channels). That is how a channels_last map lies in memory, so
turning maps into rows and back copies nothing. Queries are read in chunks, so the affinity of a whole frame
never exists.

B reads side by side (clips in training; objects where each has its own keys), N objects, S stored frames,
P positions of each, M = S*P, Q query positions, of which a chunk has q, Ck key channels, Cv value channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from stm_core.memory.attention import Attention

CHUNK_BYTES = {"cpu": 16 * 2**20, "cuda": 128 * 2**20}  # affinity held at once
MIN_ROWS = 16


@dataclass(frozen=True)
class Readout:
    """What was read.

    value: (B, N, Q, Cv).
    usage: (S,) share of the softmax mass of each stored frame, sums to 1.
    """

    value: Tensor
    usage: Tensor


def rows(maps: Tensor) -> Tensor:
    """maps (..., C, h, w) as rows (..., h*w, C); a view where maps is channels_last."""
    return maps.flatten(-2).transpose(-1, -2)


def maps(rows: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `rows`: (..., h*w, C) as maps (..., C, h, w), channels_last in memory."""
    return rows.transpose(-1, -2).unflatten(-1, (height, width))


def read(
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    query: Tensor,
    *,
    scale: float,
    top_k: int | None = None,
    margin: float | None = None,
    trust: Sequence[float] | None = None,
    present: Tensor | None = None,
    chunk_bytes: int | None = None,
) -> Readout:
    """Attention-weighted mean of the stored values for each query position.

    keys: blocks (B, Si, P, Ck) of stored frames, S in all.
    values: blocks (B, Si, P, N, Cv) of the same frames.
    query: (B, Q, Ck), or (1, Q, Ck) for all.
    scale: affinity = scale * key . query.
    top_k: only the k best stored positions count for each query; None or k >= all: every one.
    margin: of these, only positions whose affinity is less than this below the best one's; None: every one.
    trust: (S,) above 0, how many times a position of each stored frame counts; None: once.
    present: (B, N, S) bool on the CPU, which stored frames know an object.  The others are left out of that
        object's softmax, and their values must be zeros; an object that no frame knows reads zeros.
    chunk_bytes: most bytes of affinity held at once; None: what suits the device.
    Source: Oh et al., ICCV 2019, section 3.2; top-k as in Cheng et al., STCN, NeurIPS 2021.
    """
    frames, positions = sum(block.shape[1] for block in keys), keys[0].shape[2]
    batch, objects, channels = keys[0].shape[0], values[0].shape[3], values[0].shape[4]
    row_bytes = batch * frames * positions * query.element_size()
    groups = _groups(present, objects, query.device)
    # not in half precision, where small attention vanishes at once
    once = batch == 1 and top_k is None and len(groups) > 1 and query.dtype != torch.float16
    known = present[0].to(query.device) if once else None
    attend = Attention(positions, top_k, margin, trust)
    step = chunk_rows(query.shape[1], row_bytes, query.device.type, chunk_bytes)
    flat_keys = [block.flatten(1, 2).transpose(1, 2) for block in keys]  # (B, Ck, Mi), Mi = Si * P
    parts, usage = [], torch.zeros(frames, device=query.device)
    for chunk in (query * scale).split(step, dim=1):
        chunk = chunk.expand(batch, -1, -1)
        if known is None:
            part, mass = _read_groups(chunk, flat_keys, values, groups, attend)
        else:
            part, mass, vanished = _read_once(chunk, flat_keys, values, known, attend)
            if vanished.any():
                rest = chunk[:, vanished]
                part[:, vanished], more = _read_groups(rest, flat_keys, values, groups, attend)
                mass = mass + more
        parts.append(part)
        usage += mass
    value = _joined(parts, dim=1).unflatten(2, (objects, channels)).transpose(1, 2)
    return Readout(value, usage / usage.sum().clamp(min=1e-12))


def where(
    keys: Sequence[Tensor],
    query: Tensor,
    *,
    scale: float,
    top_k: int | None = None,
    margin: float | None = None,
    trust: Sequence[float] | None = None,
) -> Tensor:
    """Where one position looks: its attention (S, P) over all stored positions, float32, sums to 1.

    keys: blocks (B, Si, P, Ck), as in `read`; the result is the mean over B.
    query: (1, 1, Ck).
    The rest as in `read`.
    """
    flat_keys = [block.flatten(1, 2).transpose(1, 2) for block in keys]
    attend = Attention(keys[0].shape[2], top_k, margin, trust)
    scores = _joined([_matmul((query * scale).expand(len(block), -1, -1), block) for block in flat_keys])
    return attend(scores.float()).mean(0)[0].unflatten(-1, (-1, attend.positions))


def _read_once(
    query: Tensor, flat_keys: list[Tensor], values: Sequence[Tensor], known: Tensor, attend: Attention
) -> tuple[Tensor, Tensor, Tensor]:
    """What `_read_groups` returns, with one softmax for all objects instead of one for each group.

    known: (N, S).  The values of frames that do not know an object are zeros, so what the object sees of the
    common softmax, divided by its mass at the frames that know it, is what its own softmax would give. (A
    margin counts from the best position of all frames, then.)
    The third result, (q,) bool, marks queries where that mass is too small to divide by: read these anew.
    """
    scores = _joined([_matmul(query, block) for block in flat_keys])
    attention = attend(scores)
    del scores
    mass, own, vanished = _masses(attention, known)
    part = _weighted(attention, [_columns(block, 0, len(known)) for block in values])
    del attention
    share = (mass.detach() * ((1 / own.detach()) @ known.to(mass.dtype))).sum(0)
    return _divided(part, own), share, vanished


def _masses(attention: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mass of attention (1, q, M) at each frame, (q, S), and at the frames that know each object, (q, N).

    The third result, (q,) bool, marks queries where the mass of some object is lost in rounding: there the
    first is 0 and the second 1.
    """
    exact = torch.promote_types(attention.dtype, torch.float32)
    frames = attention[0].chunk(known.shape[1], -1)  # one by one: a sum in another dtype copies first
    mass = torch.stack([frame.sum(-1, dtype=exact) for frame in frames], -1)
    own = torch.where(known.any(1), mass @ known.T.to(exact), 1.0)
    limits = torch.finfo(attention.dtype)
    vanished = (own < limits.tiny * attention.shape[-1] / limits.eps).any(1)
    return mass.masked_fill(vanished[:, None], 0.0), own.masked_fill(vanished[:, None], 1.0), vanished


def _divided(part: Tensor, own: Tensor) -> Tensor:
    """part (1, q, N*Cv) with the columns of each object divided by its own (q, N).

    Object by object, because the quotient of two dtypes has the wider one.
    """
    value, channels = torch.empty_like(part), part.shape[-1] // own.shape[1]
    for n in range(own.shape[1]):
        its = slice(n * channels, (n + 1) * channels)
        value[..., its] = part[..., its] / own[:, n, None]
    return value


def _read_groups(
    query: Tensor,
    flat_keys: list[Tensor],
    values: Sequence[Tensor],
    groups: list,
    attend: Attention,
) -> tuple[Tensor, Tensor]:
    """Values (B, q, N*Cv) for queries (B, q, Ck), and the softmax mass (S,) of each stored frame.

    Scores are computed anew for each group: hiding frames writes into them, and a copy would raise the peak.
    """
    parts, mass = [], 0
    for first, last, known, anywhere in groups:
        scores = _joined([_matmul(query, block) for block in flat_keys])  # (B, q, M)
        attention = attend(scores, known)
        part = _weighted(attention, [_columns(block, first, last) for block in values])
        share = attention.detach().unflatten(-1, (-1, attend.positions)).sum(-1)
        share = share.sum((0, 1), dtype=torch.float32)
        if anywhere is not None:
            part, share = part * anywhere.view(-1, 1, 1), share * anywhere.any()
        parts.append(part)
        mass = mass + share * (last - first)
        del attention
    return _joined(parts), mass


def chunk_rows(queries: int, row_bytes: int, device: str, chunk_bytes: int | None = None) -> int:
    """How many query positions to read at once: even chunks of rows of row_bytes that fit chunk_bytes."""
    limit = chunk_bytes or CHUNK_BYTES.get(device, CHUNK_BYTES["cpu"])
    most = max(MIN_ROWS, limit // row_bytes)
    return math.ceil(queries / math.ceil(queries / most))


def _groups(present: Tensor | None, objects: int, device: torch.device) -> list[tuple]:
    """Neighbouring objects that the same frames know: (first, last + 1, known, anywhere).

    known: (B, S) bool; None: every frame.  For an object that no frame knows every frame is marked.
    anywhere: (B,) bool, False where no frame knows them; None: True throughout.
    """
    if present is None or bool(present.all()):
        return [(0, objects, None, None)]
    groups, last = [], 0
    for _, group in groupby(present.transpose(0, 1).flatten(1).tolist()):
        first, last = last, last + len(list(group))
        known = present[:, first]
        anywhere = known.any(1)
        known = known | ~anywhere.unsqueeze(1)
        frames = None if bool(known.all()) else known.to(device)
        groups.append((first, last, frames, None if bool(anywhere.all()) else anywhere.to(device)))
    return groups


def _weighted(attention: Tensor, values: list[Tensor]) -> Tensor:
    """attention (B, q, M) times blocks of values (B, Mi, C), summed in float32 over blocks: (B, q, C)."""
    if len(values) == 1:
        return _matmul(attention, values[0])
    parts = attention.split([block.shape[1] for block in values], dim=-1)
    total = sum(_matmul(part, block).float() for part, block in zip(parts, values, strict=True))
    return total.to(attention.dtype)


def _columns(block: Tensor, first: int, last: int) -> Tensor:
    """Values (B, S, P, N, Cv) of neighbouring objects as (B, S*P, n*Cv), without a copy."""
    return block[..., first:last, :].flatten(1, 2).flatten(2)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """Batched product. A batch of one uses the plain product, up to twice as fast on a CPU in bf16."""
    return torch.mm(a[0], b[0]).unsqueeze(0) if a.shape[0] == 1 else torch.bmm(a, b)


def _joined(parts: list[Tensor], dim: int = -1) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
