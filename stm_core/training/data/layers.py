"""Layers of made-up clips: scenes that fill the frame, and cut-outs in front of them.

Each moves and bends on its own (STM paper, section 3.3, widened).  Legend: B clips, T frames, S side of the
output in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.training.data.motion import Dice, bend, look, path, sample, turn
from stm_core.training.data.stores import IGNORE, Clips, Photos

NOBODY = 254  # an id that no picture has
STRIDE = 16  # correspondence is given at the network's stride


@dataclass
class Scene:
    """pixels (B,T,3,S,S) in [0,1]; labels (B,T,S,S) uint8: 1 the object, 2 another one, 255 = ignore.

    points (B,T,h,w,3): picture coordinates of each stride-16 position and its layer number, NaN where not
    known.
    """

    pixels: Tensor
    labels: Tensor
    points: Tensor


@dataclass
class Cutout:
    """pixels (B,T,3,S,S); alpha (B,T,1,S,S), 1 = it covers; points as of a scene, but without a number."""

    pixels: Tensor
    alpha: Tensor
    points: Tensor

    @property
    def covers(self) -> Tensor:
        """(B,T,S,S) bool."""
        return self.alpha[:, :, 0] > 0.5


class Layers:
    """Makes layers from stores that live on one device; the stores are those of `synth.ClipMaker`."""

    def __init__(self, photos: Photos, textures: Photos, clips: Clips | None, dice: Dice):
        self.photos, self.textures, self.clips, self.dice = photos, textures, clips, dice
        self.targets = photos.with_objects()
        if clips is not None:  # a long clip shows more, but not in proportion
            self.weights = clips.length.sqrt()
            self.scenic = self.weights * clips.scenic

    def choose(self, count: int) -> Tensor:
        return self.targets[self.dice.index(len(self.targets), count)]

    def photo_scene(self, count: int, frames: int, size: int) -> Scene:
        """A photo that moves as a whole, and two of its objects, if it has so many."""
        dice = self.dice
        source = self.choose(count)
        wanted, second = self._two(self.photos.share[source, 1:].clamp(max=0.15))
        pictures, labels = _take(self.photos.images, source), _take(self.photos.labels, source)
        mine, other = labels == wanted.view(-1, 1, 1), labels == second.view(-1, 1, 1)
        centre, _ = _middle(mine)
        zoom = (
            dice.uniform(count, 1, low=0.45, high=0.95)
            * path(dice, count, frames, dice.uniform(count, 1) * 0, 0.07, 0.03).exp()[..., 0]
        )
        angle = path(dice, count, frames, dice.normal(count, 1, std=0.1), 0.04, 0.04)[..., 0]
        matrix = turn(angle, zoom, self.photos.aspect[source].clamp(0.5, 2).view(-1, 1)) * _flip(dice, count)
        place = path(dice, count, frames, dice.normal(count, 2, std=0.25), 0.08, 0.05)
        field = bend(dice, count, frames, size, dice.uniform(count, low=0.0, high=0.06))
        grid = look(centre * 0.7, matrix, place, field, size)
        ids = (mine * 1 + other * 2 + (labels == IGNORE) * IGNORE).float()
        warped = sample(ids[:, None], grid, "nearest")[:, :, 0].to(torch.uint8)
        half = STRIDE // 2
        inside = grid[:, :, half::STRIDE, half::STRIDE].abs().amax(-1, keepdim=True) <= 1
        points = torch.where(inside, _points(grid), float("nan"))
        return Scene(sample(pictures / 255, grid), warped, points)

    def video_scene(self, count: int, frames: int, size: int, gap: int) -> Scene:
        """Annotated video that moves a little more than it was filmed, and two of its objects."""
        dice = self.dice
        pictures, ids, aspect = self._pieces(self.scenic, count, frames, gap)
        centre, _ = _middle(ids[:, 0] == 1)
        zoom = (
            dice.uniform(count, 1, low=0.5, high=1.0)
            * path(dice, count, frames, dice.uniform(count, 1) * 0, 0.03, 0.01).exp()[..., 0]
        )
        stretch = aspect * dice.uniform(count, 1, low=0.7, high=1.4)
        angle = path(dice, count, frames, dice.normal(count, 1, std=0.15), 0.01, 0.01)[..., 0]
        inside = torch.minimum(aspect, 1 / aspect).sqrt() * 1.05
        matrix = turn(angle, zoom * inside, stretch) * _flip(dice, count)
        place = path(dice, count, frames, dice.normal(count, 2, std=0.25), 0.02, 0.02)
        field = bend(dice, count, frames, size, dice.uniform(count, low=0.0, high=0.01))
        grid = look(centre * 0.8, matrix, place, field, size)
        warped = sample(ids[:, :, None].float(), grid, "nearest")[:, :, 0].to(torch.uint8)
        return Scene(sample(pictures / 255, grid), warped, _unknown(grid))

    def video_cutout(self, count: int, frames: int, size: int, gap: int, *, shown: Tensor) -> Cutout:
        """An object of annotated video on a path of its own; it turns and bends as it was filmed."""
        dice = self.dice
        pictures, ids, aspect = self._pieces(self.weights, count, frames, gap)
        mine = ids == 1
        centre, spread = _middle(mine[:, 0])
        extent = dice.uniform(count, 1, low=0.2, high=0.5)
        growth = path(dice, count, frames, torch.zeros_like(extent), 0.05, 0.03).exp()[..., 0]
        zoom = (spread.view(-1, 1) / extent * growth).clamp(0.1, 2)
        stretch = aspect * dice.uniform(count, 1, low=0.7, high=1.4)
        angle = path(dice, count, frames, dice.normal(count, 1, std=0.2), 0.04, 0.03)[..., 0]
        matrix = turn(angle, zoom, stretch) * _flip(dice, count)
        place = path(dice, count, frames, dice.uniform(count, 2, low=-0.6, high=0.6), 0.05, 0.05)
        field = bend(dice, count, frames, size, dice.uniform(count, low=0.0, high=0.02))
        grid = look(centre, matrix, place, field, size)
        pixels = sample(pictures / 255, grid).add_(dice.normal(count, 1, 3, 1, 1, std=0.06))
        alpha = F.avg_pool2d(mine.float(), 3, 1, 1)[:, :, None]
        return Cutout(pixels, _covering(sample(alpha, grid, padding="zeros"), shown), _unknown(grid))

    def _pieces(self, weights: Tensor, count: int, frames: int, gap: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (B,T,3,H,W) uint8 of annotated clips drawn by `weights` (C,), at most `gap` frames apart,
        forwards or backwards; two of their objects, as a scene's labels (B,T,H,W); aspect (B,1).
        """
        dice, clips = self.dice, self.clips
        assert clips is not None, "a batch of video needs clips"
        clip = dice.pick(weights.expand(count, -1))
        length = clips.length[clip]
        step = torch.minimum(
            1 + (dice.uniform(count) * gap).long(), ((length - 1) // max(frames - 1, 1)).clamp(min=1)
        )
        start = (dice.uniform(count) * (length - step * (frames - 1)).clamp(min=1)).long()
        order = torch.arange(frames, device=clip.device)
        order = torch.where(dice.chance(count, 1, p=0.5), order, frames - 1 - order)  # time reversal
        index = clips.first[clip, None] + (start[:, None] + step[:, None] * order).clamp(
            max=length[:, None] - 1
        )
        pictures, labels = _take(clips.frames, index), _take(clips.labels, index)
        # objects of the first frame
        wanted, second = (i.view(-1, 1, 1, 1) for i in self._two(clips.share[index[:, 0], 1:].clamp(max=0.1)))
        ids = (labels == wanted) * 1 + (labels == second) * 2 + (labels == IGNORE) * IGNORE
        return pictures, ids, clips.aspect[clip].view(-1, 1).clamp(0.5, 2)

    def _two(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Ids (B,) of two different objects, drawn by their shares (B,N); NOBODY where there is one only."""
        wanted = self.dice.pick(shares + 1e-9)
        rest = shares.scatter(1, wanted[:, None], 0)
        second = self.dice.pick(rest + 1e-9)
        return wanted + 1, torch.where(rest.sum(1) > 0, second + 1, NOBODY)

    def photo_cutout(self, source: Tensor, frames: int, size: int, *, blob: Tensor, shown: Tensor) -> Cutout:
        """An object of photo `source` (or a random shape with a texture's look) on its own path."""
        dice, count = self.dice, len(source)
        wanted = dice.pick(self.photos.share[source, 1:].clamp(max=0.1)) + 1
        alpha = (_take(self.photos.labels, source) == wanted.view(-1, 1, 1)).float()
        pictures, aspect = _take(self.photos.images, source), self.photos.aspect[source]
        texture = dice.index(len(self.textures), count)
        made_up = blob.view(-1, 1, 1)
        alpha = torch.where(made_up, self._blob(count, alpha.shape[-1]), alpha)
        pictures = torch.where(made_up[..., None], _take(self.textures.images, texture), pictures)
        aspect = torch.where(blob, self.textures.aspect[texture], aspect).clamp(0.5, 2)
        centre, spread = _middle(alpha > 0.5)
        extent = dice.uniform(count, 1, low=0.16, high=0.5)
        growth = path(dice, count, frames, torch.zeros_like(extent), 0.11, 0.05).exp()[..., 0]
        zoom = (spread.view(-1, 1) / extent * growth).clamp(0.05, 6)
        angle = path(dice, count, frames, dice.normal(count, 1, std=0.3), 0.1, 0.1)[..., 0]
        matrix = turn(angle, zoom, aspect.view(-1, 1)) * _flip(dice, count)
        place = path(dice, count, frames, dice.uniform(count, 2, low=-0.75, high=0.75), 0.14, 0.08)
        field = bend(dice, count, frames, size, dice.uniform(count, low=0.0, high=0.06))
        grid = look(centre, matrix, place, field, size)
        tone = dice.normal(count, 1, 3, 1, 1, std=0.06)
        pixels = sample(pictures / 255, grid).add_(tone)
        alpha = sample(F.avg_pool2d(alpha[:, None], 3, 1, 1), grid, padding="zeros")
        return Cutout(pixels, _covering(alpha, shown), _points(grid))

    def _blob(self, count: int, size: int) -> Tensor:
        """Random smooth shapes (B,S,S), about a third of the square."""
        bumps = F.interpolate(
            self.dice.normal(count, 1, 6, 6), size=(size, size), mode="bicubic", align_corners=True
        )[:, 0]
        line = torch.linspace(-1, 1, size, device=bumps.device)
        radius = (line.view(1, -1, 1) ** 2 + line.view(1, 1, -1) ** 2).sqrt()
        return (0.55 + 0.25 * bumps - radius > 0).float()


def _take(store: Tensor, index: Tensor) -> Tensor:
    """store[index], whole pictures at a time: ten times faster on a CPU."""
    return store.index_select(0, index.flatten()).unflatten(0, index.shape)


def _flip(dice: Dice, count: int) -> Tensor:
    """Mirrors half of the clips left to right: a factor for matrices (B,T,2,2)."""
    mirror = torch.ones(count, 1, 1, 2, device=dice.device)
    mirror[..., 0] = dice.sign(count, 1, 1)
    return mirror


def _middle(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Centre (B,2) and half extent (B,) of masks (B,H,W), in grid units; of an empty mask the middle."""
    weight = mask.float() + 1e-6
    total = weight.sum((1, 2))
    height, width = mask.shape[1:]
    xs = (torch.arange(width, device=mask.device) + 0.5) * (2 / width) - 1
    ys = (torch.arange(height, device=mask.device) + 0.5) * (2 / height) - 1
    centre = torch.stack([(weight * xs).sum((1, 2)), (weight * ys[:, None]).sum((1, 2))], 1) / total[:, None]
    spread = (total / (height * width)).sqrt()
    return centre, spread.clamp(min=0.03)


def _covering(alpha: Tensor, shown: Tensor) -> Tensor:
    """Alpha (B,T,1,S,S) with a narrower edge, 0 for clips that do not show it (B,)."""
    return ((alpha - 0.3) / 0.4).clamp(0, 1) * shown.view(-1, 1, 1, 1, 1)


def _points(grid: Tensor) -> Tensor:
    """Picture coordinates of each stride-16 position and the scene's number, 0: (B,T,h,w,3)."""
    half = STRIDE // 2
    return F.pad(grid[:, :, half::STRIDE, half::STRIDE], (0, 1))


def _unknown(grid: Tensor) -> Tensor:
    """The same where nothing is known of them."""
    return torch.full_like(_points(grid), float("nan"))
