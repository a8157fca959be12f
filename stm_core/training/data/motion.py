"""Smooth random motion: where each output pixel of each frame looks into a layer's picture.

Positions are in grid_sample's units: -1..1 across the picture, x then y, pixel edges at +-1.
Legend: B clips, T frames, S output side in pixels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

COARSE = 8  # pixels between two points of the lattice on which motion is computed


class Dice:
    """Random numbers of one generator on one device, in the few shapes that motion needs."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        self.grain = self.normal(2**22)  # noise is drawn once: pixels take it from random offsets

    @property
    def device(self) -> torch.device:
        return self.generator.device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low

    def normal(self, *shape: int, std: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device) * std

    def noise(self, *shape: int) -> Tensor:
        """Normal random numbers for pixels, taken from a store: much cheaper than drawing new ones."""
        wanted = math.prod(shape)
        offset = int(torch.randint(self.grain.numel(), (), generator=self.generator, device=self.device))
        return self.grain.roll(offset).repeat(-(-wanted // self.grain.numel()))[:wanted].view(shape)

    def chance(self, *shape: int, p: float) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device) < p

    def index(self, count: int, *shape: int) -> Tensor:
        return torch.randint(count, shape, generator=self.generator, device=self.device)

    def pick(self, weights: Tensor) -> Tensor:
        """A column for each row of weights (B,N), drawn with these probabilities."""
        return torch.multinomial(weights, 1, generator=self.generator)[:, 0]

    def sign(self, *shape: int) -> Tensor:
        return self.chance(*shape, p=0.5).float() * 2 - 1


def path(dice: Dice, batch: int, frames: int, start: Tensor, speed: float, wobble: float) -> Tensor:
    """A drifting quantity (B,T,D), from start (B,D).

    speed: size of its constant velocity.  wobble: size of its random walk.
    """
    dims = start.shape[1]
    velocity = dice.normal(batch, 1, dims, std=speed)
    steps = torch.arange(frames, device=start.device).view(1, -1, 1)
    walk = dice.normal(batch, frames, dims, std=wobble).cumsum(1)
    return start[:, None] + velocity * steps + walk - walk[:, :1]


def turn(angle: Tensor, zoom: Tensor, aspect: Tensor) -> Tensor:
    """Matrices (...,2,2) from an output offset to a picture offset.

    They zoom, rotate, and undo the squeeze to a square in the store.

    aspect: width/height of the picture, so that circles stay circles.
    """
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    squeeze = torch.stack([aspect.rsqrt(), aspect.sqrt()], -1).unsqueeze(-1)
    return rows * squeeze


def lattice(size: int, device: torch.device) -> Tensor:
    """Every eighth of S x S pixel centres, the outermost included: (K,K,2).  Motion is smooth between."""
    line = torch.linspace(1 / size - 1, 1 - 1 / size, size // COARSE + 1, device=device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1)


def bend(dice: Dice, batch: int, frames: int, size: int, strength: Tensor) -> Tensor:
    """Smooth displacement fields (B,T,K,K,2) that change slowly; strength (B,): their typical size."""
    knots = dice.normal(batch, 1, 2, 5, 5) + 0.7 * dice.normal(batch, frames, 2, 5, 5).cumsum(1)
    side = size // COARSE + 1
    fields = F.interpolate(knots.flatten(0, 1), size=(side, side), mode="bicubic", align_corners=True)
    return fields.unflatten(0, (batch, frames)).permute(0, 1, 3, 4, 2) * strength.view(-1, 1, 1, 1, 1)


def look(centre: Tensor, matrix: Tensor, place: Tensor, field: Tensor, size: int) -> Tensor:
    """Sampling grid (B,T,S,S,2): the picture point under each output pixel.

    centre (B,2) of the picture lands at place (B,T,2) of the output; matrix (B,T,2,2); field (B,T,K,K,2).
    """
    offsets = lattice(size, field.device) + field - place[:, :, None, None]
    coarse = torch.einsum("btij,btyxj->btiyx", matrix, offsets) + centre[:, None, :, None, None]
    grid = F.interpolate(coarse.flatten(0, 1), size=(size, size), mode="bilinear", align_corners=True)
    return grid.permute(0, 2, 3, 1).contiguous().unflatten(0, field.shape[:2])


def sample(pictures: Tensor, grid: Tensor, mode: str = "bilinear", padding: str = "reflection") -> Tensor:
    """pictures (B,C,H,W) or (B,T,C,H,W) at grid (B,T,S,S,2) -> (B,T,C,S,S)."""
    batch, frames = grid.shape[:2]
    if pictures.dim() == 4:
        pictures = pictures[:, None].expand(-1, frames, -1, -1, -1)
    out = F.grid_sample(
        pictures.flatten(0, 1), grid.flatten(0, 1), mode=mode, padding_mode=padding, align_corners=False
    )
    return out.unflatten(0, (batch, frames))
