"""Attention weights from affinities: which stored positions count for a query position, and how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Attention:
    """A softmax over memory, not over query.  positions: of one stored frame.  The rest as in `readout.read`.
    """

    positions: int
    top_k: int | None = None
    margin: float | None = None
    weights: Sequence[float] | None = None

    def __call__(self, scores: Tensor, known: Tensor | None = None) -> Tensor:
        """Weights (B, q, M) from affinities (B, q, M), which are written into.

        known: (B, S) bool, the frames that count; None = all.
        """
        if known is not None:
            scores.masked_fill_(~known.repeat_interleave(self.positions, 1).unsqueeze(1), float("-inf"))
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            best, where = scores.topk(self.top_k, dim=-1, sorted=False)
            best = self._within(best)
            if self.weights is not None:
                best = best.add_(self._log_weights(scores)[where])
            return torch.zeros_like(scores).scatter_(-1, where, best.softmax(-1))
        scores = self._within(scores)
        for i, weight in enumerate(self.weights or ()):
            if weight != 1:  # a pass over the few frames concerned, not over all
                scores[..., i * self.positions : (i + 1) * self.positions] += math.log(weight)
        return scores.softmax(-1)

    def _within(self, scores: Tensor) -> Tensor:
        """scores (B, q, k) less their best, -inf where they lie further below it than margin; in place."""
        if self.margin is None:
            return scores
        best = scores.detach().amax(-1, keepdim=True)
        return F.threshold_(scores.sub_(best), -self.margin, float("-inf"))

    def _log_weights(self, scores: Tensor) -> Tensor:
        """The logarithm of each stored position's weight: (M,)."""
        return scores.new_tensor(self.weights).log().repeat_interleave(self.positions)
