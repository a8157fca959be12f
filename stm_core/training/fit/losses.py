"""Losses of the compact network's training.  Labels: 0 background, 1.. objects, 255 ignored."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.networks.interface import log_odds
from stm_core.training.data.stores import IGNORE

HARDEST = 0.25  # share of the pixels that count, at the end of the bootstrap
SAME_POINT = 0.5  # two positions show one point if their picture points are this many strides apart at most


def segmentation(logits: Tensor, labels: Tensor, hardest: float = HARDEST) -> Tensor:
    """Bootstrapped cross-entropy plus soft dice of logits (B,K,H,W) against labels (B,H,W); a scalar.

    hardest: the share of pixels with the largest cross-entropy that is averaged (1 = all of them).
    """
    scores = log_odds(logits)
    target = labels.long()
    wrong = F.cross_entropy(scores, target, ignore_index=IGNORE, reduction="none")  # 0 where ignored
    wrong = wrong.flatten(1)
    count = max(1, int(wrong.shape[1] * hardest))
    entropy = wrong.topk(count, dim=1, sorted=False).values.mean()
    known = (target != IGNORE).unsqueeze(1)
    truth = torch.stack([target == k + 1 for k in range(logits.shape[1])], dim=1).float()
    probs = scores.softmax(1)[:, 1:] * known
    overlap, total = (probs * truth).sum((2, 3)), probs.sum((2, 3)) + truth.sum((2, 3))
    present = (truth.sum((2, 3)) > 0).float()
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return entropy + (dice * present).sum() / present.sum().clamp(min=1)


def correspondence(query: Tensor, memory: Tensor, asked: Tensor, stored: Tensor) -> Tensor:
    """Cross-entropy of the read weights against the positions that really show the same point.

    query, memory: keys (B,Ck,h,w) of two frames; asked, stored: their points (B,h,w,3)
    (`synth.Batch.points`). Positions without a match give nothing.
    """
    stride = _spacing(asked)
    affinity = torch.einsum("bcq,bcm->bqm", query.flatten(2).float(), memory.flatten(2).float())
    asked, stored = asked.flatten(1, 2), stored.flatten(1, 2)
    known = ~(asked[..., 2].isnan()[:, :, None] | stored[..., 2].isnan()[:, None])
    apart = torch.cdist(asked[..., :2].nan_to_num(9.0), stored[..., :2].nan_to_num(-9.0)) / stride[..., None]
    close = torch.exp(-((apart / SAME_POINT) ** 2)) * (
        known & (asked[:, :, None, 2] == stored[:, None, :, 2])
    )
    mass = close.sum(2)
    matched = (mass > 0.3).float()
    entropy = -(close / mass.clamp(min=1e-6)[..., None] * affinity.log_softmax(2)).sum(2)
    return (entropy * matched).sum() / matched.sum().clamp(min=1)


def _spacing(points: Tensor) -> Tensor:
    """Distance of neighbouring positions' picture points, (B,h*w); the usual value at a layer's edge."""
    steps = (points[:, :, 1:, :2] - points[:, :, :-1, :2]).norm(dim=-1)
    steps = torch.cat([steps, steps[:, :, -1:]], dim=2).flatten(1)
    usual = steps.nanmedian(dim=1, keepdim=True).values.nan_to_num(1.0)
    inside = (steps > 0.3 * usual) & (steps < 3 * usual)
    return torch.where(inside, steps, usual).clamp(min=1e-4)


def transported(query: Tensor, memory: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the masks that the read weights carry over: they must move the right labels.

    query, memory: keys (B,Ck,h,w).
    masks: (B,C,h,w), one-hot labels of the memory frame, averaged over each position.
    labels: (B,C,h,w), the same of the query frame.
    A position whose pixels are ignored has rows that sum below 1.
    """
    affinity = torch.einsum("bcq,bcm->bqm", query.flatten(2).float(), memory.flatten(2).float())
    carried = torch.einsum("bqm,bkm->bkq", affinity.softmax(2), masks.flatten(2))
    return -(labels.flatten(2) * carried.clamp(min=1e-4).log()).sum(1).mean()
