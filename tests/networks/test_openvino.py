"""The compact network in OpenVINO: the same numbers, or nearly so in int8, at every size, from any thread."""

import copy
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stm_core.networks.engines import X86
from stm_core.networks.ranges import Meter
from stm_core.networks.weights import TINY, CompactSTM

if platform.machine() not in X86:
    pytest.skip("OpenVINO is for x86-64 here", allow_module_level=True)
from stm_core.networks.openvino_network import PRECISE, to_openvino

ROOT = Path(__file__).parents[2]
INT8_ERROR = 0.1  # length of the difference, as a share of the length; of random weights


def answers(network: CompactSTM, height: int = 64, width: int = 96) -> dict[str, torch.Tensor]:
    """Everything that a network gives for a frame with two objects, one of them clicked."""
    made = torch.Generator().manual_seed(height)
    frame = torch.rand(1, 3, height, width, generator=made)
    masks = (torch.rand(2, height, width, generator=made) > 0.5).float()
    clicks = (torch.rand(2, 2, height, width, generator=made) > 0.9).float()
    query = network.encode_query(frame)
    named = {f"value {n}": part for n, part in enumerate(query.for_value)}
    named |= {f"decoder {n}": part for n, part in enumerate(query.for_decoder)}
    named["masks"] = network.encode_memory(frame, masks, query)[1]
    named["clicks"] = network.encode_memory(frame, masks, query, clicks)[1]
    read = torch.randn(2, TINY.value, height // 16, width // 16, generator=made)
    return {"key": query.key, **named, "logits": network.decode(read.to(query.key.dtype), query)}


@pytest.fixture(scope="module")
def networks():
    """A tiny network in PyTorch, the same in OpenVINO, in float32 and in int8, and the ranges of the last."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = CompactSTM(TINY).for_inference()
        for weight in plain.parameters():
            weight.copy_(0.2 * torch.randn_like(weight))
    meter = Meter()
    with meter.on(plain):
        answers(plain)
    same, int8 = copy.deepcopy(plain), copy.deepcopy(plain)
    to_openvino(same, {}, torch.float32, 1)
    to_openvino(int8, meter.ranges(), torch.float32, 1)
    return plain, same, int8, meter.ranges()


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (48, 160)])
def test_a_graph_in_float32_gives_the_numbers_of_pytorch(networks, size):
    expected, found = answers(networks[0], *size), answers(networks[1], *size)
    for name, one in expected.items():
        torch.testing.assert_close(found[name], one, atol=1e-3, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
    assert found["key"].is_contiguous(memory_format=torch.channels_last)


def test_int8_stays_within_its_bound_and_is_not_float32(networks):
    expected, found = answers(networks[0]), answers(networks[2])
    errors = {name: float((found[name] - one).norm() / one.norm()) for name, one in expected.items()}
    assert all(1e-5 < error < INT8_ERROR for error in errors.values()), errors


def test_every_convolution_with_a_range_is_computed_in_int8(networks):
    int8, ranges = networks[2], networks[3]
    parts = int8.features.__self__, int8.value, int8.decoder
    nodes = [node.get_rt_info() for p in parts for node in p._compiled.get_runtime_model().get_ops()]
    convolutions = [node for node in nodes if "Convolution" in node["layerType"].value]
    whole = [node for node in convolutions if node["runtimePrecision"].value in ("u8", "i8")]
    ways = {name: 2 if name.startswith("share.") else 1 for name in set(ranges) - set(PRECISE)}  # in parts
    assert len(whole) == sum(ways.values())


def test_maps_are_bf16_where_the_network_is(networks):
    bf16 = copy.deepcopy(networks[0])
    to_openvino(bf16, networks[3], torch.bfloat16, 1)
    bf16.key.to(torch.bfloat16)
    expected, found = answers(networks[0]), answers(bf16)
    assert {name for name, one in found.items() if one.dtype != torch.bfloat16} == {"logits"}
    assert torch.cosine_similarity(found["masks"].float().flatten(), expected["masks"].flatten(), 0) > 0.98


def test_threads_that_share_a_network_get_the_answers_of_one(networks):
    sizes = [(32, 32), (64, 96), (48, 160), (64, 64)]
    alone = [answers(networks[2], *size) for size in sizes]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda size: answers(networks[2], *size), sizes))
    for one, other in zip(alone, together, strict=True):
        assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


WATCHED = """
import os, sys
seen = []
def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.posix_spawn", "os.fork", "os.exec", "urllib.")):
        seen.append((event, str(arguments)))
import torch, torch.fx, numpy
sys.addaudithook(watch)
from stm_core.networks.engines import OPENVINO
from stm_core.networks.weights import load_model
model = load_model("compact", device="cpu", engine="openvino")
assert model.engine.name == OPENVINO
model.network.encode_query(torch.rand(1, 3, 32, 32))
sent = [name for name, module in sys.modules.items() if "openvino_telemetry" in name and module is not None]
print(seen + sent)
"""


def test_openvino_reaches_nothing_and_writes_nothing_at_home(tmp_path):
    """A plain import writes an identity there, under which it reports to its makers."""
    run = [sys.executable, "-c", WATCHED]
    kept = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    found = subprocess.run(run, env=kept, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr
    assert [path for path in tmp_path.rglob("*") if "intel" in str(path).lower()] == []
