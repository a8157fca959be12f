"""The memory read: softmax attention of a frame's positions over all stored ones. Pure.

Memory is kept position-major, (positions, channels). That is how a channels_last map lies in memory, so
turning maps into rows and back copies nothing. Queries are read in chunks, so the affinity of a whole frame
never exists.

B reads side by side (clips in training; objects where each has its own keys), N objects, S stored frames,
Pi positions of frame i, M of all frames, Q query positions, of which a chunk has q, Ck key channels, Cv value
channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from stm_core.memory.apart import Apart
from stm_core.memory.attention import Attention
from stm_core.memory.plain import read_plainly

CHUNK_BYTES = {"cpu": 16 * 2**20, "cuda": 128 * 2**20}  # affinity held at once
MIN_ROWS = 16
BOUND = 60.0  # e^60 times any number of positions is far below the most that float32 and bf16 can hold


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
    values: Sequence[Tensor | Apart],
    query: Tensor,
    *,
    scale: float,
    bounded: bool = False,
    top_k: int | None = None,
    trust: Sequence[float] | None = None,
    present: Tensor | None = None,
    chunk_bytes: int | None = None,
    cells: Tensor | None = None,
) -> Readout:
    """Attention-weighted mean of the stored values for each query position.

    keys: (B, Pi, Ck) of each stored frame.
    values: (B, Pi, N, Cv) of the same frames; where it is read plainly, they may be kept apart.
    query: (B, Q, Ck), or (1, Q, Ck) for all.
    scale: affinity = scale * key . query.
    bounded: every affinity lies within `BOUND` of 0, and no gradient is wanted.  This reads faster, see
        `reads_plainly`.
    top_k: only the k best stored positions count for each query; None or k >= all: every one.
    trust: (S,) above 0, how many times a position of each stored frame counts; None: once.
    present: (B, N, S) bool on the CPU, which stored frames know an object; None: all.  Other frames are left
        out of the object's softmax, and their values must be zeros; an object that no frame knows reads
        zeros.
    chunk_bytes: most bytes of affinity held at once; None: a default for the device.
    cells: int64 (n,), the query positions that are read, which are then all that Q means; None: every one.
    Source: Oh et al., ICCV 2019, section 3.2; top-k as in Cheng et al., STCN, NeurIPS 2021.
    """
    sizes = [block.shape[1] for block in keys]
    batch, (objects, channels) = len(keys[0]), values[0].shape[2:]
    positions = query.shape[1]  # chunks are as many for some of them as for all: no read takes more memory
    query = (query if cells is None else query[:, cells]) * scale
    plain = bounded and reads_plainly(batch, query.dtype, top_k, sum(sizes))
    row_bytes = batch * (max(sizes) if plain else sum(sizes)) * query.element_size()
    step = chunk_rows(positions, row_bytes, query.device.type, chunk_bytes)
    if plain:
        known = None if present is None else present[0]
        return Readout(*read_plainly(query[0], keys, values, trust, known, step))
    groups = _groups(present, objects, query.device)
    attend = Attention(sizes, top_k, trust)
    flat_keys = [block.transpose(1, 2) for block in keys]  # (B, Ck, Pi)
    parts, usage = [], torch.zeros(len(sizes), device=query.device)
    for chunk in query.split(step, dim=1):
        part, mass = _read_groups(chunk.expand(batch, -1, -1), flat_keys, values, groups, attend)
        parts.append(part)
        usage += mass
    value = _joined(parts, dim=1).unflatten(2, (objects, channels)).transpose(1, 2)
    return Readout(value, usage / usage.sum().clamp(min=1e-12))


def reads_plainly(batch: int, dtype: torch.dtype, top_k: int | None, stored: int) -> bool:
    """Whether bounded affinities are read without their maximum and without a softmax.

    Not where each object has its own keys, where only the best of the stored positions count, nor in half
    precision, which cannot hold e^BOUND.
    """
    return batch == 1 and dtype != torch.float16 and (top_k is None or top_k >= stored)


def where(
    keys: Sequence[Tensor],
    query: Tensor,
    *,
    scale: float,
    top_k: int | None = None,
    trust: Sequence[float] | None = None,
) -> list[Tensor]:
    """Where one position looks: its attention (Pi,) to each stored frame, float32; together they sum to 1.

    keys: (B, Pi, Ck), as in `read`; the result is the mean over B.
    query: (1, 1, Ck).
    The rest as in `read`.
    """
    sizes = [block.shape[1] for block in keys]
    query = (query * scale).expand(len(keys[0]), -1, -1)
    scores = _scores(query, [block.transpose(1, 2) for block in keys])
    return list(Attention(sizes, top_k, trust)(scores.float()).mean(0)[0].split(sizes))


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
        scores = _scores(query, flat_keys)
        attention = attend(scores, known)
        del scores
        part = _weighted(attention, [_columns(block, first, last) for block in values])
        seen = attention.detach().split(attend.sizes, -1)
        share = torch.stack([frame.sum(-1).sum(dtype=torch.float32) for frame in seen])
        del seen
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


def _scores(query: Tensor, flat_keys: list[Tensor]) -> Tensor:
    """Affinities (B, q, M) of queries (B, q, Ck) with the keys (B, Ck, Pi) of all frames."""
    if torch.is_grad_enabled() and any(one.requires_grad for one in (query, *flat_keys)):
        return _joined([_matmul(query, keys) for keys in flat_keys])
    scores = query.new_empty(*query.shape[:2], sum(keys.shape[2] for keys in flat_keys))
    parts = scores.split([keys.shape[2] for keys in flat_keys], dim=-1)
    for keys, part in zip(flat_keys, parts, strict=True):  # in place: to join them would double the peak
        _matmul(query, keys, out=part)
    return scores


def _weighted(attention: Tensor, values: list[Tensor]) -> Tensor:
    """attention (B, q, M) times the frames' values (B, Pi, C), summed in float32 over frames: (B, q, C)."""
    if len(values) == 1:
        return _matmul(attention, values[0])
    parts = attention.split([block.shape[1] for block in values], dim=-1)
    exact = torch.promote_types(attention.dtype, torch.float32)
    total = attention.new_zeros(*attention.shape[:2], values[0].shape[2], dtype=exact)
    for part, block in zip(parts, values, strict=True):
        total += _matmul(part, block)
    return total.to(attention.dtype)


def _columns(block: Tensor, first: int, last: int) -> Tensor:
    """Values (B, P, N, Cv) of neighbouring objects as (B, P, n*Cv), without a copy."""
    return block[..., first:last, :].flatten(2)


def _matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Batched product. A batch of one uses the plain product, up to twice as fast on a CPU in bf16."""
    if a.shape[0] != 1:
        return torch.bmm(a, b, out=out)
    return torch.mm(a[0], b[0], out=None if out is None else out[0]).unsqueeze(0)


def _joined(parts: list[Tensor], dim: int = -1) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
