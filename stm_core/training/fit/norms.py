"""Batch norm in training: statistics of the batch at first, then fixed ones.

Tracking and clicking feed the value encoder different maps, so the statistics of one batch are never those of
the finished network.  From some point on, the norms keep statistics measured over both kinds.  From then on
the network trains exactly as it will run.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    """All batch norms of the network."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def settle(network: nn.Module, forward: Callable[[], object], batches: int) -> None:
    """Replaces running statistics by their plain mean over some forward passes in training mode."""
    kept = [norm.momentum for norm in norms_of(network)]
    for norm in norms_of(network):
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for _ in range(batches):
        forward()
    for norm, momentum in zip(norms_of(network), kept, strict=True):
        norm.momentum = momentum


def freeze(network: nn.Module) -> None:
    """Lets the norms use their running statistics, in training mode too; their weights still learn."""
    network.train()
    for norm in norms_of(network):
        norm.eval()
