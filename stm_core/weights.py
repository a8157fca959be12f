"""Networks with their numbers: which files there are, how they are checked, and where they run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .arguments import expect
from .compact import CompactConfig, CompactSTM
from .errors import OptionError, WeightsError
from .lite import FROZEN
from .network import Network
from .packed import can_pack, pack
from .paper import PaperSTM

ASSETS = Path(__file__).parent.parent / "assets"
REGISTRY = ASSETS / "compact.json"  # {"file", "sha256", "config"}: the bundled weights, written by training
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
    """A network ready to run.  sha256: of the weights file, None for random weights."""

    network: Network
    name: str
    device: torch.device
    dtype: torch.dtype
    sha256: str | None = None

    @property
    def dtype_name(self) -> str:
        """The word that `--dtype` takes for its dtype."""
        return next(word for word, dtype in DTYPES.items() if dtype == self.dtype)


def load_model(weights: str | Path = "compact", *, device: str = "auto", dtype: str = "auto") -> Model:
    """A network with trained weights, on its device, folded for inference.

    weights: "compact" (bundled), "paper:PATH" (the published checkpoint), or PATH of either kind.
    device: auto, cpu, cuda or cuda:N.  dtype: auto, fp32, bf16 or fp16; auto is bf16 where the hardware has
    it. Raises WeightsError when the file is missing, damaged or of another network; OptionError.
    """
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    name = str(weights)
    if name == "compact":
        path, sha256 = bundled_file()
        network = _compact_from(path)
    else:
        path = Path(name.removeprefix("paper:"))
        if name in ("", "paper:"):
            raise WeightsError(f"the weights are {name!r}; give compact, paper:PATH or PATH")
        sha256 = _sha256(path)
        network = _from_file(path, paper=name.startswith("paper:"))
        name = "paper" if isinstance(network, PaperSTM) else path.name
    return Model(_placed(network, place, number), name, place, number, sha256)


def random_model(name: str = "compact", *, seed: int = 0, device: str = "cpu", dtype: str = "fp32") -> Model:
    """A network with random weights, for tests and speed: name is "compact", "compact-tiny" or "paper"."""
    makers = {
        "compact": CompactSTM,
        "compact-tiny": lambda: CompactSTM(TINY),
        "paper": PaperSTM,
    }
    if not isinstance(name, str) or name not in makers:
        raise OptionError(f"there is no network {name!r}; choose one of {', '.join(makers)}")
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = makers[name]()
    return Model(_placed(network, place, number), f"{name} (random)", place, number)


def check_model(model: object) -> None:
    """Raises OptionError unless it is a Model."""
    expect("model", model, Model, "load one with stm_core.load_model")


def bundled_file() -> tuple[Path, str]:
    """The weights in assets/ and their SHA-256, if they are the ones that the registry names.  Raises
    WeightsError.
    """
    if not REGISTRY.is_file():
        raise WeightsError(
            f"the compact network has no trained weights here ({REGISTRY} is missing); "
            "get the folder assets/ again"
        )
    entry = json.loads(REGISTRY.read_text())
    path = ASSETS / entry["file"]
    sha256 = _sha256(path)
    if sha256 != entry["sha256"]:
        raise WeightsError(
            f"{path} has SHA-256 {sha256[:12]}..., expected {entry['sha256'][:12]}...: it is damaged or was "
            "replaced; get it again, or give its path with --weights"
        )
    return path, sha256


def choose_device(device: str) -> torch.device:
    """The device of a word: auto is the GPU if there is one.  Raises OptionError."""
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise OptionError(f"device is {device!r}; choose auto, cpu or cuda") from error
    if place.type not in ("cpu", "cuda"):
        raise OptionError(f"device is {device!r}; choose auto, cpu or cuda")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise OptionError(
            f"device is {device!r}, but PyTorch sees {torch.cuda.device_count()} GPUs; choose cpu"
        )
    return place


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The number format of a word: auto is bf16 where the device computes in it, else fp32 (fp16 on older
    GPUs).
    """
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


def load_strictly(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Copy a state dict whose names and shapes are exactly the network's.

    Raises WeightsError naming the first missing, unexpected and misshapen tensor.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    misshapen = [name for name in own if name in state and own[name].shape != state[name].shape]
    faults = [
        f"{names[0]} is {what} ({len(names)} in all)"
        for what, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    if misshapen:
        name = misshapen[0]
        got, expected = tuple(state[name].shape), tuple(own[name].shape)
        faults.append(f"{name} has shape {got}, expected {expected} ({len(misshapen)} misshapen in all)")
    if faults:
        raise WeightsError(
            f"{path} is not a file of {type(network).__name__}: {'; '.join(faults)}; "
            "give the file that belongs to it"
        )
    network.load_state_dict(state)


def _from_file(path: Path, paper: bool) -> Network:
    """The network that a file belongs to: .safetensors are compact, anything else is a published checkpoint.
    """
    if path.suffix == ".safetensors" and not paper:
        return _compact_from(path)
    network = PaperSTM()
    state = {name.removeprefix("module."): tensor for name, tensor in _unpickled(path).items()}
    load_strictly(network, state, path)
    return network


def _compact_from(path: Path) -> CompactSTM:
    """A compact network from safetensors; its sizes are in the file's metadata (`config`, JSON).

    Raises WeightsError.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}; get the file again") from error
    if not isinstance(config, dict):
        raise WeightsError(
            f"{path} gives its sizes as {type(config).__name__}, expected numbers by name; get the file again"
        )
    try:
        sizes = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
        network = CompactSTM(CompactConfig(**sizes))
    except TypeError as error:
        raise WeightsError(
            f"{path} names sizes that this version does not know: {error}; update it"
        ) from error
    except (OptionError, RuntimeError) as error:  # RuntimeError: more than fits into memory
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path} names sizes that make no network: {reason}; get the file again"
        ) from error
    if state and not any(name.startswith(FROZEN) for name in state):
        raise WeightsError(
            f"{path} was written by an earlier version, without a frozen trunk; train from it with "
            "`python -m stm_core train --init`, or use it with the version that wrote it"
        )
    load_strictly(network, {name: tensor.float() for name, tensor in state.items()}, path)
    return network


def _unpickled(path: Path) -> dict[str, Tensor]:
    """The state dict in a .pth file, without running anything in it.  Raises WeightsError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise almost anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} is not a checkpoint that can be loaded safely: {reason}; get it again"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise WeightsError(
            f"{path} holds {type(state).__name__}, expected tensors by name; give the published file"
        )
    return state


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; check the path")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _placed(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """The network folded and on its device; convolutions compute in dtype, everything else stays float32."""
    network = network.for_inference().to(device, memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype)
    if device.type == "cpu" and can_pack(dtype):
        pack(network)
    return network
