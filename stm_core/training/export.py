"""From a training run's averaged weights to the file that everybody loads: fp16 safetensors with its sizes
inside.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..compact import CompactConfig, CompactSTM
from .synth import ClipMaker
from .unroll import track


def settle_norms(network: CompactSTM, maker: ClipMaker, size: int, batches: int, *, bf16: bool) -> None:
    """Recomputes batch-norm statistics over some batches of crops of `size`.

    Averaged weights need it: the running statistics belong to the weights before averaging.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    network.train()
    for number in range(batches):
        batch = maker.batch(4, 3, size, video=maker.clips is not None and number % 2 == 0)
        with torch.no_grad(), torch.autocast(maker.dice.device.type, torch.bfloat16, enabled=bf16):
            track(network, batch, 1)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


def write_weights(path: Path, config: CompactConfig, state: dict[str, Tensor]) -> str:
    """Writes `state` of a CompactSTM as fp16 safetensors, by a temporary name; returns the file's SHA-256."""
    halves = {
        name: value.detach().half().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in state.items()
    }
    part = path.with_suffix(".part")
    save_file(halves, part, metadata={"config": json.dumps(asdict(config))})
    part.replace(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_registry(path: Path, weights: Path, sha256: str) -> None:
    """Writes the registry entry that `load_model("compact")` checks: file name and SHA-256."""
    path.write_text(json.dumps({"file": weights.name, "sha256": sha256}, indent=2) + "\n")
