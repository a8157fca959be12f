"""From what was read to logits: all objects of a frame together, each only where it may be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stm_core.memory.window import Window
from stm_core.networks.interface import LOGIT_LIMIT, Network, QueryFeatures

OBJECTS_AT_ONCE = 8  # which bounds the memory of a frame with many objects


def decoded(network: Network, read: Tensor, query: QueryFeatures, windows: Sequence[Window]) -> Tensor:
    """Logits float32 (N, H, W) from what was read (N, Cv, h, w).

    windows: of each object, all of one shape; elsewhere it is not.  Empty: all are decoded everywhere.
    """
    if not windows:
        parts = [network.decode(part, query) for part in read.split(OBJECTS_AT_ONCE)]
        return torch.cat(parts).float()
    height, width = (network.stride * side for side in read.shape[2:])
    logits = read.new_full((len(read), height, width), -LOGIT_LIMIT, dtype=torch.float32)
    for first in range(0, len(read), OBJECTS_AT_ONCE):
        group = list(enumerate(windows[first : first + OBJECTS_AT_ONCE], start=first))
        own = _together([window.cut(read[n : n + 1]) for n, window in group])
        maps = tuple(_together([window.cut(part) for _, window in group]) for part in query.for_decoder)
        found = network.decode(own, QueryFeatures(query.key, (), maps))
        for (n, window), one in zip(group, found, strict=True):
            window.cut(logits[n]).copy_(one)
    return logits


def _together(maps: list[Tensor]) -> Tensor:
    """Maps (1, C, h, w) of one shape as (N, C, h, w), channels_last."""
    return torch.cat(maps).contiguous(memory_format=torch.channels_last)
