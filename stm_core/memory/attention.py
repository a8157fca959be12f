"""Attention from affinities: which stored positions count for a query position, and how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Attention:
    """A softmax over memory, not over the query.

    positions: of one stored frame.
    top_k, margin, trust: as in `readout.read`.
    """

    positions: int
    top_k: int | None = None
    margin: float | None = None
    trust: Sequence[float] | None = None

    def __call__(self, scores: Tensor, known: Tensor | None = None) -> Tensor:
        """Attention (B, q, M) from affinities (B, q, M), which are overwritten.

        known: (B, S) bool, the frames that count; None: all.
        """
        if known is not None:
            scores.masked_fill_(~known.repeat_interleave(self.positions, 1).unsqueeze(1), float("-inf"))
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            best, where = scores.topk(self.top_k, dim=-1, sorted=False)
            best = self._within(best)
            if self.trust is not None:
                best = best.add_(self._log_trust(scores)[where])
            return torch.zeros_like(scores).scatter_(-1, where, best.softmax(-1))
        scores = self._within(scores)
        for i, count in enumerate(self.trust or ()):
            if count != 1:  # a pass over the few frames concerned, not over all
                scores[..., i * self.positions : (i + 1) * self.positions] += math.log(count)
        return scores.softmax(-1)

    def _within(self, scores: Tensor) -> Tensor:
        """scores (B, q, k) minus their best, in place; -inf where that is beyond the margin."""
        if self.margin is None:
            return scores
        best = scores.detach().amax(-1, keepdim=True)
        return F.threshold_(scores.sub_(best), -self.margin, float("-inf"))  # type: ignore[attr-defined]

    def _log_trust(self, scores: Tensor) -> Tensor:
        """(M,) the logarithm of how many times each stored position counts."""
        return scores.new_tensor(self.trust).log().repeat_interleave(self.positions)
