"""Files of weights: where they are, whether they are undamaged, and which network they belong to."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from stm_core.errors import OptionError, WeightsError
from stm_core.networks.compact import CompactConfig, CompactSTM
from stm_core.networks.efficientnet import FROZEN
from stm_core.networks.interface import Network
from stm_core.networks.paper import PaperSTM

ASSETS = Path(__file__).parents[2] / "assets"
REGISTRY = ASSETS / "compact.json"  # {"file", "sha256"} of the bundled weights
LATER = (FROZEN, "trunk.join")  # tensors that networks of earlier versions did not have


def bundled_file() -> tuple[Path, str]:
    """Path and SHA-256 of the weights in assets/.

    Raises WeightsError when they are not the ones that the registry names.
    """
    if not REGISTRY.is_file():
        raise WeightsError(
            f"the compact network has no trained weights here ({REGISTRY} is missing); "
            "get the folder assets/ again"
        )
    entry = json.loads(REGISTRY.read_text())
    path = ASSETS / entry["file"]
    sha256 = checksum(path)
    if sha256 != entry["sha256"]:
        raise WeightsError(
            f"{path} has SHA-256 {sha256[:12]}..., expected {entry['sha256'][:12]}...: it is damaged or was "
            "replaced; get it again, or give weights of your own with --weights PATH"
        )
    return path, sha256


def checksum(path: Path) -> str:
    """SHA-256 of a weights file.  Raises WeightsError when it is missing."""
    if not os.path.isfile(path):  # also False where reading the folder is not allowed
        raise WeightsError(f"there is no weights file {path}; check the path")
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        told = f"the weights file {path} cannot be read: {error.strerror}"
        raise WeightsError(f"{told}; check its permissions") from error


def read_network(path: Path, paper: bool) -> Network:
    """The network with the weights of a file: .safetensors is compact, all else a published checkpoint."""
    if path.suffix == ".safetensors" and not paper:
        return read_compact(path)
    network = PaperSTM()
    state = {name.removeprefix("module."): tensor for name, tensor in _unpickled(path).items()}
    load_strictly(network, state, path)
    return network


def read_compact(path: Path) -> CompactSTM:
    """A compact network from safetensors. Its sizes are in the metadata of the file (`config`, JSON).

    Raises WeightsError.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
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
            f"{path} names sizes that this version does not know: {error}; update this program"
        ) from error
    except (OptionError, RuntimeError) as error:  # RuntimeError: more than fits into memory
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path} names sizes that make no network: {reason}; get the file again"
        ) from error
    missing = [name for name in network.state_dict() if name not in state]
    if state and missing and all(name.startswith(LATER) for name in missing):
        raise WeightsError(
            f"{path} is of an earlier version, whose network had no {missing[0]}; train from it with "
            "`python -m stm_core train --init`, or use it with the version that wrote it"
        )
    load_strictly(network, {name: tensor.float() for name, tensor in state.items()}, path)
    return network


def load_strictly(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Copy a state dict into a network that has exactly its names and shapes.

    Raises WeightsError, which names the first missing, unexpected and misshapen tensor.
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
            f"{path} does not hold the weights of {type(network).__name__}: {'; '.join(faults)}; "
            "give a file of this network"
        )
    network.load_state_dict(state)


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
