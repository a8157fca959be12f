"""From what was read to logits: all objects of a frame together, each only where it may be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stm_core.memory.window import AT_ONCE, Window, cut_together, ends, together
from stm_core.networks.interface import LOGIT_LIMIT, Network, QueryFeatures


VOTES = 0.1  # an object may be where memory gives it at least this share of its attention, and
AROUND = 2  # cells around that
GRAIN = 4  # of the sides of these windows, in cells: a CPU prepares its convolutions for each size


def voted(windows: Sequence[Window], votes: Tensor | None) -> list[Window | None]:
    """Windows, smaller where memory says that there is nothing to be found; None: nowhere.

    windows: of each object.  votes: (N, h, w), as of `MemoryBank.votes`.
    """
    if votes is None:
        return list(windows)
    found: list[Window | None] = []
    for window, cells in zip(windows, (votes > VOTES).cpu().numpy(), strict=True):
        inside = np.zeros_like(cells)
        window.cut(inside)[...] = window.cut(cells)
        if not inside.any():
            found.append(None)
            continue
        found.append(Window.around(ends(inside), window.size, AROUND, (GRAIN, GRAIN)))
    return found


def decoded(network: Network, read: Tensor, query: QueryFeatures, windows: Sequence[Window | None]) -> Tensor:
    """Logits float32 (N, H, W) from what was read (N, Cv, h, w).

    windows: of each object; elsewhere it is not; None: nowhere.  Empty: all are decoded everywhere.
    """
    if not windows:
        return torch.cat([network.decode(part, query) for part in read.split(AT_ONCE)]).float()
    height, width = (network.stride * side for side in read.shape[2:])
    logits = read.new_full((len(read), height, width), -LOGIT_LIMIT, dtype=torch.float32)
    for members, group in together({n: one for n, one in enumerate(windows) if one is not None}):
        own = torch.cat([one.cut(read[n : n + 1]) for n, one in zip(members, group, strict=True)])
        maps = tuple(cut_together(part, group) for part in query.for_decoder)
        own = own.contiguous(memory_format=torch.channels_last)
        found = network.decode(own, QueryFeatures(query.key, (), maps))
        for n, window, one in zip(members, group, found, strict=True):
            window.cut(logits[n]).copy_(one)
    return logits
