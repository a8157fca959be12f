"""Tools around training: `python -m stm_core.commands.training_tools --help` names them."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stm_core.commands.option_values import number, whole_number
from stm_core.commands.options import Parser
from stm_core.commands.signals import interrupted, take_interrupts
from stm_core.errors import OptionError
from stm_core.faults import DONE, tell

NAME = "training_tools"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one tool and return the exit code, as for the commands."""
    try:
        args = _parser().parse_args(argv)
        args.run(args)
    except Exception as error:
        return tell(NAME, error)
    return DONE


def _parser() -> Parser:
    parser = Parser(prog=f"stm_core.commands.{NAME}", description="Tools around the training of compact.")
    tools = parser.add_subparsers(metavar="TOOL", required=True, parser_class=Parser)

    def tool(name: str, run: Callable[[argparse.Namespace], None]) -> Callable:
        child = tools.add_parser(name, help=run.__doc__, description=run.__doc__)
        child.set_defaults(run=run)
        return child.add_argument

    add = tool("choose", _choose)
    add("davis", type=Path, metavar="DAVIS_ROOT", help="DAVIS root with clips that training never saw")
    add("weights", nargs="+", metavar="WEIGHTS", help="compact, or files")
    add("--images", type=Path, nargs="+", default=[], metavar="DIR", help="folders as for training")
    for name, run in (("clicks", _clicks), ("boxes", _boxes)):
        add = tool(name, run)
        add("folders", type=Path, nargs="+", metavar="DIR", help="DAVIS root, or one with images/ and masks/")
        add("--weights", default="compact", help="compact, or a file")
        add("--all", action="store_true", help="every picture of images/, not only what training left out")
        add("--every", type=whole_number(1), default=10, metavar="N", help="use each n-th (default: 10)")
    add = tool("corrections", _corrections)
    add("davis", type=Path, metavar="DAVIS_ROOT", help="DAVIS root with clips that training never saw")
    add("--weights", default="compact", help="compact, or a file")
    for name, run in (("crossings", _crossings), ("starts", _starts)):
        add = tool(name, run)
        add("davis", type=Path, metavar="DAVIS_ROOT", help="DAVIS root with clips that training never saw")
        add("weights", nargs="*", default=["compact"], metavar="WEIGHTS", help="compact (default), or files")
    add = tool("review", _review)
    add("clips", type=Path, nargs="+", metavar="CLIP", help="DAVIS root, or NAME.mp4 beside NAME_masks.zip")
    add("--weights", default="compact", help="compact, or a file")
    add("--size", type=whole_number(16), metavar="SHORT_SIDE", help="most pixels of the short side")
    add = tool("mean", _mean)
    add("files", nargs="+", metavar="FILE=SHARE", help="weights; FILE alone has share 1")
    add("--out", type=Path, required=True, metavar="FILE", help="where the mean goes")
    add = tool("shards", _shards)
    add("folders", type=Path, nargs="+", metavar="DIR", help="folders for --images or --videos of training")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for shard00.zip ...")
    add("--mb", type=number(1), default=60, metavar="N", help="largest size of a ZIP, MB (default: 60)")
    return parser


def _choose(args: argparse.Namespace) -> None:
    """Compare weights on clips that training left out, as a Markdown table."""
    from stm_core.commands.choose import compare, compare_short
    from stm_core.runs.evaluate import find_sequences
    from stm_core.training.measure.left_out import LeftOut

    compare(find_sequences(args.davis, 2016, "val"), args.weights)
    if args.images:
        compare_short(LeftOut(args.images, args.davis), args.weights)


def _examples(args: argparse.Namespace) -> list:
    """(picture, truth) of all folders.  Raises OptionError when there is none."""
    from stm_core.training.measure.click_score import read_examples

    examples = [
        pair for folder in args.folders for pair in read_examples(folder, args.every, everything=args.all)
    ]
    if not examples:
        folders = ", ".join(map(str, args.folders))
        raise OptionError(f"no picture that training left out shows an object in {folders}; try --all")
    return examples


def _boxes(args: argparse.Namespace) -> None:
    """Score masks from the box around each object, as a Markdown table."""
    from stm_core.training.measure.click_score import BOX_COLUMNS, score_boxes

    examples = _examples(args)
    row = score_boxes(examples, args.weights)
    print(f"{len(examples)} pictures\n\n| {' | '.join(BOX_COLUMNS)} |\n|{'---|' * len(BOX_COLUMNS)}")
    print(f"| {' | '.join(f'{row[column]:.3f}' for column in BOX_COLUMNS)} |")


def _clicks(args: argparse.Namespace) -> None:
    """Score masks from clicks, as a Markdown table with a row per method."""
    from stm_core.training.measure.click_score import COLUMNS, methods, score

    examples = _examples(args)
    print(f"{len(examples)} pictures\n\n| method | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for name, segmenter in methods(args.weights).items():
        row = score(examples, segmenter)
        print(f"| {name} | {' | '.join(f'{row[column]:.3f}' for column in COLUMNS)} |", flush=True)


def _corrections(args: argparse.Namespace) -> None:
    """Score clicks on masks that runs got wrong, as a Markdown table."""
    from stm_core.networks.weights import load_model
    from stm_core.training.measure.click_score import by_network
    from stm_core.training.measure.repairs import COLUMNS, score_corrections

    row = score_corrections(load_model(args.weights), _clips(args.davis), by_network(args.weights))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    print(f"| {' | '.join(f'{row[column]:.3g}' for column in COLUMNS)} |")


def _crossings(args: argparse.Namespace) -> None:
    """Score objects that pass in front of each other, as a Markdown table with a row per kind."""
    from stm_core.networks.weights import load_model
    from stm_core.training.measure.crossings import COLUMNS, score_crossings

    clips = _clips(args.davis)
    print(f"| weights | in front | {' | '.join(COLUMNS)} |\n|---|---|{'---|' * len(COLUMNS)}")
    for file in args.weights:
        for kind, row in score_crossings(load_model(file), clips):
            cells = " | ".join(f"{row[column]:.3g}" for column in COLUMNS)
            print(f"| {Path(file).name} | {kind} | {cells} |", flush=True)


def _starts(args: argparse.Namespace) -> None:
    """Score clips tracked from the first mask and from clicks instead, as a Markdown table."""
    from stm_core.networks.weights import load_model
    from stm_core.training.measure.starts import STARTS, score_starts

    clips = _clips(args.davis)
    print(f"| weights | {' | '.join(STARTS)} |\n|---|{'---|' * len(STARTS)}")
    for file in args.weights:
        row = score_starts(load_model(file), clips)
        print(f"| {Path(file).name} | {' | '.join(f'{one:.1f}' for one in row)} |", flush=True)


def _clips(davis: Path) -> list[tuple[Path, list]]:
    """(folder of pictures, true masks) of the clips that training left out."""
    from stm_core.runs.evaluate import find_sequences, read_truth

    found = find_sequences(davis, 2016, "val")
    return [(one.folder, [read_truth(path, 2016) for path in one.annotations]) for one in found]


def _review(args: argparse.Namespace) -> None:
    """Count the wrong frames that the review queue finds, as a Markdown table."""
    from stm_core.networks.weights import load_model
    from stm_core.runs.review_score import COLUMNS, clips_of, counted, tracked

    model, total = load_model(args.weights), [0] * len(COLUMNS)
    print(f"| clip | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for clip in clips_of(args.clips):
        row = counted(*tracked(model, clip, args.size))
        total = [a + b for a, b in zip(total, row, strict=True)]
        print(f"| {clip.name} | {' | '.join(map(str, row))} |", flush=True)
    print(f"| all | {' | '.join(map(str, total))} |")


def _mean(args: argparse.Namespace) -> None:
    """Write the mean of weight files."""
    from stm_core.training.fit.mean import mean

    print(f"{args.out}: SHA-256 {mean(dict(map(_share, args.files)), args.out)}")


def _share(text: str) -> tuple[Path, float]:
    """FILE=SHARE as a path and a number; FILE alone has 1.  Raises OptionError."""
    file, mark, share = text.rpartition("=")
    if not mark:
        return Path(text), 1.0
    try:
        value = float(share)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise OptionError(f"the share in {text!r} is {share!r}; give FILE=SHARE with a number above 0")
    return Path(file), value


def _shards(args: argparse.Namespace) -> None:
    """Pack training data into ZIPs of limited size."""
    from stm_core.training.data.shards import pack

    for path in pack(args.folders, args.out, int(args.mb * 2**20)):
        print(path, f"{path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    take_interrupts(NAME)
    try:
        code = main()
    except KeyboardInterrupt:
        code = interrupted(NAME)
    sys.exit(code)
