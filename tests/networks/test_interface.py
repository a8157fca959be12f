import pytest
import torch
from torch import nn

from stm_core.engine.geometry import pad, padding, unpad
from stm_core.networks.interface import aggregate, fold_batch_norms, log_odds
from stm_core.networks.weights import random_model


def by_the_paper(logits):
    """Equation 4 and the published code, word for word: product of backgrounds, then softmax of log odds."""
    probs = torch.sigmoid(logits.double())
    every = torch.cat([torch.prod(1 - probs, dim=0, keepdim=True), probs]).clamp(1e-7, 1 - 1e-7)
    return torch.softmax(torch.log(every / (1 - every)), dim=0).float()


@pytest.mark.parametrize("objects", [1, 2, 5])
def test_aggregation_is_the_paper_s(objects):
    logits = 4 * torch.randn(objects, 6, 7, generator=torch.Generator().manual_seed(objects))
    torch.testing.assert_close(aggregate(logits), by_the_paper(logits), atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("objects", [0, 1, 3, 254])
@pytest.mark.parametrize("scale", [0.1, 10, 1000])
def test_probabilities_sum_to_one(objects, scale):
    probs = aggregate(scale * torch.randn(objects, 4, 5))
    assert probs.shape == (objects + 1, 4, 5) and probs.dtype == torch.float32
    torch.testing.assert_close(probs.sum(0), torch.ones(4, 5))
    assert probs.min() >= 0


def test_order_of_objects_does_not_matter():
    logits, order = torch.randn(4, 3, 3), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(aggregate(logits[order])[1:], aggregate(logits)[1:][order])


def test_an_object_that_is_nowhere_changes_nothing():
    logits = torch.randn(2, 3, 3)
    more = torch.cat([logits, torch.full((1, 3, 3), -100.0)])
    torch.testing.assert_close(aggregate(more)[:3], aggregate(logits), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("objects", [0, 2, 9])
def test_aggregation_gives_the_same_with_a_gradient_and_without(objects):
    logits = 12 * torch.randn(2, objects, 9, 7, generator=torch.Generator().manual_seed(objects))
    expected = aggregate(logits.clone().requires_grad_()).detach()
    torch.testing.assert_close(aggregate(logits), expected, atol=1e-6, rtol=1e-5)


def test_aggregation_takes_a_batch_and_has_gradients_at_the_limits():
    logits = torch.tensor([-30.0, -1.0, 0.0, 1.0, 30.0]).repeat(2, 3, 1).unsqueeze(2).requires_grad_()
    assert aggregate(logits).shape == (2, 4, 1, 5)
    log_odds(logits).log_softmax(-3).sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 31), (70, 102), (480, 854)])
def test_pad_then_unpad_is_identity(size):
    maps = torch.randn(2, *size)
    padded = pad(maps)
    assert padded.shape[-2] % 16 == padded.shape[-1] % 16 == 0
    assert padded.sum() == pytest.approx(maps.sum().item(), abs=1e-2)  # zeros around
    torch.testing.assert_close(unpad(padded, *size), maps, atol=0, rtol=0)


def test_the_odd_pixel_of_padding_is_at_the_end():
    assert padding(13, 16) == (0, 0, 1, 2)


def test_folded_batch_norm_gives_the_same_numbers():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    norm = net[1]
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    net.eval()
    x = torch.randn(2, 3, 8, 8)
    expected = net(x)
    fold_batch_norms(net)
    assert isinstance(net[1], nn.Identity)
    torch.testing.assert_close(net(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["compact-tiny", "paper"])
@torch.inference_mode()
def test_masks_of_others_may_be_given_apart(name):
    network, made = random_model(name).network, torch.Generator().manual_seed(0)
    frame = torch.rand(1, 3, 32, 48, generator=made)
    masks = torch.randint(0, 4, (32, 48), generator=made) == torch.arange(3).view(3, 1, 1)
    masks, query = masks.float(), network.encode_query(frame)
    key, value = network.encode_memory(frame, masks, query)
    for n in range(3):
        own = [n] if len(key) > 1 else [0]
        alone = network.encode_memory(frame, masks[n : n + 1], query, others=masks.sum(0) - masks[n : n + 1])
        torch.testing.assert_close(alone[0], key[own], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(alone[1], value[n : n + 1], atol=1e-4, rtol=1e-4)
