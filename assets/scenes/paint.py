"""Brushes for the example clips: noise, coverage of implicit shapes, strokes, layers. No photographs.

Pictures are float32 (H, W, 3) RGB in [0, 1]; a coverage is float32 (H, W) in [0, 1]; x runs right, y down, in
pixels.
"""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT, RATE = 640, 360, 24  # of every example: pixels, pixels, frames per second


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every pixel centre, each float32 (height, width)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x, y


X, Y = grid(HEIGHT, WIDTH)


def noise(height: int, width: int, cell: float, seed: int, octaves: int = 5, gain: float = 0.5) -> np.ndarray:
    """Multi-octave value noise that tiles, float32 (height, width), mean 0.5, stretched to about [0, 1].

    cell: size in pixels of the coarsest blob; each further octave is half as large, `gain` times as strong.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = max(2, round(height / cell * 2**octave))
        columns = max(2, round(width / cell * 2**octave))
        coarse = np.pad(rng.random((rows, columns), np.float32), 3, mode="wrap")  # so that the edges meet
        step_y, step_x = height / rows, width / columns
        box = (3 * step_x, 3 * step_y, 3 * step_x + width, 3 * step_y + height)
        size = (round(coarse.shape[1] * step_x), round(coarse.shape[0] * step_y))
        fine = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        left, top = round(box[0]), round(box[1])
        total += gain**octave * np.asarray(fine.crop((left, top, left + width, top + height)))
    return np.clip(0.5 + (total - total.mean()) / (4.4 * total.std()), 0, 1)


def sample(texture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The texture (h, w) or (h, w, c), repeated without end, read bilinearly at x, y."""
    height, width = texture.shape[:2]
    left, top = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    across, down = (x - left).astype(np.float32), (y - top).astype(np.float32)
    if texture.ndim == 3:
        across, down = across[..., None], down[..., None]
    right, below = (left + 1) % width, (top + 1) % height
    left, top = left % width, top % height
    upper = texture[top, left] * (1 - across) + texture[top, right] * across
    lower = texture[below, left] * (1 - across) + texture[below, right] * across
    return upper * (1 - down) + lower * down


def cover(implicit: np.ndarray, softness: float = 1.0) -> np.ndarray:
    """Coverage of the region where `implicit` < 0; its edge is `softness` pixels wide on any slope."""
    slope_y, slope_x = np.gradient(implicit)
    slope = np.maximum(np.hypot(slope_x, slope_y), 1e-4)
    return np.clip(0.5 - implicit / slope / softness, 0, 1).astype(np.float32)


def polygon(height: int, width: int, points: np.ndarray, fine: int = 4) -> np.ndarray:
    """Coverage of a polygon, points (n, 2) as x, y."""
    canvas = Image.new("L", (width * fine, height * fine))
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in (points + 0.5) * fine], fill=255)
    return np.asarray(canvas.resize((width, height), Image.Resampling.BOX), np.float32) / 255


def ribbon(height: int, width: int, spine: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Coverage of a band along spine (n, 2), radius (n,) pixels to either side."""
    along = np.gradient(spine, axis=0)
    across = (
        np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1), 1e-6)[:, None]
    )
    outline = np.concatenate([spine + across * radius[:, None], (spine - across * radius[:, None])[::-1]])
    return polygon(height, width, outline)


def along_spine(spine: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel its place on the nearest piece of spine (n, 2), and the signed distance to it in pixels.

    The place is a share of the length: 0 at the head, 1 at the tail; it goes on beyond both ends.
    """
    best = np.full(x.shape, np.inf, np.float32)
    share, offset = np.zeros_like(x), np.zeros_like(x)
    pieces = len(spine) - 1
    for i, (start, end) in enumerate(itertools.pairwise(spine)):
        step = end - start
        length = float(np.hypot(*step))
        place = ((x - start[0]) * step[0] + (y - start[1]) * step[1]) / length**2
        inside = np.clip(place, -np.inf if i == 0 else 0, np.inf if i == pieces - 1 else 1)
        away_x, away_y = x - start[0] - inside * step[0], y - start[1] - inside * step[1]
        distance = np.hypot(away_x, away_y)
        nearer = distance < best
        side = np.sign(step[0] * away_y - step[1] * away_x)
        best = np.where(nearer, distance, best)
        share = np.where(nearer, (i + inside) / pieces, share)
        offset = np.where(nearer, distance * side, offset)
    return share, offset


def blur(coverage: np.ndarray, radius: float) -> np.ndarray:
    """Gaussian blur of a coverage, radius in pixels."""
    image = Image.fromarray((np.clip(coverage, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def mix(a, b, share) -> np.ndarray:
    """a where share is 0, b where it is 1; colours are 3-tuples or pictures, share (H, W) or a number."""
    share = np.asarray(share, np.float32)
    if share.ndim == 2:
        share = share[..., None]
    return (np.asarray(a, np.float32) * (1 - share) + np.asarray(b, np.float32) * share).astype(np.float32)


def smooth(low: float, high: float, value) -> np.ndarray:
    """0 below low, 1 above high, a smooth step between."""
    t = np.clip((np.asarray(value, np.float32) - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


class Canvas:
    """A picture built from back to front that remembers how much of each object is still to be seen."""

    def __init__(self, picture: np.ndarray, objects: int):
        self.picture = picture
        self.seen = np.zeros((objects, *picture.shape[:2]), np.float32)

    def paint(self, colour, coverage: np.ndarray, label: int = 0) -> None:
        """Lay a colour or picture over what is there; label 0 is scenery, 1.. an object."""
        self.picture = mix(self.picture, colour, coverage)
        self.seen *= 1 - coverage
        if label:
            self.seen[label - 1] += coverage

    def glow(self, colour, strength: np.ndarray) -> None:
        """Light or shade on what is there (adds colour x strength); covers nothing."""
        self.picture = self.picture + np.asarray(colour, np.float32) * strength[..., None]

    def shade(self, strength: np.ndarray) -> None:
        """Darken what is there: 0 leaves it, 1 makes it black; covers nothing."""
        self.picture = self.picture * (1 - strength[..., None])

    def labels(self) -> np.ndarray:
        """uint8 (H, W): the object that shows most in a pixel, where objects make up at least half of it."""
        best = self.seen.argmax(0).astype(np.uint8) + 1
        return np.where(self.seen.sum(0) >= 0.5, best, 0).astype(np.uint8)
