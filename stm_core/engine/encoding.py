"""From masks to what is remembered of them: of each object only near its mask, the rest once for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stm_core.memory.apart import Apart
from stm_core.memory.window import Window, cut_together, ends, together
from stm_core.networks.interface import STRIDE, Network, QueryFeatures

MARGIN = 4  # cells around a mask that are encoded for its object; in all but the last its values are its own
GRAIN = 4  # of the sides of these windows, in cells: a CPU prepares its convolutions for each size
WORTH = 0.9  # values are apart where they are at most this share of all values


def windows_of(
    cells: np.ndarray, grain: int, corner: tuple[int, int], size: tuple[int, int]
) -> list[Window | None]:
    """The part of h x w cells in which each object has values of its own; empty where that saves little.

    cells: bool (N, a, b), where masks have a pixel, in cells of `grain` pixels that begin at pixel `corner`.
    """
    found: list[Window | None] = []
    for mask in cells:
        if not mask.any():
            found.append(None)
            continue
        sides = [
            ((grain * first + start) // STRIDE, (grain * (last + 1) + start - 1) // STRIDE)
            for (first, last), start in zip(ends(mask), corner, strict=True)
        ]
        found.append(Window.around(sides, size, MARGIN, (GRAIN, GRAIN)))
    whole = size[0] * size[1]
    own = sum(one.cells for one in found if one is not None)
    return found if whole + own <= WORTH * len(found) * whole else []


def encoded(
    network: Network, frame: Tensor, masks: Tensor, query: QueryFeatures, windows: Sequence[Window | None]
) -> tuple[Tensor, Tensor | Apart]:
    """Key (1 or N, Ck, h, w) of a frame and the values of its objects, (N, Cv, h, w) or apart.

    masks: (N, H, W) in [0, 1].
    windows: of each object, where its mask matters; None: nowhere.  Empty: all are encoded everywhere.
    """
    if not windows:
        return network.encode_memory(frame, masks, query)
    covered = masks.sum(0, keepdim=True)
    key, common = network.encode_memory(frame, torch.zeros_like(covered), query, others=covered.clamp(0, 1))
    own: dict[int, tuple[Window, Tensor]] = {}
    for members, group in together({n: one for n, one in enumerate(windows) if one is not None}):
        mine = torch.cat([one.cut(masks[n : n + 1]) for n, one in zip(members, group, strict=True)])
        every = torch.cat([one.cut(covered) for one in group])
        features = QueryFeatures(
            cut_together(query.key, group), tuple(cut_together(part, group) for part in query.for_value), ()
        )
        _, values = network.encode_memory(frame, mine, features, others=(every - mine).clamp(0, 1))
        for n, one, value in zip(members, group, values, strict=True):
            own[n] = one.inner, one.inner.inside(one).cut(value)  # convolutions pad at the edge
    return key, Apart.of(common, own, len(masks))
