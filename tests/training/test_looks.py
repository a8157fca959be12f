"""What light, colour and compression may do to a made-up clip, and what they may not."""

import torch
import torch.nn.functional as F
from conftest import generator

from stm_core.training.data.looks import _cosines, compress, photometry, turn_hues
from stm_core.training.data.motion import Dice


def test_turned_hues_keep_lightness_and_leave_grey_alone():
    frames = torch.rand(16, 2, 3, 8, 8, generator=generator(5))
    frames[:, :, :, :4] = frames[:, :, :1, :4]  # grey half
    turned = turn_hues(Dice(generator()), frames)
    assert torch.allclose(turned.mean(2), frames.mean(2), atol=1e-5)
    assert torch.allclose(turned[..., :4, :], frames[..., :4, :], atol=1e-5)
    changed = (turned - frames).abs().flatten(1).amax(1) > 1e-3
    assert 2 < changed.sum() < 14  # about half of the clips, each as a whole
    assert torch.allclose(turned.norm(dim=2), frames.norm(dim=2), atol=1e-4)


def test_compression_rounds_blocks_as_a_coarse_jpeg_does():
    frames = 0.3 + 0.4 * torch.rand(32, 2, 3, 16, 16, generator=generator(6))  # nothing to clamp
    frames[:, :, :, :8, :8] = 0.5
    shown = compress(Dice(generator()), frames)
    changed = (shown - frames).abs().flatten(1).amax(1) > 1e-3
    assert 1 <= changed.sum() < 20 and shown.min() >= 0 and shown.max() <= 1
    blocks = F.avg_pool2d((shown - frames).flatten(0, 1), 8)
    assert blocks.abs().max() <= 0.16 / 8 / 2 + 1e-4  # means are rounded to 0.16 / 8 at most
    assert (shown[:, :, :, :8, :8].std((-1, -2)) < 1e-4).all()  # what is flat stays flat


def test_the_block_transform_loses_nothing_before_rounding():
    waves = _cosines(torch.device("cpu"))
    picture = torch.rand(1, 1, 16, 24, generator=generator(7))
    back = F.conv_transpose2d(F.conv2d(picture, waves, stride=8), waves, stride=8)
    assert torch.allclose(back, picture, atol=1e-5)


def test_light_and_colour_differ_between_clips_and_hardly_within_one():
    frames = torch.rand(12, 1, 3, 16, 16, generator=generator(8)).repeat(1, 3, 1, 1, 1)
    shown = photometry(Dice(generator(9)), frames)
    contrast = shown.std((1, 2, 3, 4)) / frames.std((1, 2, 3, 4))
    assert shown.min() >= 0 and shown.max() <= 1 and contrast.max() > 1.3 * contrast.min()
    apart = (shown.mean((3, 4)) - shown.mean((1, 3, 4))[:, None]).abs().mean()
    assert apart < 0.8 * (shown.mean((1, 3, 4)) - shown.mean((0, 1, 3, 4))).abs().mean()
