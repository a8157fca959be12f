"""Attention from affinities: which stored positions count for a query position, and how much."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Attention:
    """A softmax over memory, not over the query.

    sizes: positions of each stored frame, M in all.
    top_k, trust: as in `readout.read`.
    """

    sizes: Sequence[int]
    top_k: int | None = None
    trust: Sequence[float] | None = None

    def __call__(self, scores: Tensor, known: Tensor | None = None) -> Tensor:
        """Attention (B, q, M) from affinities (B, q, M), which are overwritten.

        known: (B, S) bool, the frames that count; None: all.
        """
        if known is not None:
            for i, frame in enumerate(self._frames(scores)):
                frame.masked_fill_(~known[:, i, None, None], float("-inf"))
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            best, where = scores.topk(self.top_k, dim=-1, sorted=False)
            if self.trust is not None:
                best = best.add_(self._log_trust(scores)[where])
            return torch.zeros_like(scores).scatter_(-1, where, best.softmax(-1))
        for count, frame in zip(self.trust or (), self._frames(scores), strict=False):
            if count != 1:  # only the few frames that do not count once are visited
                frame.add_(math.log(count))
        return scores.softmax(-1)

    def _frames(self, scores: Tensor) -> list[Tensor]:
        """The part of each frame, a view that may be written to (what `split` gives may not, in training)."""
        ends = itertools.accumulate(self.sizes)
        return [scores.narrow(-1, end - size, size) for size, end in zip(self.sizes, ends, strict=True)]

    def _log_trust(self, scores: Tensor) -> Tensor:
        """(M,) the logarithm of how many times each stored position counts."""
        logs = [math.log(count) for count in self.trust or ()]
        return torch.cat([scores.new_full((size,), log) for size, log in zip(self.sizes, logs, strict=True)])
