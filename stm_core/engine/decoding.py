"""From what was read to logits: all objects of a frame together, each only where it may be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stm_core.memory.window import AT_ONCE, Group, cut_together
from stm_core.networks.interface import LOGIT_LIMIT, Network, QueryFeatures


def decoded(network: Network, read: Tensor, query: QueryFeatures, groups: Sequence[Group]) -> Tensor:
    """Logits float32 (N, H, W) from what was read (N, Cv, h, w).

    groups: the objects with their windows, as `together` gives them; outside its window an object gets "not
    here".  Empty: all are decoded everywhere.
    """
    if not groups:
        return torch.cat([network.decode(part, query) for part in read.split(AT_ONCE)]).float()
    height, width = (network.stride * side for side in read.shape[2:])
    logits = read.new_full((len(read), height, width), -LOGIT_LIMIT, dtype=torch.float32)
    for members, group in groups:
        own = torch.cat([one.cut(read[n : n + 1]) for n, one in zip(members, group, strict=True)])
        maps = tuple(cut_together(part, group) for part in query.for_decoder)
        found = network.decode(own, QueryFeatures(query.key, (), maps))
        for n, window, one in zip(members, group, found, strict=True):
            window.cut(logits[n]).copy_(one)
    return logits
