"""A picture of training clips, to look at: each row a clip, masks drawn over its frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from stm_core.masks.files import overlay
from stm_core.media.files import Whole
from stm_core.training.data.synth import Batch


def write_sheet(path: Path, batch: Batch) -> None:
    """Writes a PNG: one row a clip, frames plain and with their masks side by side."""
    frames = (batch.frames * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()
    labels = batch.labels.numpy()
    rows = [
        np.concatenate(
            [np.concatenate([f, overlay(f, m)], axis=0) for f, m in zip(clip, masks, strict=True)], axis=1
        )
        for clip, masks in zip(frames, labels, strict=True)
    ]
    with Whole(path) as part:
        Image.fromarray(np.concatenate(rows, axis=0)).save(part, format="PNG")
