"""The options of every command, and the values they give.  Nothing here runs a command or imports torch."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

from stm_core.commands.flags import add_flags, flags_of, made_from
from stm_core.commands.option_values import (
    absent,
    folder,
    frame_size,
    limit,
    list_of,
    megabytes,
    one_of,
    whole_number,
)
from stm_core.errors import OptionError
from stm_core.masks.palette import MAX_OBJECTS
from stm_core.media.limits import VideoLimits
from stm_core.memory.policy import PRESETS, MemoryConfig

SEVERAL = "; several, separated by commas, are compared"


def _option(text: str, default: Any = None, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": text, **metadata})


@dataclass(frozen=True)
class Shared:
    """The options of every command that runs a network."""

    weights: str = _option("compact, paper:PATH or PATH", "compact", metavar="W")
    memory: str = _option("what is kept", MemoryConfig.preset, metavar="PRESET", read=one_of(PRESETS))
    budget_mb: float | None = _option(
        "most MB that stored frames and reading them take, where there is a limit (default: 64), "
        f"which holds {MemoryConfig.capacity} frames, or the prompted ones and the previous",
        read=megabytes,
    )
    every: int | None = _option("store one frame in N (default: 5)", least=1)
    top_k: int | None = _option("read only the K best matches (default: all)", least=1, metavar="K")
    size: int | None = _option("short side that the network sees, in pixels", least=16, metavar="SHORT_SIDE")
    device: Literal["auto", "cpu", "cuda"] = _option("auto: the GPU where there is one", "auto")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = _option("number format of the network", "auto")


class Parser(argparse.ArgumentParser):
    """A parser that raises a mistake as an OptionError of one line.  Options must be written out in full."""

    def __init__(self, **given: Any):
        super().__init__(**given, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        program = self.prog if self.prog.endswith(".py") else f"-m {self.prog}"
        raise OptionError(f"{message}; see `python {program} --help`")


def add_segment(parser: argparse.ArgumentParser) -> None:
    """Options of `segment`."""
    add = parser.add_argument
    add("clip", metavar="CLIP", type=Path, help="video file, or folder of frames sorted by name")
    add("--mask", type=Path, metavar="FIRST.png", help="mask of the prompted frame")
    add(
        "--click",
        action="append",
        metavar="X,Y[,LABEL[,OBJECT]]",
        default=[],
        help="a pixel of the prompted frame; LABEL: 1 object (default), 0 background; OBJECT: counts from 1",
    )
    add(
        "--prompt-frame",
        type=whole_number(0),
        default=0,
        metavar="T",
        help="frame of the mask or clicks (default: 0)",
    )
    add(
        "--absent",
        action="append",
        type=absent,
        metavar="OBJECT:FIRST-LAST",
        default=[],
        help="frames in which an object is not there, the last one included; may be given several times",
    )
    add("--out", type=folder, required=True, metavar="DIR", help="folder for masks, overlay and report")
    add_shared(parser)
    group = parser.add_argument_group(
        "limits of the input", "safe defaults against broken files; 0 lifts one"
    )
    for option in add_flags(group, VideoLimits).values():
        option.type = limit


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    add = parser.add_argument
    add("root", metavar="DAVIS_ROOT", type=Path, help="folder with JPEGImages and Annotations")
    add(
        "--year",
        type=int,
        choices=(2016, 2017),
        required=True,
        help="2016: all objects as one; 2017: each by itself",
    )
    add("--set", choices=("val", "train"), required=True, help="list in ImageSets/YEAR")
    add("--sequences", metavar="a,b", type=list_of(str), default=[], help="only these")
    add("--out", type=folder, required=True, metavar="DIR", help="folder for masks and scores.json")
    add_shared(parser)


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Options of `bench`."""
    add = parser.add_argument
    length = "length of the made-up clip (default: 120; 1010 reaches the figures at frame 1,000)"
    add("--frames", type=whole_number(2), default=120, metavar="N", help=length)
    add(
        "--objects",
        type=whole_number(1, MAX_OBJECTS),
        default=1,
        metavar="K",
        help="objects to follow (default: 1)",
    )
    add("--json", type=Path, metavar="FILE", help="write all figures here too")
    add(
        "--with-files",
        action="store_true",
        help="also time `segment` whole: decoding, masks and overlay included",
    )
    add("--profile", action="store_true", help="show where the time of a frame goes instead; one case only")
    _add_compared(parser)


def add_batch(parser: argparse.ArgumentParser) -> None:
    """Options of `batch`."""
    add = parser.add_argument
    add(
        "list",
        metavar="LIST",
        type=Path,
        help="text file with a line per clip: `CLIP --mask M.png` or `CLIP --click X,Y`, with any option of "
        "segment; paths are relative to the list; # begins a comment",
    )
    add("--out", type=folder, required=True, metavar="DIR", help="folder of the results, one folder a clip")
    add("--workers", type=whole_number(1), metavar="N", help="clips at a time (default: 1 for every 4 cores)")
    ray = "use a Ray cluster whose machines see the same folders (without ADDRESS: this machine alone)"
    add("--ray", nargs="?", const="", metavar="ADDRESS", help=ray)
    add_shared(parser)


def add_shared(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Add the options that all running commands share; returns them by name."""
    options = add_flags(parser.add_argument_group("network and memory"), Shared)
    kept = " · ".join(f"{name}: {preset.keeps}" for name, preset in PRESETS.items())
    options["memory"].help = f"{kept} (default: {MemoryConfig.preset})"
    return options


def _add_compared(parser: argparse.ArgumentParser) -> None:
    """The shared options as `bench` takes them: several values for some, and the size of a clip."""
    options = add_shared(parser)
    options["weights"].help = f"{options['weights'].help}; paper or random:NAME: untrained, for its speed"
    size = options["size"]
    size.type, size.default, size.metavar = frame_size, (480, 854), "HxW"
    size.help = "size of the clip (default: 480x854)"
    for name in ("weights", "memory", "size", "dtype"):
        option = options[name]
        read = cast(Callable, option.type)
        option.type, option.default, option.help = list_of(read), [option.default], f"{option.help}{SEVERAL}"


def memory_config(args: argparse.Namespace, preset: str) -> MemoryConfig:
    """The memory that the options ask for."""
    budget = None if args.budget_mb is None else int(args.budget_mb * 2**20)
    given = {"every": args.every, "top_k": args.top_k, "budget_bytes": budget}
    return MemoryConfig(preset=preset, **{name: value for name, value in given.items() if value is not None})


def absent_ranges(args: argparse.Namespace) -> dict[int, list[tuple[int, int]]]:
    """The ranges of --absent, by object."""
    found: dict[int, list[tuple[int, int]]] = {}
    for number, first, last in args.absent:
        found.setdefault(number, []).append((first, last))
    return found


def video_limits(args: argparse.Namespace) -> VideoLimits:
    """The limits that the options ask for."""
    return made_from(VideoLimits, args)


def shared_words(args: argparse.Namespace) -> list[str]:
    """The shared options as words of a command line again."""
    given = {flag.name: getattr(args, flag.field) for flag in flags_of(Shared)}
    return [f"{name}={value}" for name, value in given.items() if value is not None]
