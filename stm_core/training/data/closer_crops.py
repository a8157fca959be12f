"""The closer look that a click takes, in training: as at use, a coarse read finds the object, and what is
learnt is the read of the piece around it.

Legend: B pictures, S side of the square picture, C side of the piece, all in pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.training.data.stores import IGNORE

COARSE = 192  # side at which the whole picture is seen
ROOM = (1.1, 1.8)  # of the piece, around the mask and the clicks; at use it is 1.4
SHIFT = 0.12  # of its middle at most, as a share of its side, both ways together
SMALLEST = 0.12  # side of a piece, as a share of the picture's


def smaller(pictures: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (B,3,S,S) and clicks (B,P,3) as the coarse read sees them."""
    side = pictures.shape[-1]
    if side <= COARSE:
        return pictures, points
    small = F.interpolate(pictures, (COARSE, COARSE), mode="bilinear", antialias=True, align_corners=False)
    return small, moved(
        points, points.new_zeros(len(points), 2), points.new_full((len(points),), side), COARSE
    )


def pieces(masks: Tensor, points: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Corner (B,2) x, y and side (B,) of a square around each mask (B,S,S) and its clicks (B,P,3), which may
    reach over the picture's edge.
    """
    size = masks.shape[-1]
    chance = torch.rand(len(masks), 3, generator=generator, device=masks.device)
    line = torch.arange(size, device=masks.device)
    found = masks > 0.5
    ends: list[tuple[Tensor, Tensor]] = []
    for axis, places in ((1, points[..., 0]), (2, points[..., 1])):  # columns, then rows
        seen = found.any(axis)  # (B,S)
        clicked = torch.where(points[..., 2] < 0, places[:, :1], places)  # padding counts as the first
        least = torch.minimum(torch.where(seen, line, size).amin(1), clicked.amin(1))
        ends.append((least, torch.maximum(torch.where(seen, line, -1).amax(1), clicked.amax(1))))
    low, high = (torch.stack(side, 1) for side in zip(*ends, strict=True))
    side = (high - low).amax(1) * (ROOM[0] + (ROOM[1] - ROOM[0]) * chance[:, 0])
    side = side.clamp(min=SMALLEST * size, max=size)
    middle = (low + high) / 2 + side[:, None] * (chance[:, 1:] - 0.5) * SHIFT
    return middle - side[:, None] / 2, side


def moved(points: Tensor, corner: Tensor, side: Tensor, size: int) -> Tensor:
    """Clicks (B,P,3) of the picture as clicks of its piece, drawn `size` pixels large."""
    places = (points[..., :2] + 0.5 - corner[:, None]) * (size / side).view(-1, 1, 1) - 0.5
    return torch.cat([places, points[..., 2:]], -1)


def cut(maps: Tensor, corner: Tensor, side: Tensor, size: int, mode: str, padding: str) -> Tensor:
    """The pieces (B,...,C,C) of maps (B,...,S,S), `size` pixels large."""
    flat = maps.flatten(1, -3) if maps.dim() > 3 else maps[:, None]
    line = (torch.arange(size, device=maps.device) + 0.5) / size
    xs, ys = (corner[:, i, None] + side[:, None] * line for i in (0, 1))
    grid = torch.stack([xs[:, None].expand(-1, size, -1), ys[:, :, None].expand(-1, -1, size)], -1)
    grid = grid * (2 / maps.shape[-1]) - 1
    out = F.grid_sample(flat.float(), grid, mode=mode, padding_mode=padding, align_corners=False)
    return out if maps.dim() > 3 else out[:, 0]


def cut_labels(labels: Tensor, corner: Tensor, side: Tensor, size: int) -> Tensor:
    """The pieces of labels (B,S,S) uint8; beyond the picture they are to be ignored."""
    shifted = cut(labels.float() - IGNORE, corner, side, size, "nearest", "zeros")
    return (shifted + IGNORE).to(torch.uint8)
