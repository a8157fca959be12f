"""From masks to what is remembered of them: of each object only near its mask, the rest once for all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stm_core.memory.apart import Apart
from stm_core.memory.window import Window, cut_together, ends, together
from stm_core.networks.interface import STRIDE, Network, QueryFeatures

MARGIN = 4  # cells around a mask that are encoded for its object; its values are its own in `Window.inner`
GRAIN = 4  # of the sides of these windows, in cells: a CPU prepares its convolutions for each size
WORTH = 0.9  # values are kept apart if this leaves at most this share of them
FAINT = 0.01  # a mask ends where it is at most this: a single pixel, in a frame that is made 8 times smaller


def windows_of(masks: Tensor) -> list[Window | None]:
    """The part of h x w cells in which each object has values of its own; None for one without a mask.

    An empty list where that saves little.
    masks: (N, 16 h, 16 w), on the CPU.
    """
    size = masks.shape[1] // STRIDE, masks.shape[2] // STRIDE
    found: list[Window | None] = []
    for rows, columns in zip(masks.amax(2).numpy() > FAINT, masks.amax(1).numpy() > FAINT, strict=True):
        if not rows.any():
            found.append(None)
            continue
        sides = [(first // STRIDE, last // STRIDE) for first, last in (ends(rows), ends(columns))]
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
    given = {n: one for n, one in enumerate(windows) if one is not None}
    for members, group in together(given):
        mine = torch.cat([one.cut(masks[n : n + 1]) for n, one in zip(members, group, strict=True)])
        every = torch.cat([one.cut(covered) for one in group])
        features = QueryFeatures(
            cut_together(query.key, group), tuple(cut_together(part, group) for part in query.for_value), ()
        )
        _, values = network.encode_memory(frame, mine, features, others=(every - mine).clamp(0, 1))
        for n, one, value in zip(members, group, values, strict=True):
            kept = given[n].inner  # not the window that was enlarged for the call: memory would hold more
            own[n] = kept, kept.inside(one).cut(value)
    return key, Apart.of(common, own, len(masks))
