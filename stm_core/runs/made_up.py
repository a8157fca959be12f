"""A generated clip with exact masks, for measurements in which its content does not matter."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from stm_core.masks.palette import SCREEN


def moving_clip(
    height: int, width: int, frames: int, objects: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (image uint8 (H, W, 3), labels uint8 (H, W)) of discs that circle over a drifting background.

    Each of up to eight has a colour of its own, so that a trained network can follow it.  They follow each
    other on one ellipse, so none hides another, unless there are very many or few pixels.
    """
    random = np.random.default_rng(0)
    margin, radius = 32, max(6, min(height, width) // (4 + objects))
    background = _texture(random, height + 2 * margin, width + 2 * margin, 24)
    colours = SCREEN[np.arange(objects) % len(SCREEN)]
    textures = [_texture(random, 2 * radius, 2 * radius, 6) // 3 + colour // 3 * 2 for colour in colours]
    y, x = np.mgrid[-radius:radius, -radius:radius]
    disc = x * x + y * y < radius * radius
    for t in range(frames):
        top, left = (margin + margin * np.sin([t / 31, t / 43])).astype(int)
        image = background[top : top + height, left : left + width].copy()
        labels = np.zeros((height, width), np.uint8)
        for n, texture in enumerate(textures):
            angle = t / 40 + 2 * np.pi * n / objects
            top = int((height - 2 * radius) * (0.5 + 0.45 * np.sin(angle)))
            left = int((width - 2 * radius) * (0.5 + 0.45 * np.cos(angle)))
            window = slice(top, top + 2 * radius), slice(left, left + 2 * radius)
            image[window][disc] = texture[disc]
            labels[window][disc] = n + 1
        yield image, labels


def _texture(random: np.random.Generator, height: int, width: int, grain: int) -> np.ndarray:
    """Smooth coloured noise, uint8 (height, width, 3)."""
    small = random.integers(0, 256, (height // grain + 2, width // grain + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
