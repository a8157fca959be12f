"""From the averaged weights of a run to the file that everybody loads: fp16 safetensors with its sizes."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stm_core.errors import WeightsError
from stm_core.networks.compact import CompactConfig
from stm_core.networks.efficientnet import FROZEN
from stm_core.networks.weight_files import bundled_file, checksum

CHECKPOINT = ("network", "average", "optimizers", "rest")


def write_checkpoint(folder: Path, **parts: Any) -> None:
    """Writes each part as a file of its own (none over 16 MiB for the bundled sizes), then renames the
    folder.  The frozen trunk, which network and average share, is a part of its own.
    """
    network, average = parts["network"], parts["average"]
    parts["trunk"] = {name: tensor for name, tensor in network.items() if name.startswith(FROZEN)}
    for kind, state in (("network", network), ("average", average)):
        parts[kind] = {name: tensor for name, tensor in state.items() if not name.startswith(FROZEN)}
    fresh, old = folder.with_suffix(".part"), folder.with_suffix(".old")
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, part in parts.items():
        torch.save(part, fresh / f"{name}.pt")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def find_checkpoint(folder: Path) -> Path | None:
    """Where a checkpoint lies: `folder`, or beside it when the run was killed between two renames."""
    if folder.exists():
        return folder
    old = folder.with_suffix(".old")
    return old if old.exists() else None


def read_checkpoint(folder: Path, device: str | torch.device = "cpu") -> list:
    """The parts of a checkpoint in the order of CHECKPOINT.  Raises WeightsError when there is none."""
    folder = find_checkpoint(folder) or folder
    try:
        network, average, optimizers, rest, trunk = (
            torch.load(folder / f"{name}.pt", weights_only=True, map_location=device)
            for name in (*CHECKPOINT, "trunk")
        )
    except Exception as error:  # a damaged pickle can raise almost anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{folder} is not a checkpoint of training: {reason}; "
            "give the .ckpt folder that a run wrote beside its weights"
        ) from error
    copy = {name: tensor.clone() for name, tensor in trunk.items()}
    return [network | trunk, average | copy, optimizers, rest]


def write_weights(path: Path, config: CompactConfig, state: dict[str, Tensor]) -> str:
    """Writes `state` of a CompactSTM as fp16 safetensors, by a temporary name; returns the file's SHA-256."""
    halves = {
        name: value.detach().half().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in state.items()
    }
    part = path.with_suffix(".part")
    save_file(halves, part, metadata={"config": json.dumps(asdict(config))})
    part.chmod(0o644)  # safetensors writes for the owner alone
    part.replace(path)
    return checksum(path)


def starting_tensors(path: Path | None) -> dict[str, Tensor]:
    """What a run begins from: the tensors of a weights file or checkpoint.

    The frozen trunk comes from the bundled file where they have none.  Raises WeightsError.
    """
    given = {} if path is None else _tensors(path)
    if any(name.startswith(FROZEN) for name in given):
        return given
    bundled = _tensors(bundled_file()[0])
    return given | {name: tensor for name, tensor in bundled.items() if name.startswith(FROZEN)}


def write_registry(path: Path, weights: Path, sha256: str) -> None:
    """Writes the registry entry that `load_model("compact")` checks: file name and SHA-256."""
    path.write_text(json.dumps({"file": weights.name, "sha256": sha256}, indent=2) + "\n")


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".ckpt":
        return read_checkpoint(path)[1]
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}; give weights or a .ckpt") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
