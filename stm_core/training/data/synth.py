"""Clips with exact masks, made on the training device from photos and annotated video.

A clip has up to three layers: a scene, and up to two cut-outs in front of it.  The scene is a photo that
moves as a whole, or a crop of real video.  A cut-out is an object of another photo or video, or a random
shape filled with a photo's texture.  The target is an object of the scene or a cut-out; what else there is
may be a second and a third object that compete with it, a look-alike, or an occluder.  Because the motion is
known, so are the positions of two frames that show the same point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stm_core.training.data.layers import STRIDE, Layers
from stm_core.training.data.looks import photometry
from stm_core.training.data.motion import Dice
from stm_core.training.data.stores import IGNORE, Clips, Photos

LARGEST_GAP = 12  # source frames between two frames of a video clip, at the end of training
MOST_OBJECTS = 3  # that have a label in a clip


@dataclass
class Batch:
    """frames (B,T,3,S,S) in [0,1]; labels (B,T,S,S) uint8 (0, 1 the target, 2, 3, 255 = ignore).

    points (B,T,h,w,3): picture coordinates of each stride-16 position and its layer number, NaN where not
    known.
    """

    frames: Tensor
    labels: Tensor
    points: Tensor


class ClipMaker:
    """Makes batches from stores that live on one device.

    photos: with masks.  textures: pictures for scenes and made-up objects (may be `photos` again).  clips: or
    None.
    """

    def __init__(self, photos: Photos, textures: Photos, clips: Clips | None, generator: torch.Generator):
        self.dice = Dice(generator)
        self.layers = Layers(photos, textures, clips, self.dice)

    @torch.no_grad()
    def batch(
        self,
        count: int,
        frames: int,
        size: int,
        *,
        video: bool,
        moving: bool = False,
        gap: int = LARGEST_GAP,
    ) -> Batch:
        """One batch.

        video: the scene is annotated video.
        moving: the nearer cut-out is annotated video, and more often the target.
        gap: most source frames between two frames of annotated video.
        """
        dice, layers = self.dice, self.layers
        if video:
            scene = layers.video_scene(count, frames, size, gap)
        else:
            scene = layers.photo_scene(count, frames, size)
        pixels, labels, points = scene.pixels, scene.labels, scene.points
        aims_at_scene = dice.chance(count, p=0.35 if moving else 0.75 if video else 0.45)
        competes = dice.chance(count, p=0.5)  # the scene's object, where the target is a cut-out
        demoted = torch.where((labels == 1) & competes.view(-1, 1, 1, 1), 2, (labels == IGNORE) * IGNORE)
        labels = torch.where(aims_at_scene.view(-1, 1, 1, 1), labels, demoted).to(torch.uint8)
        last = torch.where((labels == 2).flatten(1).any(1), 2, 1)  # label of an object, so far
        nearer_is_target = dice.chance(count, p=0.75 if moving else 0.5)
        twin = dice.chance(count, p=0.35)
        source = layers.choose(count)
        for number in (1, 2):
            is_target = ~aims_at_scene & (nearer_is_target == (number == 2))
            shown = is_target | dice.chance(count, p=0.25 if video else 0.5)
            other = shown & ~is_target & (last < MOST_OBJECTS) & dice.chance(count, p=0.5)
            last = last + other
            if moving and number == 2:
                layer = layers.video_cutout(count, frames, size, gap, shown=shown)
            else:
                blob = dice.chance(count, p=0.3)
                layer = layers.photo_cutout(source, frames, size, blob=blob, shown=shown)
            pixels = torch.lerp(pixels, layer.pixels, layer.alpha)
            label = (is_target * 1 + other * last).to(torch.uint8).view(-1, 1, 1, 1)
            labels = torch.where(layer.covers, label, labels)
            half = STRIDE // 2
            covers = layer.covers[:, :, half::STRIDE, half::STRIDE, None]
            points = torch.where(covers, _numbered(layer.points, number), points)
            source = torch.where(twin, source, layers.choose(count))
        return Batch(photometry(dice, pixels), labels, points)


def _numbered(points: Tensor, number: int) -> Tensor:
    """The points (B,T,h,w,3) with the number of their layer."""
    return torch.cat([points[..., :2], torch.full_like(points[..., 2:], float(number))], -1)
