"""Weights over a picture as a heat map: dark where nothing was looked at, orange to yellow where much was."""

from __future__ import annotations

import numpy as np

from stm_core.errors import MaskError

DIMMED = 0.45  # of the picture's own brightness
COOL, HOT = np.array([255, 110, 40], np.float32), np.array([255, 232, 90], np.float32)


def heat(frame: np.ndarray, weights: np.ndarray, most: float) -> np.ndarray:
    """The frame, dimmed and grey, under its weights: uint8 (H, W, 3), a new array.

    frame: uint8 (H, W, 3).
    weights: float32 (H, W), 0 or more.
    most: the weight that is drawn brightest; colours follow the square root, so that small weights are seen.
    Raises MaskError if the sizes differ.
    """
    if frame.shape != (*weights.shape, 3):
        raise MaskError(f"the frame is {frame.shape}, the weights {weights.shape}; give both in one size")
    grey = frame.mean(axis=2, dtype=np.float32)[..., None] * DIMMED
    share = np.sqrt(np.clip(weights / max(most, 1e-12), 0, 1))[..., None].astype(np.float32)
    warm = COOL + (HOT - COOL) * share
    return (grey + (warm - grey) * np.sqrt(share) + 0.5).astype(np.uint8)
