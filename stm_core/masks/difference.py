"""A picture of where several masks of one frame differ, and which of them have an object there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# a colour for each run; people with colour-blind sight can tell them apart too (Okabe and Ito, 2008)
RUN_COLOURS = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167)], np.uint8
)


def difference(frame: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """The frame, dimmed; where the masks differ, the mean colour of the runs that have an object there.

    frame: uint8 (H, W, 3).
    masks: uint8 (H, W) of each run, in the order of RUN_COLOURS.
    A pixel where every run has the same object is left light.
    """
    shares = np.stack([mask > 0 for mask in masks]).astype(np.float32)
    same = np.all([mask == masks[0] for mask in masks], axis=0)
    total = shares.sum(0)
    grey = frame.mean(axis=2, dtype=np.float32)[..., None]
    colour = np.tensordot(shares, RUN_COLOURS[: len(masks)].astype(np.float32), (0, 0))
    colour /= np.maximum(total, 1)[..., None]
    base = np.where((same & (total > 0))[..., None], 0.5 * grey + 110, 0.4 * grey)
    return np.where(same[..., None], base, colour).clip(0, 255).astype(np.uint8)
