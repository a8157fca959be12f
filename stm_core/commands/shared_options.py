"""The options of all commands that run a network, and the values that they give."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any, Literal

from stm_core.commands.flags import add_flags, flags_of
from stm_core.commands.option_values import megabytes, one_of
from stm_core.memory.policy import PRESETS, MemoryConfig


def _option(text: str, default: Any = None, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": text, **metadata})


@dataclass(frozen=True)
class Shared:
    """The options of every command that runs a network."""

    weights: str = _option(
        "compact (bundled), paper:PATH (the published checkpoint) or PATH of a weights file",
        "compact",
        metavar="W",
    )
    memory: str = _option("what is kept", MemoryConfig.preset, metavar="PRESET", read=one_of(PRESETS))
    budget_mb: float | None = _option(
        "most MB that stored frames and a read of them take, for a memory with a limit (default: 64)",
        read=megabytes,
    )
    capacity: int | None = _option(
        f"most frames kept, for a memory with a limit (default: {MemoryConfig.capacity}); the prompted "
        "frames and the previous one are always kept",
        least=2,
    )
    every: int | None = _option("store one frame in N (default: 5)", least=1)
    top_k: int | None = _option("read only the K best matches (default: all)", least=1, metavar="K")
    size: int | None = _option(
        "most pixels of the short side that the network sees (default: no limit; compact enlarges "
        "clips under 480 pixels to it, at most 4 times)",
        least=16,
        metavar="SHORT_SIDE",
    )
    device: Literal["auto", "cpu", "cuda"] = _option("auto: the GPU if there is one", "auto")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = _option("number format of the network", "auto")
    engine: Literal["auto", "torch", "openvino"] = _option(
        "what computes: PyTorch, or OpenVINO in int8; auto: OpenVINO where it runs, unless --dtype is given",
        "auto",
    )


def add_shared(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Add the options of all commands that run a network; returns them by name."""
    options = add_flags(parser.add_argument_group("network and memory"), Shared)
    kept = " · ".join(f"{name}: {preset.keeps}" for name, preset in PRESETS.items())
    options["memory"].help = f"{kept} (default: {MemoryConfig.preset})"
    return options


def memory_config(args: argparse.Namespace, preset: str) -> MemoryConfig:
    """The memory that the options ask for."""
    budget = None if args.budget_mb is None else int(args.budget_mb * 2**20)
    given = {name: getattr(args, name) for name in ("every", "top_k", "capacity")} | {"budget_bytes": budget}
    return MemoryConfig(preset=preset, **{name: value for name, value in given.items() if value is not None})


def shared_words(args: argparse.Namespace) -> list[str]:
    """The shared options as words of a command line again."""
    given = {flag.name: getattr(args, flag.field) for flag in flags_of(Shared)}
    return [f"{name}={value}" for name, value in given.items() if value is not None]
