"""Laws of the frozen trunk: where its features lie, how it is imported, that a network starts without it."""

import copy

import pytest
import torch
import torch.nn.functional as F

from assets import import_lite
from stm_core.networks.compact import CompactSTM
from stm_core.networks.efficientnet import CHANNELS, DEVIATION, MEAN, STAGES, LiteTrunk, quickened
from stm_core.networks.packed import can_pack, pack
from stm_core.networks.weights import TINY


@pytest.fixture
def trunk():
    torch.manual_seed(0)
    trunk = LiteTrunk((8, 8, 8, 12, 8, 16)).eval()
    for weight in trunk.parameters():
        weight.data.mul_(2)
    return trunk.to(memory_format=torch.channels_last)


@pytest.fixture
def frame():
    frame = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    return frame.contiguous(memory_format=torch.channels_last)


def test_features_move_with_the_picture(trunk):
    """A picture moved by whole cells gives features moved by as many, away from the edges."""
    wide = torch.randn(1, 3, 64, 640, generator=torch.Generator().manual_seed(1))
    (*_, f16), (*_, moved) = trunk(wide), trunk(wide[..., 32:])
    assert torch.allclose(f16[..., 14:26], moved[..., 12:24], atol=1e-5)


def test_packed_it_gives_the_same(trunk, frame):
    if not can_pack(torch.float32):
        pytest.skip("no packed convolutions here")
    packed = copy.deepcopy(trunk)
    pack(packed)
    with torch.inference_mode():
        for one, two in zip(trunk(frame), packed(frame), strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_quickened_it_gives_the_same_and_keeps_its_tensors(trunk, frame):
    if not can_pack(torch.bfloat16):
        pytest.skip("no packed convolutions of bf16 here")
    before, names = trunk(frame), list(trunk.state_dict())
    with quickened(trunk):
        inside = trunk(frame)
        assert list(trunk.state_dict()) == names and trunk.stem.weight.dtype == torch.float32
    for one, two in zip(before, inside, strict=True):
        assert two.dtype == torch.bfloat16
        torch.testing.assert_close(one, two.float(), atol=0.05 * float(one.abs().max()), rtol=0.05)
    assert all(torch.equal(one, two) for one, two in zip(before, trunk(frame), strict=True))


def test_it_has_the_size_of_efficientnet_lite0_up_to_stride_16():
    assert sum(weight.numel() for weight in LiteTrunk(CHANNELS).parameters()) == 692_688


def test_a_fresh_network_starts_without_it_and_can_learn_to_use_it(frame):
    torch.manual_seed(0)
    network = CompactSTM(TINY).eval()
    before = network.encode_query(frame.sigmoid()).key
    for weight in network.lite.parameters():
        weight.data.normal_()
    assert torch.equal(network.encode_query(frame.sigmoid()).key, before)
    network.encode_query(frame.sigmoid()).key[:, :2].sum().backward()
    joins = network.trunk.join4, network.trunk.join8, network.trunk.join16
    assert all(join.weight.grad.abs().sum() > 0 for join in joins)
    assert all(weight.grad is None for weight in network.lite.parameters())


def test_a_checkpoint_with_norms_is_folded_and_scaled_without_changing_what_follows(trunk, frame):
    """The published names, random numbers, the network's own input: features are an eighth of those that the
    published trunk, norms in place, has of the same frame scaled as it was trained.
    """
    state, trunk, frame = _published((8, 8, 8, 12, 8, 16)), trunk.double(), frame.double().sigmoid()
    folded = import_lite.folded(state)
    trunk.load_state_dict({name.removeprefix("lite."): one for name, one in folded.items()})
    mean, deviation = (frame.new_tensor(rgb).view(1, 3, 1, 1) for rgb in (MEAN, DEVIATION))
    padded = F.pad(frame - mean, (1, 1, 1, 1)) + mean  # with what a 0 is to the network
    ours = trunk((frame - mean) / deviation)
    for got, want in zip(ours, _with_norms(state, 2 * padded - 1), strict=True):
        torch.testing.assert_close(got, want / import_lite.SPREAD)


def _published(channels):
    """A state dict as EfficientNet-PyTorch names it."""
    rolls, state = torch.Generator().manual_seed(2), {}

    def put(conv, norm, *shape):
        state[f"{conv}.weight"] = torch.randn(shape, generator=rolls).double()
        for kind, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            state[f"{norm}.{kind}"] = torch.rand(shape[0], generator=rolls).double() + low

    put("_conv_stem", "_bn0", channels[0], 3, 3, 3)
    number = 0
    for before, width, (blocks, size, _, widening) in zip(channels, channels[1:], STAGES, strict=False):
        for block in range(blocks):
            name, inputs = f"_blocks.{number}", before if block == 0 else width
            if widening > 1:
                put(f"{name}._expand_conv", f"{name}._bn0", inputs * widening, inputs, 1, 1)
            put(f"{name}._depthwise_conv", f"{name}._bn1", inputs * widening, 1, size, size)
            put(f"{name}._project_conv", f"{name}._bn2", width, inputs * widening, 1, 1)
            number += 1
    return state


def _with_norms(state, x):
    """Features at strides 4, 8 and 16, norm by norm, of a frame that is padded by 1 already."""

    def conv(name, norm, y, stride=1, padded=False):
        weight = state[f"{name}.weight"]
        groups = len(weight) if weight.shape[1] == 1 else 1
        y = F.conv2d(y, weight, None, stride, 0 if padded else weight.shape[-1] // 2, groups=groups)
        numbers = (state[f"{norm}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(y, *numbers, eps=import_lite.EPSILON)

    x, number, kept = F.relu6(conv("_conv_stem", "_bn0", x, 2, padded=True)), 0, []
    for blocks, _, stride, widening in STAGES:
        for block in range(blocks):
            name, y = f"_blocks.{number}", x
            if widening > 1:
                y = F.relu6(conv(f"{name}._expand_conv", f"{name}._bn0", y))
            y = F.relu6(conv(f"{name}._depthwise_conv", f"{name}._bn1", y, stride if block == 0 else 1))
            y = conv(f"{name}._project_conv", f"{name}._bn2", y)
            x = x + y if x.shape == y.shape else y
            number += 1
        kept.append(x)
    return kept[1], kept[2], kept[4]
