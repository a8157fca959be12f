"""The options of every command, and the values they give.  Nothing here runs a command or imports torch."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

from stm_core.commands.flags import add_flags, made_from
from stm_core.commands.option_values import (
    absent,
    erased,
    folder,
    frame_size,
    limit,
    list_of,
    number,
    one_of,
    part,
    pixel,
    whole_number,
)
from stm_core.commands.shared_options import add_shared
from stm_core.errors import OptionError
from stm_core.export.order import Options
from stm_core.export.registry import FORMATS
from stm_core.incoming.masks import SPARSE
from stm_core.masks.palette import MAX_OBJECTS
from stm_core.media.limits import VideoLimits
from stm_core.memory.policy import PRESETS

SEVERAL = "; several, separated by commas, are compared"


class Parser(argparse.ArgumentParser):
    """A parser that raises a mistake as an OptionError of one line.  Options must be written out in full."""

    def __init__(self, **given: Any):
        super().__init__(**given, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        program = self.prog if self.prog.endswith(".py") else f"-m {self.prog}"
        raise OptionError(f"{message}; see `python {program} --help`")


def add_segment(parser: argparse.ArgumentParser) -> None:
    """Options of `segment`."""
    parser.add_argument(
        "--absent",
        action="append",
        type=absent,
        metavar="OBJECT:FIRST-LAST",
        default=[],
        help="the object is not in the picture on these frames, FIRST and LAST included; may be given "
        "several times",
    )
    parser.add_argument(
        "--part",
        type=part,
        metavar="FIRST-LAST",
        help="track only these frames, FIRST and LAST included; masks keep the numbers of their frames",
    )
    _add_clip(parser, "folder for masks, overlay and report")


def add_look(parser: argparse.ArgumentParser) -> None:
    """Options of `look`."""
    add = parser.add_argument
    add("--frame", type=whole_number(0), required=True, metavar="T", help="the frame of the pixel, from 0")
    add("--at", type=pixel, required=True, metavar="X,Y", help="the pixel, on the upright frame")
    _add_clip(parser, "folder for weights.npz, look.json and look.png")


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Options of `compare`."""
    add = parser.add_argument
    add(
        "--presets",
        type=list_of(one_of(PRESETS)),
        metavar="A,B",
        help=f"some of {', '.join(PRESETS)}; together with --sizes, --budgets-mb and --networks one to five "
        "runs (default: every preset, if nothing else is compared)",
    )
    sides = list_of(whole_number(16))
    add("--sizes", type=sides, default=[], metavar="A,B", help="most pixels of the short side, of each run")
    bounds = list_of(number(0.1))
    add(
        "--budgets-mb", type=bounds, default=[], metavar="A,B", help="memory limits in MB, as for --budget-mb"
    )
    add("--networks", type=list_of(str), default=[], metavar="W,W", help="weights, each as for --weights")
    add(
        "--truth",
        type=Path,
        metavar="MASKS",
        help="true masks: a folder of PNGs named by frame (00000.png), or masks of other programs as for "
        "--prompts; without them the runs are compared with every-5",
    )
    _add_clip(parser, "folder for compare.json, compare.md and compare.mp4")


def _add_clip(parser: argparse.ArgumentParser, out: str) -> None:
    """A clip, its prompts, the folder of results (`out` is its help text), and how the clip is segmented."""
    add = parser.add_argument
    add("clip", metavar="CLIP", type=Path, help="video file, or folder or ZIP of pictures, sorted by name")
    add("--mask", type=Path, metavar="FIRST.png", help="mask of the prompted frame: a picture of its size")
    add(
        "--click",
        action="append",
        metavar="X,Y[,LABEL[,OBJECT]]",
        default=[],
        help="a pixel of the prompted frame; LABEL: 1 object (default), 0 background; OBJECT: counts from 1 "
        "(default: 1); may be given several times",
    )
    add(
        "--prompts",
        action="append",
        metavar="FILE",
        default=[],
        help="masks of other programs, for any frames: COCO JSON, CVAT XML, a folder or ZIP of pictures, a "
        "film, black and white or with alpha; or clicks as [[FRAME,X,Y,LABEL,OBJECT], ...]; may be given "
        "several times, and for a frame in several of them the last one counts",
    )
    add(
        "--all-prompts",
        action="store_true",
        help=f"use every mask of --prompts (default: if more than {SPARSE} frames have masks, only those on "
        "which an object first appears)",
    )
    add(
        "--prompt-frame",
        type=whole_number(0),
        metavar="T",
        help="frame of --mask or --click (default: 0)",
    )
    add(
        "--erased",
        action="append",
        type=erased,
        metavar="OBJECT:FRAME",
        default=[],
        help="the object is missing from the mask of this frame because it is not in the picture there; may "
        "be given several times",
    )
    add("--out", type=folder, required=True, metavar="DIR", help=out)
    add_shared(parser)
    group = parser.add_argument_group(
        "limits of the input", "the defaults protect against broken files; 0: no limit"
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
        help="2016: all objects together are one; 2017: each object by itself",
    )
    add("--set", choices=("val", "train"), required=True, help="the list in ImageSets/YEAR")
    add("--sequences", metavar="a,b", type=list_of(str), default=[], help="only these sequences of it")
    add("--out", type=folder, required=True, metavar="DIR", help="folder for masks and scores.json")
    add_shared(parser)


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Options of `bench`."""
    add = parser.add_argument
    length = (
        "length of the made-up clip (default: 120; from 1010 on, the time at frame 1,000 is measured too)"
    )
    add("--frames", type=whole_number(2), default=120, metavar="N", help=length)
    add(
        "--objects",
        type=whole_number(1, MAX_OBJECTS),
        default=1,
        metavar="K",
        help="objects to follow (default: 1)",
    )
    add("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    add(
        "--with-files",
        action="store_true",
        help="also measure the whole of `segment`, with decoding, masks and overlay",
    )
    add("--profile", action="store_true", help="show instead where the time of a frame goes; one case only")
    _add_compared(parser)


def add_batch(parser: argparse.ArgumentParser) -> None:
    """Options of `batch`."""
    add = parser.add_argument
    add(
        "list",
        metavar="LIST",
        type=Path,
        help="text file with a line per clip: `CLIP --mask M.png` or `CLIP --click X,Y`, and any option of "
        "segment but --out; paths are relative to the list; # begins a comment",
    )
    add("--out", type=folder, required=True, metavar="DIR", help="folder of the results, one folder per clip")
    add("--workers", type=whole_number(1), metavar="N", help="clips at a time (default: 1 for every 4 cores)")
    ray = "use a Ray cluster whose machines see the same folders; without ADDRESS, Ray on this machine alone"
    add("--ray", nargs="?", const="", metavar="ADDRESS", help=ray)
    add_shared(parser)


def add_export(parser: argparse.ArgumentParser) -> None:
    """Options of `export`."""
    add = parser.add_argument
    add(
        "folder",
        metavar="RUN_DIR",
        type=Path,
        help="folder that `segment` wrote, or an unpacked ZIP from the page",
    )
    add(
        "--format",
        nargs="+",
        required=True,
        metavar="NAME",
        help=" · ".join(f"{one.name}: {one.sentence}" for one in FORMATS.values()),
    )
    add(
        "--out",
        type=folder,
        required=True,
        metavar="DIR",
        help="folder of the exports, one folder per format",
    )
    add("--clip", type=Path, metavar="CLIP", help="the clip (default: where the report says it is)")
    add_flags(parser, Options)


def _add_compared(parser: argparse.ArgumentParser) -> None:
    """The shared options as `bench` takes them: several values for some, and the size of a clip."""
    options = add_shared(parser)
    options["weights"].help = f"{options['weights'].help}; paper or random:NAME: untrained, to measure speed"
    size = options["size"]
    size.type, size.default, size.metavar = frame_size, (480, 854), "HxW"
    size.help = "size of the clip (default: 480x854)"
    for name in ("weights", "memory", "size", "dtype", "engine"):
        option = options[name]
        read = cast(Callable, option.type)
        option.type, option.default, option.help = list_of(read), [option.default], f"{option.help}{SEVERAL}"


def absent_ranges(args: argparse.Namespace) -> dict[int, list[tuple[int, int]]]:
    """The ranges of --absent, by object."""
    found: dict[int, list[tuple[int, int]]] = {}
    for object_id, first, last in args.absent:
        found.setdefault(object_id, []).append((first, last))
    return found


def video_limits(args: argparse.Namespace) -> VideoLimits:
    """The limits that the options ask for."""
    return made_from(VideoLimits, args)


def export_options(args: argparse.Namespace) -> Options:
    """How to export, as the options say."""
    return made_from(Options, args)
