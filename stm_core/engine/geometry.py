"""From frames and ids, as people see them, to maps and channels, as networks see them, and back.

A frame is scaled until its short side has the processed size. Then it is padded to multiples of 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.errors import OptionError, VideoError
from stm_core.memory.window import Window
from stm_core.networks.interface import STRIDE, Network

LEAST_SIZE = 16  # pixels of a short side, least that may be asked for
FACTOR = 4  # most times that a small frame is enlarged
LONG = 4  # the long side of an enlarged frame is at most so many times the short side that a network wants


@dataclass(frozen=True)
class Area:
    """A rectangle of a processed frame's pixels, which may reach into its padding.

    rows, columns: (first, last + 1).
    """

    rows: tuple[int, int]
    columns: tuple[int, int]

    @classmethod
    def of(cls, window: Window, height: int, width: int) -> Area:
        """The pixels of a window's cells, in a frame that is processed at height x width."""
        left, _, top, _ = padding(height, width)
        rows, columns = ([STRIDE * end for end in side] for side in (window.rows, window.columns))
        return cls((rows[0] - top, rows[1] - top), (columns[0] - left, columns[1] - left))

    def inside(self, height: int, width: int, grain: int = 1) -> Area:
        """The same, without the padding, and first enlarged to multiples of `grain` pixels."""
        return Area(
            *(
                (max(0, first // grain * grain), min(most, -(-last // grain) * grain))
                for (first, last), most in zip((self.rows, self.columns), (height, width), strict=True)
            )
        )

    @property
    def at(self) -> tuple[slice, slice]:
        """Where it lies in maps of the whole frame, if it is inside."""
        return slice(*self.rows), slice(*self.columns)

    def moved(self, maps: Tensor, to: Area, fill: float = 0) -> Tensor:
        """Maps (..., H', W') of this area as maps of another, with `fill` where this one ends."""
        pairs = ((self.columns, to.columns), (self.rows, to.rows))
        sides = [side for own, other in pairs for side in (own[0] - other[0], other[1] - own[1])]
        return F.pad(maps, sides, value=fill) if any(sides) else maps


def check_image(image: np.ndarray) -> None:
    """Raises VideoError unless image is a frame: uint8 (H, W, 3)."""
    if not (
        isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    ):
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise VideoError(f"frame is {got}, expected uint8 (height, width, 3) RGB; convert it first")
    if 0 in image.shape:
        raise VideoError(f"frame has shape {image.shape}; give frames of at least one pixel")


def check_size(size: int | None) -> None:
    """Raises OptionError unless size may be a short side to process frames at: None, or from LEAST_SIZE."""
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < LEAST_SIZE):
        raise OptionError(
            f"size is {size!r}, expected a whole number of pixels from {LEAST_SIZE} up; "
            "leave it out for the usual size"
        )


def processed_side(network: Network, height: int, width: int, size: int | None) -> int:
    """The short side in pixels at which a network processes frames of height x width.

    size: at most this; None: no limit.
    Frames smaller than the network's `least_side` are enlarged to it, FACTOR times at most; long strips less.
    """
    (short, long), least = sorted((height, width)), network.least_side or 0
    useful = max(short, min(least, FACTOR * short, LONG * least * short // long))
    return min(size or useful, useful)


def processed_size(height: int, width: int, size: int | None) -> tuple[int, int]:
    """Height and width in pixels of a frame whose short side is scaled to `size`, before padding.

    None: as the frame is.
    """
    short = min(height, width)
    if size is None or size == short:
        return height, width
    return max(1, round(height * size / short)), max(1, round(width * size / short))


def to_network(
    image: np.ndarray, size: int | None, device: torch.device, window: Window | None = None
) -> Tensor:
    """A frame uint8 (H, W, 3) as float32 (1, 3, Hp, Wp) in [0, 1], scaled and padded, channels_last.

    window: only this part of it.
    """
    image = np.require(image, requirements=("C", "W"))
    pixels = torch.from_numpy(image).to(device).permute(2, 0, 1).unsqueeze(0)
    wanted = processed_size(*image.shape[:2], size)
    if wanted != image.shape[:2]:
        pixels = pixels if pixels.device.type == "cpu" else pixels.float()  # CUDA has no uint8 resize
        pixels = F.interpolate(pixels, wanted, mode="bilinear", antialias=True, align_corners=False)
    if window is None:
        return pad(pixels.float().div_(255))
    area = Area.of(window, *wanted)
    inside = area.inside(*wanted)
    return inside.moved(pixels[..., inside.at[0], inside.at[1]].float().div_(255), area)


def masks_of(labels: np.ndarray, ids: Sequence[int], size: int | None, device: torch.device) -> Tensor:
    """One mask for each id, float32 (N, H', W') at the processed size, from labels uint8 (H, W).

    It is soft at its edges where the frame is made smaller. Where it is enlarged, no given pixel is lost.
    """
    wanted = torch.tensor(list(ids), dtype=torch.uint8, device=device).view(-1, 1, 1)
    masks = (torch.from_numpy(np.require(labels, requirements=("C", "W"))).to(device) == wanted).float()
    seen = processed_size(*labels.shape, size)
    if seen == labels.shape:
        return masks
    if seen > labels.shape:
        return F.interpolate(masks[None], seen, mode="nearest-exact")[0]
    masks = F.interpolate(masks[None], seen, mode="bilinear", antialias=True, align_corners=False)[0]
    return masks.clamp(0, 1)


def place(x: float, y: float, height: int, width: int, size: int | None) -> tuple[float, float]:
    """(x, y) in the scaled and padded frame of pixel (x, y) of a frame."""
    rows, columns = processed_size(height, width, size)
    left, _, top, _ = padding(rows, columns)
    return (x + 0.5) * columns / width - 0.5 + left, (y + 0.5) * rows / height - 0.5 + top


def pixel_at(x: float, y: float, height: int, width: int, size: int | None) -> tuple[int, int]:
    """The pixel of a frame at that place of the scaled and padded frame: the inverse of `place`.

    Places in the padding give the nearest pixel.
    """
    rows, columns = processed_size(height, width, size)
    left, _, top, _ = padding(rows, columns)
    column = round((x - left + 0.5) * width / columns - 0.5)
    row = round((y - top + 0.5) * height / rows - 0.5)
    return min(max(column, 0), width - 1), min(max(row, 0), height - 1)


def resized(probs: Tensor, height: int, width: int) -> Tensor:
    """probs (C, H', W') at the frame's own size (C, height, width)."""
    if probs.shape[-2:] == (height, width):
        return probs
    return F.interpolate(probs[None], (height, width), mode="bilinear", align_corners=False)[0]


def spread_over_pixels(cells: Tensor, stride: int, height: int, width: int, size: int | None) -> Tensor:
    """Shares (S, h, w) of the padded frame's cells as shares (S, height, width) of the frame's pixels."""
    rows, columns = processed_size(height, width, size)
    pixels = cells.repeat_interleave(stride, 1).repeat_interleave(stride, 2)
    pixels = resized(unpad(pixels, rows, columns), height, width)
    return pixels * (rows * columns / (height * width) / stride**2)


def padding(height: int, width: int, multiple: int = STRIDE) -> tuple[int, int, int, int]:
    """Left, right, top, bottom pixels that bring (height, width) to multiples.

    An odd pixel goes to the right or to the bottom.
    """
    down, across = -height % multiple, -width % multiple
    return across // 2, across - across // 2, down // 2, down - down // 2


def pad(maps: Tensor, multiple: int = STRIDE) -> Tensor:
    """maps (..., H, W) with zeros around so that both sides are multiples of 16."""
    sides = padding(*maps.shape[-2:], multiple)
    return F.pad(maps, sides) if any(sides) else maps


def unpad(maps: Tensor, height: int, width: int, multiple: int = STRIDE) -> Tensor:
    """A view (..., height, width) of maps: the inverse of `pad` for frames of that size."""
    left, _, top, _ = padding(height, width, multiple)
    return maps[..., top : top + height, left : left + width]
