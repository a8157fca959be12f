"""Clips with exact masks, made on the training device from photos and annotated video.

A clip has three layers: a scene (a photo that moves as a whole, or a crop of real video) and up to two cut-
outs in front of it (objects of other photos, or random shapes filled with a photo's texture).  Each layer
moves and bends on its own (STM paper, section 3.3, widened).  The target is the scene's object or a cut-out;
other cut-outs are a second object, a look-alike, or an occluder.  Known motion also says which positions of
two frames show the same point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .looks import photometry
from .motion import Dice, bend, look, path, sample, turn
from .stores import IGNORE, Clips, Photos

STRIDE = 16  # correspondence is given at the network's stride
LARGEST_GAP = 12  # source frames between two frames of a video clip, at the end of training


@dataclass
class Batch:
    """frames (B,T,3,S,S) in [0,1]; labels (B,T,S,S) uint8 (0, 1, 2, 255 = ignore).

    points (B,T,h,w,3): picture coordinates of each stride-16 position and its layer number, NaN where not
    known.
    """

    frames: Tensor
    labels: Tensor
    points: Tensor


@dataclass
class Layer:
    pixels: Tensor  # (B,T,3,S,S)
    alpha: Tensor  # (B,T,1,S,S), 1 = this layer covers
    grid: Tensor  # (B,T,S,S,2)


class ClipMaker:
    """Makes batches from stores that live on one device.

    photos: with masks.  textures: pictures for scenes and made-up objects (may be `photos` again).  clips: or
    None.
    """

    def __init__(self, photos: Photos, textures: Photos, clips: Clips | None, generator: torch.Generator):
        self.photos, self.textures, self.clips = photos, textures, clips
        self.dice = Dice(generator)
        self.targets = photos.with_objects()

    @torch.no_grad()
    def batch(self, count: int, frames: int, size: int, *, video: bool, gap: int = LARGEST_GAP) -> Batch:
        """One batch; video: the scene is annotated video, at most `gap` source frames between two frames."""
        dice = self.dice
        if video:
            scene, labels, points = self._video_scene(count, frames, size, gap)
            aims_at_scene = dice.chance(count, p=0.75)
        else:
            scene, labels, points = self._photo_scene(count, frames, size)
            aims_at_scene = dice.chance(count, p=0.45)
        labels = torch.where(aims_at_scene.view(-1, 1, 1, 1), labels, (labels == IGNORE) * IGNORE).to(
            torch.uint8
        )
        nearer_is_target = dice.chance(count, p=0.5)
        twin = dice.chance(count, p=0.35)
        source = self._choose(count)
        for number in (1, 2):
            is_target = ~aims_at_scene & (nearer_is_target == (number == 2))
            shown = is_target | dice.chance(count, p=0.25 if video else 0.5)
            second = shown & ~is_target & dice.chance(count, p=0.5)
            layer = self._cutout(source, frames, size, blob=dice.chance(count, p=0.3), shown=shown)
            scene = torch.lerp(scene, layer.pixels, layer.alpha)
            covers = layer.alpha[:, :, 0] > 0.5
            label = (is_target * 1 + second * 2).to(torch.uint8).view(-1, 1, 1, 1)
            labels = torch.where(covers, label, labels)
            points = _cover(points, covers, layer.grid, number)
            source = torch.where(twin, source, self._choose(count))
        return Batch(photometry(self.dice, scene), labels, points)

    def _choose(self, count: int) -> Tensor:
        return self.targets[self.dice.index(len(self.targets), count)]

    def _photo_scene(self, count: int, frames: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        dice = self.dice
        source = self._choose(count)
        wanted = dice.pick(self.photos.share[source, 1:].clamp(max=0.15)) + 1
        pictures, labels = _take(self.photos.images, source), _take(self.photos.labels, source)
        mine = labels == wanted.view(-1, 1, 1)
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
        ids = torch.where(mine, 1, torch.where(labels == IGNORE, IGNORE, 0)).float()
        warped = sample(ids[:, None], grid, "nearest")[:, :, 0].to(torch.uint8)
        points = _points(grid, 0, grid.abs().amax(-1) <= 1)
        return sample(pictures / 255, grid), warped, points

    def _video_scene(self, count: int, frames: int, size: int, gap: int) -> tuple[Tensor, Tensor, Tensor]:
        dice, clips = self.dice, self.clips
        clip = dice.index(len(clips), count)
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
        height, width = labels.shape[-2:]
        ids = labels[:, :1].flatten(1)
        wanted = (
            ids.gather(1, dice.index(ids.shape[1], count, 400)).amax(1).view(-1, 1, 1, 1)
        )  # an id of the first frame
        mine = labels == torch.where(wanted == IGNORE, 1, wanted.clamp(min=1))
        centre, _ = _middle(mine[:, 0])
        zoom = (
            dice.uniform(count, 1, low=0.5, high=1.0)
            * path(dice, count, frames, dice.uniform(count, 1) * 0, 0.03, 0.01).exp()[..., 0]
        )
        stretch = torch.full_like(zoom, width / height) * dice.uniform(count, 1, low=0.7, high=1.4)
        angle = path(dice, count, frames, dice.normal(count, 1, std=0.15), 0.01, 0.01)[..., 0]
        matrix = turn(angle, zoom * (width / height) ** -0.5 * 1.05, stretch) * _flip(dice, count)
        place = path(dice, count, frames, dice.normal(count, 2, std=0.25), 0.02, 0.02)
        field = bend(dice, count, frames, size, dice.uniform(count, low=0.0, high=0.01))
        grid = look(centre * 0.8, matrix, place, field, size)
        ids = torch.where(mine, 1, torch.where(labels == IGNORE, IGNORE, 0)).float()
        warped = sample(ids[:, :, None], grid, "nearest")[:, :, 0].to(torch.uint8)
        unknown = torch.full_like(_points(grid, 0, None), float("nan"))
        return sample(pictures / 255, grid), warped, unknown

    def _cutout(self, source: Tensor, frames: int, size: int, *, blob: Tensor, shown: Tensor) -> Layer:
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
        return Layer(pixels, ((alpha - 0.3) / 0.4).clamp(0, 1) * shown.view(-1, 1, 1, 1, 1), grid)

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
    """Centre (B,2) and half extent (B,) of masks (B,H,W), in grid units; the picture's middle for an empty
    mask.
    """
    weight = mask.float() + 1e-6
    total = weight.sum((1, 2))
    height, width = mask.shape[1:]
    xs = (torch.arange(width, device=mask.device) + 0.5) * (2 / width) - 1
    ys = (torch.arange(height, device=mask.device) + 0.5) * (2 / height) - 1
    centre = torch.stack([(weight * xs).sum((1, 2)), (weight * ys[:, None]).sum((1, 2))], 1) / total[:, None]
    spread = (total / (height * width)).sqrt()
    return centre, spread.clamp(min=0.03)


def _points(grid: Tensor, number: int, known: Tensor | None) -> Tensor:
    """Picture coordinates and layer number of each stride-16 position (B,T,h,w,3); NaN where not `known`."""
    half = STRIDE // 2
    points = F.pad(grid[:, :, half::STRIDE, half::STRIDE], (0, 1), value=float(number))
    if known is None:
        return points
    return torch.where(known[:, :, half::STRIDE, half::STRIDE, None], points, float("nan"))


def _cover(points: Tensor, covers: Tensor, grid: Tensor, number: int) -> Tensor:
    return torch.where(
        covers[:, :, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE, None], _points(grid, number, None), points
    )
