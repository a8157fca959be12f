"""Laws of packed convolutions: the numbers of the plain ones, whoever calls first."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from stm_core.networks.packed import PackedConv, can_pack

THREADS, MODULES = 4, 20


@pytest.fixture
def impatient():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_many_threads_may_make_the_first_call(dtype, impatient, monkeypatch):
    if not can_pack(dtype):
        pytest.skip(f"no packed convolutions of {dtype} here")
    conv = nn.Conv2d(64, 64, 3, padding=1).to(dtype).requires_grad_(False)
    x = torch.randn(1, 64, 4, 4).to(dtype).contiguous(memory_format=torch.channels_last)
    expected = conv(x)
    reorder, calls = torch._C._nn.mkldnn_reorder_conv2d_weight, []

    def counted(*args):
        calls.append(args)
        return reorder(*args)

    monkeypatch.setattr(torch._C._nn, "mkldnn_reorder_conv2d_weight", counted)
    modules, start = [PackedConv(conv) for _ in range(MODULES)], threading.Barrier(THREADS)

    def work():
        results = []
        for packed in modules:
            start.wait(60)
            results.append(packed(x))
        return results

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(work) for _ in range(THREADS)]:
            for result in future.result():
                torch.testing.assert_close(result, expected, atol=0.05, rtol=0.05)
    assert len(calls) == MODULES  # weights are packed once


def test_weights_are_packed_for_each_size_of_input_and_kept_for_the_last_ones(monkeypatch):
    if not can_pack(torch.float32):
        pytest.skip("no packed convolutions here")
    conv = nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)
    packed, reorder, calls = PackedConv(conv, kept=2), torch._C._nn.mkldnn_reorder_conv2d_weight, []
    monkeypatch.setattr(
        torch._C._nn, "mkldnn_reorder_conv2d_weight", lambda *args: calls.append(args) or reorder(*args)
    )
    for side, count in ((4, 1), (4, 1), (6, 2), (4, 2), (8, 3), (6, 3), (4, 4)):
        x = torch.randn(1, 3, side, side).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(packed(x), conv(x), atol=1e-4, rtol=1e-4)
        assert len(calls) == count
