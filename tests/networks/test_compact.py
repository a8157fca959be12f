"""Laws of the compact network: its size, what objects share, how clicks enter, and folding."""

import copy

import pytest
import torch

from stm_core.networks.compact import OBJECTS_AT_ONCE, CompactSTM
from stm_core.networks.weights import TINY


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = CompactSTM(TINY)
    for module in network.modules():  # norms that do something
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture
def frame():
    return torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))


def masks(count):
    return torch.rand(count, 48, 64, generator=torch.Generator().manual_seed(2)) / count


def test_shapes_are_those_of_the_legend(network, frame):
    query = network.encode_query(frame)
    key, value = network.encode_memory(frame, masks(3), query)
    assert key.shape == query.key.shape == (1, TINY.key, 3, 4) and value.shape == (3, TINY.value, 3, 4)
    assert network.decode(value, query).shape == (3, 48, 64)


def test_keys_have_one_length_so_that_affinity_is_bounded(network, frame):
    lengths = network.encode_query(frame).key.square().sum(1)
    assert torch.allclose(lengths, network.log_sharpness.exp().expand_as(lengths), rtol=1e-4)


def test_the_order_of_objects_does_not_matter(network, frame):
    query, some = network.encode_query(frame), masks(3)
    _, value = network.encode_memory(frame, some, query)
    _, turned = network.encode_memory(frame, some.flip(0), query)
    assert torch.allclose(value, turned.flip(0), atol=1e-5)


def test_many_objects_in_parts_equal_all_at_once(network, frame):
    count = OBJECTS_AT_ONCE + 3
    query, some = network.encode_query(frame), masks(count)
    _, value = network.encode_memory(frame, some, query)
    both = network.encode_query(frame.repeat(2, 1, 1, 1))
    _, joined = network.encode_memory(frame.repeat(2, 1, 1, 1), some.repeat(2, 1, 1), both)
    assert torch.allclose(value, joined[:count], atol=1e-5)


def test_a_click_changes_the_value_and_its_sign_matters(network, frame):
    query, mask, clicks = network.encode_query(frame), masks(1), torch.zeros(1, 2, 48, 64)
    _, plain = network.encode_memory(frame, mask, query)
    _, none = network.encode_memory(frame, mask, query, clicks)
    clicks[:, 0, 10:20, 10:20] = 1
    _, positive = network.encode_memory(frame, mask, query, clicks)
    _, negative = network.encode_memory(frame, mask, query, clicks.flip(1))
    assert torch.equal(plain, none)
    assert not torch.allclose(plain, positive) and not torch.allclose(positive, negative)


def test_folding_changes_nothing_but_speed(network, frame):
    folded = copy.deepcopy(network).for_inference()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    with torch.inference_mode():
        one, two = (
            net.decode(
                net.encode_memory(frame, masks(2), net.encode_query(frame))[1], net.encode_query(frame)
            )
            for net in (network, folded)
        )
    assert torch.allclose(one, two, atol=1e-3)
