"""How a made-up clip looks: its colours, light, blur, noise and compression, alike for all of its layers.

Legend: B clips, T frames; frames are (B,T,3,H,W) in [0,1].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.training.data.motion import Dice

BLOCK = 8  # pixels, of compression


def photometry(dice: Dice, frames: Tensor) -> Tensor:
    """The clips with other lighting and colour that drift, blur of some frames, noise and compression."""
    count, length = frames.shape[:2]
    frames = turn_hues(dice, frames)
    contrast = dice.normal(count, 1, 1, 1, 1, std=0.2).exp()
    frames = frames.mean((1, 2, 3, 4), keepdim=True).lerp(frames, contrast)
    gain = dice.normal(count, 1, 3, 1, 1, std=0.10) + dice.normal(count, length, 1, 1, 1, std=0.04) + 1
    shift = dice.normal(count, 1, 3, 1, 1, std=0.05) + dice.normal(count, length, 1, 1, 1, std=0.02)
    colour = dice.uniform(count, 1, 1, 1, 1, low=0.3, high=1.3)
    colour = torch.where(dice.chance(count, 1, 1, 1, 1, p=0.06), 0.0, colour)
    grey = frames.mean(2, keepdim=True)
    frames = frames * (colour * gain) + (0.45 + shift - 0.45 * gain)
    frames = blur(dice, frames.addcmul_(grey, (1 - colour) * gain))
    strength = dice.uniform(count, 1, 1, 1, 1, high=0.03)
    frames = frames.addcmul_(dice.noise(*frames.shape), strength).clamp_(0, 1)
    return compress(dice, frames)


def turn_hues(dice: Dice, frames: Tensor) -> Tensor:
    """The clips, half of them with their colours turned about the grey axis."""
    chosen = dice.chance(len(frames), p=0.5).nonzero()[:, 0]
    if not len(chosen):
        return frames
    angle = dice.normal(len(chosen), 1, 1, std=0.8)
    same, third = torch.eye(3, device=frames.device), torch.full((3, 3), 1 / 3, device=frames.device)
    across = (same.roll(1, 0) - same.roll(1, 1)) / 3**0.5
    rotation = third + angle.cos() * (same - third) + angle.sin() * across  # Rodrigues' formula
    turned = torch.einsum("bij,btjyx->btiyx", rotation, frames[chosen])
    return frames.index_copy(0, chosen, turned)


def compress(dice: Dice, frames: Tensor) -> Tensor:
    """The clips, a fifth of them as after coarse JPEG: cosine transforms of 8x8 blocks, rounded."""
    chosen = dice.chance(len(frames), p=0.2).nonzero()[:, 0]
    if not len(chosen):
        return frames
    waves = _cosines(frames.device)
    planes = frames[chosen].flatten(0, 2)[:, None]
    step = dice.uniform(len(chosen), low=0.03, high=0.16).repeat_interleave(len(planes) // len(chosen))
    step = step.view(-1, 1, 1, 1) * _coarseness(frames.device)
    rounded = (F.conv2d(planes, waves, stride=BLOCK) / step).round() * step
    planes = F.conv_transpose2d(rounded, waves, stride=BLOCK).clamp_(0, 1)
    return frames.index_copy(0, chosen, planes.view(-1, *frames.shape[1:]))


def blur(dice: Dice, frames: Tensor) -> Tensor:
    """The frames, a sixth of them with motion blur along a random line."""
    count, length, channels, height, width = frames.shape
    rows = count * length
    direction = dice.uniform(rows, 1, 1, high=3.1416)
    line = torch.arange(-3, 4, device=frames.device).float()
    y, x = torch.meshgrid(line, line, indexing="ij")
    across = (x * direction.sin() - y * direction.cos()).abs()
    kernel = (1 - across).clamp(min=0) * (x.square() + y.square() <= dice.uniform(rows, 1, 1, low=1, high=10))
    still = torch.zeros(7, 7, device=frames.device)
    still[3, 3] = 1
    blurred = dice.chance(rows, 1, 1, p=0.16)
    kernel = torch.where(blurred, kernel / kernel.sum((1, 2), keepdim=True), still)
    flat = frames.reshape(rows, channels, height, width)
    chosen = blurred.flatten().nonzero()[:, 0]
    if len(chosen):
        some = flat[chosen].flatten(0, 1)[None]
        kernels = kernel[chosen].repeat_interleave(channels, 0)[:, None]
        smooth = F.conv2d(F.pad(some, (3, 3, 3, 3), "reflect"), kernels, groups=some.shape[1])
        flat = flat.index_copy_(0, chosen, smooth[0].unflatten(0, (-1, channels)))
    return flat.view_as(frames)


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal cosine transform of a block as convolution weights (64,1,8,8)."""
    line = torch.arange(BLOCK, device=device).float()
    basis = (torch.pi / BLOCK * (line + 0.5) * line[:, None]).cos() * (2 / BLOCK) ** 0.5
    basis[0] /= 2**0.5
    return torch.einsum("ux,vy->uvxy", basis, basis).reshape(-1, 1, BLOCK, BLOCK)


def _coarseness(device: torch.device) -> Tensor:
    """How much coarser than the mean of a block each of its waves is rounded, (1,64,1,1)."""
    line = torch.arange(BLOCK, device=device).float()
    return (1 + (line + line[:, None]) / 2).view(1, -1, 1, 1)
