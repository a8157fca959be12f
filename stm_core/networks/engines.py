"""Which engine computes a network's convolutions: PyTorch, or OpenVINO with int8.

OpenVINO is chosen wherever it is available.  A quiet CPU with bf16 units is a tenth faster with PyTorch, but
beside a busy core, as behind a page, OpenVINO keeps more of its speed: see the tables in assets/README.md.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from stm_core.errors import OptionError
from stm_core.networks.compact import CompactSTM
from stm_core.networks.interface import Network
from stm_core.networks.ranges import Ranges, ranges_path, read_ranges

ENGINES = ("auto", "torch", "openvino")
X86 = ("x86_64", "AMD64")  # as Linux and macOS, and as Windows call it


@dataclass(frozen=True)
class Engine:
    """What computes, and why it was chosen.

    name: torch or openvino-int8.
    why: in words, for reports.
    """

    name: str
    why: str


TORCH = Engine("torch", "it was asked for")
OPENVINO = "openvino-int8"


def choose_engine(
    engine: str, network: Network, weights: tuple[Path, str], device: torch.device, dtype: str
) -> tuple[Engine, Ranges]:
    """The engine that a word names, and the ranges that it needs; auto is OpenVINO where it is available.

    weights: the file and its SHA-256.
    dtype: the word that was given for it.
    Raises OptionError when OpenVINO is asked for but not available, WeightsError when ranges are damaged.
    """
    if not isinstance(engine, str) or engine not in ENGINES:
        raise OptionError(f"engine is {engine!r}; choose one of {', '.join(ENGINES)}")
    if engine == "torch":
        return TORCH, {}
    ranges, obstacle = None, _obstacle(network, device)
    if dtype == "fp16" or (dtype != "auto" and engine == "auto"):
        obstacle = f"{dtype} was asked for"
    if obstacle is None:
        ranges = read_ranges(ranges_path(weights[0]), weights[1])
        obstacle = _not_loaded() if ranges else "these weights have no ranges for int8 (assets/calibrate.py)"
    if engine == "openvino" and obstacle:
        raise OptionError(f"engine is openvino, but {obstacle}; choose auto or torch")
    if obstacle or not ranges:
        return Engine("torch", str(obstacle)), {}
    why = "it was asked for" if engine == "openvino" else "it is faster on most CPUs"
    return Engine(OPENVINO, why), ranges


def _obstacle(network: Network, device: torch.device) -> str | None:
    """Why this network cannot run in OpenVINO here, in words; None if it can."""
    if not isinstance(network, CompactSTM):
        return "only the compact network runs in OpenVINO"
    if device.type != "cpu":
        return "the network is on a GPU"
    if platform.machine() not in X86:
        return f"int8 is for x86-64 CPUs, and this is {platform.machine() or 'unknown'}"
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        return "int8 needs a CPU with AVX2"
    return None


def _not_loaded() -> str | None:
    """Why OpenVINO cannot be loaded, in words; None if it was."""
    try:
        import stm_core.networks.openvino_runtime  # noqa: F401
    except (ImportError, OSError) as error:  # missing, too old, or without a library of the system
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"openvino cannot be loaded ({reason}; try `pip install openvino`)"
    return None
