"""Which engine is chosen: OpenVINO where it can be had, and never another than was asked for."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stm_core.errors import OptionError
from stm_core.networks.engines import OPENVINO, X86, choose_engine
from stm_core.networks.interface import Network
from stm_core.networks.ranges import ranges_path, read_ranges, write_ranges
from stm_core.networks.weight_files import bundled_file
from stm_core.networks.weights import TINY, CompactSTM

CPU, GPU = torch.device("cpu"), torch.device("cuda")
RUNTIME = "stm_core.networks.openvino_runtime"


@pytest.fixture
def weights(tmp_path):
    """A weights file with ranges."""
    write_ranges(tmp_path / "mine.int8.json", "abc", {"key": (0.0, 1.0)})
    return tmp_path / "mine.safetensors", "abc"


@pytest.fixture
def network():
    return CompactSTM(TINY)


@pytest.mark.skipif(platform.machine() not in X86, reason="OpenVINO is for x86-64 here")
def test_auto_is_openvino_where_weights_have_ranges(network, weights):
    engine, ranges = choose_engine("auto", network, weights, CPU, "auto")
    assert (engine.name, ranges) == (OPENVINO, {"key": (0.0, 1.0)})
    assert choose_engine("openvino", network, weights, CPU, "fp32")[0].name == OPENVINO


def test_torch_is_torch(network, weights):
    engine, ranges = choose_engine("torch", network, weights, CPU, "auto")
    assert (engine.name, ranges) == ("torch", {})


def lacks_ranges(monkeypatch):
    return {"weights": (Path("mine.safetensors"), "abc")}


def is_missing(monkeypatch):
    monkeypatch.delitem(sys.modules, RUNTIME, raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    return {}


def is_an_arm(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    return {}


def is_old(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    return {}


@pytest.mark.parametrize(
    "without",
    [
        lacks_ranges,
        is_missing,
        is_an_arm,
        is_old,
        lambda _: {"device": GPU},
        lambda _: {"network": Network()},
        lambda _: {"dtype": "fp16"},
    ],
)
def test_where_openvino_cannot_be_had_auto_is_torch_and_its_name_a_mistake(
    network, weights, monkeypatch, without
):
    given = {"network": network, "weights": weights, "device": CPU, "dtype": "auto"} | without(monkeypatch)
    engine, ranges = choose_engine("auto", **given)
    assert (engine.name, ranges) == ("torch", {})
    assert engine.why
    with pytest.raises(OptionError) as told:
        choose_engine("openvino", **given)
    assert engine.why in str(told.value)
    assert "\n" not in str(told.value)


def test_a_dtype_that_was_asked_for_is_what_auto_computes_in(network, weights):
    assert choose_engine("auto", network, weights, CPU, "fp32")[0].name == "torch"


def test_an_unknown_engine_is_told(network, weights):
    for wrong in ("int8", None, ["torch"]):
        with pytest.raises(OptionError, match="auto, torch, openvino"):
            choose_engine(wrong, network, weights, CPU, "auto")


def test_the_bundled_weights_have_their_ranges():
    """If not, `assets/calibrate.py` was not run after they changed."""
    path, sha256 = bundled_file()
    assert read_ranges(ranges_path(path), sha256), "python assets/calibrate.py DAVIS_ROOT"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch comes with another OpenMP")
@pytest.mark.parametrize("own, used", [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_of_pytorch_do_not_wait_long_in_a_loop_unless_a_user_says_so(own, used):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "GOMP"))}
    environment |= {"OMP_DISPLAY_ENV": "verbose"} | own  # the library itself says what it uses
    command = [sys.executable, "-c", "from stm_core import load_model"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    assert f"GOMP_SPINCOUNT = '{used}'" in said
