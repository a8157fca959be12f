"""Networks ready to run: from which weights, on which device, in which dtype."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from stm_core.errors import OptionError, WeightsError
from stm_core.networks.compact import CompactConfig, CompactSTM
from stm_core.networks.engines import TORCH, Engine, choose_engine
from stm_core.networks.interface import Network
from stm_core.networks.packed import can_pack, pack
from stm_core.networks.paper import PaperSTM
from stm_core.networks.ranges import Ranges
from stm_core.networks.weight_files import bundled_file, checksum, read_compact, read_network

TINY = CompactConfig(
    stem=8,
    trunk=(8, 16, 16),
    blocks=(1, 1, 1),
    key=8,
    value=16,
    masks=(8, 8),
    decoder=(16, 8, 8),
    lite=(8, 8, 8, 8, 8, 8),
)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Model:
    """A network ready to run.

    name: of the weights, as a user gives it.
    sha256: of the weights file; None for random weights.
    engine: what computes its convolutions.
    """

    network: Network
    name: str
    device: torch.device
    dtype: torch.dtype
    sha256: str | None = None
    engine: Engine = TORCH

    @property
    def tuned(self) -> bool:
        """Whether trust in memory was tuned for this network; if not, it is read as published."""
        return isinstance(self.network, CompactSTM)

    @property
    def dtype_name(self) -> str:
        """The word that `--dtype` takes for its dtype."""
        return next(word for word, dtype in DTYPES.items() if dtype == self.dtype)


def load_model(
    weights: str | Path = "compact", *, device: str = "auto", dtype: str = "auto", engine: str = "auto"
) -> Model:
    """A network with trained weights, on its device, ready for inference.

    weights: "compact" (bundled), "paper:PATH" (the published checkpoint), or PATH of either kind.
    device: auto, cpu, cuda or cuda:N.
    dtype: auto, fp32, bf16 or fp16; auto is bf16 where the hardware has it.
    engine: auto, torch or openvino (int8); auto is openvino where it is available for these weights.
    Raises WeightsError when the file is missing, damaged or of another network; OptionError.
    """
    chosen = choose_device(device)
    precision = choose_dtype(dtype, chosen)
    name = str(weights)
    if name == "compact":
        path, sha256 = bundled_file()
        network = read_compact(path)
    else:
        path = Path(name.removeprefix("paper:"))
        if name in ("", "paper:"):
            raise WeightsError(f"the weights are {name!r}; give compact, paper:PATH or PATH")
        sha256 = checksum(path)
        network = read_network(path, paper=name.startswith("paper:"))
        name = "paper" if isinstance(network, PaperSTM) else path.name
    found, ranges = choose_engine(engine, network, (path, sha256), chosen, dtype)
    return Model(_prepared(network, chosen, precision, ranges), name, chosen, precision, sha256, found)


def random_model(name: str = "compact", *, seed: int = 0, device: str = "cpu", dtype: str = "fp32") -> Model:
    """A network with random weights, for tests and for measuring speed.

    name: compact, compact-tiny or paper.
    """
    makers = {
        "compact": CompactSTM,
        "compact-tiny": lambda: CompactSTM(TINY),
        "paper": PaperSTM,
    }
    if not isinstance(name, str) or name not in makers:
        raise OptionError(f"there is no network {name!r}; choose one of {', '.join(makers)}")
    chosen = choose_device(device)
    precision = choose_dtype(dtype, chosen)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = makers[name]()
    network.least_side = None  # nothing is gained for random weights, and small frames are fast
    return Model(_prepared(network, chosen, precision), f"{name} (random)", chosen, precision)


def check_model(model: object) -> None:
    """Raises OptionError unless it is a Model."""
    if not isinstance(model, Model):
        raise OptionError(f"the model is of type {type(model).__name__}; load one with stm_core.load_model")


def choose_device(device: str) -> torch.device:
    """The device that a word names; auto is the GPU if there is one.  Raises OptionError."""
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise OptionError(f"device is {device!r}; choose auto, cpu or cuda") from error
    if chosen.type not in ("cpu", "cuda"):
        raise OptionError(f"device is {device!r}; choose auto, cpu or cuda")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise OptionError(
            f"device is {device!r}, but PyTorch finds {torch.cuda.device_count()} GPUs; choose cpu"
        )
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype that a word names; auto is bf16 where the device computes in it, else fp32 (GPUs: fp16)."""
    if not isinstance(dtype, str) or dtype != "auto":
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise OptionError(f"dtype is {dtype!r}; choose one of auto, {', '.join(DTYPES)}")
        return DTYPES[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if cpu_has_bf16() else torch.float32


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices in hardware."""
    checks = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16")]
    return any(check() for check in checks if check)


def _prepared(
    network: Network, device: torch.device, dtype: torch.dtype, ranges: Ranges | None = None
) -> Network:
    """The network folded and on its device.  Convolutions compute in dtype, everything else in float32.

    ranges: for int8; the network then computes in OpenVINO.
    """
    network = network.for_inference().to(device, memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype)
    if ranges:
        from stm_core.networks.openvino_network import to_openvino  # OpenVINO may not be installed

        to_openvino(network, ranges, dtype, torch.get_num_threads())
    elif device.type == "cpu" and can_pack(dtype):
        pack(network)
    return network
