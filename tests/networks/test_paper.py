import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stm_core import MemoryConfig, Prompt, load_model, propagate
from stm_core.networks.paper import PaperSTM

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))
import fill  # noqa: E402


def case(name):
    return np.load(GOLDEN / f"{name}.npz")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The published file's layout with reproducible numbers."""
    path = tmp_path_factory.mktemp("paper") / "STM_weights.pth"
    torch.save(fill.published(int(case("one_object")["fill_seed"])), path)
    return path


@pytest.fixture(scope="module")
def paper(checkpoint):
    return load_model(f"paper:{checkpoint}", device="cpu", dtype="fp32")


def test_names_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        state = PaperSTM().state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == {
        name: spec["shape"] for name, spec in fill.layout().items()
    }


@pytest.mark.parametrize("name", ["one_object", "two_objects"])
def test_probabilities_are_those_of_the_reference(paper, name):
    golden = case(name)
    memory = MemoryConfig(preset="every-5", every=int(golden["every"]))
    results = list(propagate(paper, golden["frames"], Prompt.from_mask(golden["first"]), memory=memory))
    assert len(results) == len(golden["frames"])
    for result, expected in zip(results, golden["probs"], strict=True):
        np.testing.assert_allclose(result.probs, expected, atol=1e-3, rtol=0)


def test_bf16_stays_near(checkpoint):
    golden = case("one_object")
    model = load_model(checkpoint, device="cpu", dtype="bf16")
    results = propagate(model, golden["frames"][:2], Prompt.from_mask(golden["first"]))
    for result, expected in zip(results, golden["probs"], strict=False):
        assert np.abs(result.probs - expected).mean() < 0.02


def test_folding_and_packing_change_nothing_and_objects_do_not_mix(checkpoint, paper):
    """Against the network as it was loaded; more objects than go through at once."""
    plain = PaperSTM().eval()
    plain.load_state_dict({name.removeprefix("module."): t for name, t in torch.load(checkpoint).items()})
    random = torch.Generator().manual_seed(0)
    frame = torch.rand(1, 3, 32, 48, generator=random)
    masks = torch.rand(5, 32, 48, generator=random) / 5
    with torch.inference_mode():
        query, expected = paper.network.encode_query(frame), plain.encode_query(frame)
        torch.testing.assert_close(query.key, expected.key, atol=1e-3, rtol=1e-3)
        key, value = paper.network.encode_memory(frame, masks, query)
        for got, wanted in zip((key, value), plain.encode_memory(frame, masks, expected), strict=True):
            torch.testing.assert_close(got, wanted, atol=2e-3, rtol=1e-3)
        logits = paper.network.decode(value, query)
        torch.testing.assert_close(logits, plain.decode(value, expected), atol=2e-3, rtol=1e-3)
        order = [3, 1, 4, 0, 2]
        torch.testing.assert_close(
            paper.network.decode(value[order], query), logits[order], atol=1e-4, rtol=1e-4
        )
        swapped = paper.network.encode_memory(frame, masks[order], query)[1]
        torch.testing.assert_close(swapped, value[order], atol=1e-3, rtol=1e-3)
