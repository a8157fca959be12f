"""From the averaged weights of a run to the file that everybody loads: fp16 safetensors with its sizes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stm_core.errors import WeightsError
from stm_core.media.files import Whole, WholeFolder, set_aside
from stm_core.media.written import Written, not_ours
from stm_core.networks.compact import CompactConfig
from stm_core.networks.efficientnet import FROZEN
from stm_core.networks.weight_files import bundled_file, checksum

CHECKPOINT = ("network", "average", "optimizers", "rest")


def written_beside(out: Path) -> Written:
    """What the runs with these weights as their output wrote."""
    return Written(out.parent, f".{out.name}.notes")


def check_out(out: Path, resume: Path | None) -> None:
    """Raises OptionError when a run would replace, or add to, what no earlier one of the same name wrote.

    resume: the checkpoint that it continues; when that is its own, what was written before there were notes
    is its own too.
    """
    written, folder, log = written_beside(out), out.with_suffix(".ckpt"), out.with_suffix(".log.jsonl")
    names = [out.name, *(f"{folder.name}/{name}.pt" for name in (*CHECKPOINT, "trunk"))]
    own = resume is not None and resume.resolve() == folder.resolve()
    written.check(name for name in names if not own or name in written.names)
    for path, known in ((folder, folder.is_dir()), (log, own or log.name in written.names)):
        if os.path.lexists(path) and not known:
            raise not_ours(path)


def write_checkpoint(folder: Path, written: Written, **parts: Any) -> None:
    """Writes each part as a file of its own (none over 16 MiB for the bundled sizes), notes it, then renames
    the folder.  The frozen trunk, which network and average share, is a part of its own.
    """
    network, average = parts["network"], parts["average"]
    parts["trunk"] = {name: tensor for name, tensor in network.items() if name.startswith(FROZEN)}
    for kind, state in (("network", network), ("average", average)):
        parts[kind] = {name: tensor for name, tensor in state.items() if not name.startswith(FROZEN)}
    with WholeFolder(folder, lasting=True) as fresh:
        for name, part in parts.items():
            torch.save(part, fresh / f"{name}.pt")
            written.note(f"{folder.name}/{name}.pt", fresh / f"{name}.pt")


def find_checkpoint(folder: Path) -> Path | None:
    """Where a checkpoint lies: `folder`, or beside it when the run was killed between two renames."""
    if folder.exists():
        return folder
    places = set_aside(folder), folder.with_suffix(".old")  # the latter: of runs before there were notes
    return next((place for place in places if place.exists()), None)


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


def write_weights(
    path: Path, config: CompactConfig, state: dict[str, Tensor], written: Written | None = None
) -> str:
    """Writes `state` of a CompactSTM as fp16 safetensors, whole or not at all; returns the file's SHA-256.

    written: where it is noted.
    """
    halves = {
        name: value.detach().half().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in state.items()
    }
    with Whole(path, lasting=True) as part:
        save_file(halves, part, metadata={"config": json.dumps(asdict(config))})
        part.chmod(0o644)  # safetensors writes for the owner alone
        if written is not None:
            written.note(path.name, part)
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


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".ckpt":
        return read_checkpoint(path)[1]
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}; give weights or a .ckpt") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
