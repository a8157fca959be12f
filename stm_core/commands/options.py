"""The options of every command, and how their texts become values; nothing here runs or imports torch."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

from stm_core.commands.option_values import at_least, folder, frame_size, list_of, megabytes, one_of
from stm_core.errors import OptionError
from stm_core.masks.palette import MAX_OBJECTS
from stm_core.media.limits import VideoLimits
from stm_core.memory.policy import PRESETS, MemoryConfig

DTYPES = ("auto", "fp32", "bf16", "fp16")
SHARED = ("weights", "memory", "budget_mb", "every", "top_k", "size", "device", "dtype")


class Parser(argparse.ArgumentParser):
    """Takes options written whole; tells a mistake as an OptionError of one line, without usage before it."""

    def __init__(self, **given):
        super().__init__(**given, allow_abbrev=False)

    def error(self, message: str):
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
        type=at_least(0),
        default=0,
        metavar="T",
        help="frame of the mask or clicks (default: 0)",
    )
    add("--out", type=folder, required=True, metavar="DIR", help="folder for masks, overlay and report")
    add_shared(parser)
    group = parser.add_argument_group(
        "limits of the input", "safe defaults against broken files; 0 lifts one"
    )
    for field in dataclasses.fields(VideoLimits):
        shown = f"default: {field.default:,}" if field.default else "default: none"
        group.add_argument("--" + field.name.replace("_", "-"), type=at_least(0), metavar="N", help=shown)


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
    add("--frames", type=at_least(2), default=120, metavar="N", help=length)
    add(
        "--objects",
        type=at_least(1, MAX_OBJECTS),
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
    add_shared(parser, several=True)


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
    add("--workers", type=at_least(1), metavar="N", help="clips at a time (default: 1 for every 4 cores)")
    ray = "use a Ray cluster whose machines see the same folders (without ADDRESS: this machine alone)"
    add("--ray", nargs="?", const="", metavar="ADDRESS", help=ray)
    add_shared(parser)


def add_shared(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Options that all running commands share.  several: comma-separated values to compare, as in bench."""
    note = "; several, separated by commas, are compared" if several else ""

    def kind(value: Callable) -> Callable:
        return list_of(value) if several else value

    def default(value):
        return [value] if several else value

    add = parser.add_argument_group("network and memory").add_argument
    names = "compact, paper:PATH or PATH" + (
        "; paper or random:NAME: untrained, for its speed" if several else ""
    )
    add("--weights", default=default("compact"), type=kind(str), metavar="W", help=f"{names}{note}")
    usual = MemoryConfig.preset
    table = " · ".join(f"{name}: {preset.keeps}" for name, preset in PRESETS.items())
    presets = f"{table} (default: {usual}){note}"
    add("--memory", default=default(usual), type=kind(one_of(PRESETS)), metavar="PRESET", help=presets)
    add(
        "--budget-mb",
        type=megabytes,
        metavar="N",
        help="most MB that stored frames and reading them take, where there is a limit (default: 64), "
        f"which holds {MemoryConfig.capacity} frames, or the prompted ones and the previous",
    )
    add("--every", type=at_least(1), metavar="N", help="store one frame in N (default: 5)")
    add("--top-k", type=at_least(1), metavar="K", help="read only the K best matches (default: all)")
    if several:
        add(
            "--size",
            type=kind(frame_size),
            default=[(480, 854)],
            metavar="HxW",
            help=f"size of the clip{note}",
        )
    else:
        add(
            "--size",
            type=at_least(16),
            metavar="SHORT_SIDE",
            help="short side that the network sees, in pixels",
        )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: the GPU where there is one")
    add(
        "--dtype",
        default=default("auto"),
        type=kind(one_of(DTYPES)),
        metavar="T",
        help=f"{', '.join(DTYPES)}{note}",
    )


def memory_config(args: argparse.Namespace, preset: str) -> MemoryConfig:
    """The memory that the options ask for."""
    budget = None if args.budget_mb is None else int(args.budget_mb * 2**20)
    given = {"every": args.every, "top_k": args.top_k, "budget_bytes": budget}
    return MemoryConfig(preset=preset, **{name: value for name, value in given.items() if value is not None})


def video_limits(args: argparse.Namespace) -> VideoLimits:
    """The limits that the options ask for; 0 means none."""
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(VideoLimits)}
    return VideoLimits(**{name: value or None for name, value in given.items() if value is not None})


def shared_words(args: argparse.Namespace) -> list[str]:
    """The shared options as words of a command line again."""
    given = {name: getattr(args, name) for name in SHARED}
    return [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]
