"""Reproducible numbers for every tensor of the published checkpoint, from its names alone; no trained
weights.

`layout.json` lists name (without `module.`), shape and dtype. Each tensor is drawn from NumPy's RandomState
seeded with crc32(name) + seed, and scaled so that activations keep a useful range. The `.npz` files beside it
hold what the reference implementation gives with these numbers: frames (T, H, W, 3) uint8, first (H, W)
uint8, probs (T, objects + 1, H, W) float32, every (each n-th frame is stored), fill_seed.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent
CONSTANTS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def layout() -> dict[str, dict]:
    """{name: {"shape", "dtype"}} of the published checkpoint."""
    return json.loads((GOLDEN / "layout.json").read_text())


def published(seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict as the published file stores it, names prefixed with `module.`."""
    return {f"module.{name}": tensor(name, **spec, seed=seed) for name, spec in layout().items()}


def tensor(name: str, shape: list[int], dtype: str, seed: int) -> torch.Tensor:
    """The numbers of one tensor."""
    last = name.rsplit(".", 1)[-1]
    if dtype == "int64":
        return torch.zeros(shape, dtype=torch.int64)
    if last in CONSTANTS and len(shape) == 4:
        return torch.tensor(CONSTANTS[last]).view(shape)
    random = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    offset, scale = _range(name, last, shape)
    draw = random.standard_normal(shape)
    draw = np.abs(draw) if last == "running_var" else draw
    return torch.from_numpy((offset + draw * scale).astype(np.float32))


def _range(name: str, last: str, shape: list[int]) -> tuple[float, float]:
    """Offset and scale of a tensor's numbers."""
    if last == "running_var":
        return 1, 0.2
    if len(shape) == 4:  # convolution: sharp reads, soft masks
        gain = 3 if name.endswith("Key.weight") else 0.05 if "pred2" in name else 1
        return 0, gain * (2 / np.prod(shape[1:])) ** 0.5
    if last == "weight":  # batch norm; the last of a residual branch keeps the sum bounded
        return (0.3, 0.05) if "bn3" in name else (1, 0.1)
    return 0, 0.1  # biases and running means
