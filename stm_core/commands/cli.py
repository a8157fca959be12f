"""The commands `segment`, `look`, `compare`, `evaluate`, `bench`, `batch`, `export` and `train`.

Only this file and `inside.py` print results.  torch loads when a command needs it.

Exit codes: 0 done; 2 a caller's mistake, explained in one line on stderr; 130 interrupted, what was finished
is kept; 70 a fault of ours, with one line on stderr to report.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stm_core.commands import inside, option_values, options
from stm_core.commands.inputs import model as _model
from stm_core.commands.inputs import opened
from stm_core.commands.inputs import progress as _progress
from stm_core.commands.shared_options import memory_config, shared_words
from stm_core.errors import OptionError
from stm_core.faults import DONE, FAULT, INTERRUPTED, MISTAKE, tell

PROGRAM = "stm_core"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.  STM_DEBUG=1 adds the traceback of a fault of ours."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    code = _run(argv)
    try:
        print(end="", flush=True)  # Python itself would do it at exit, and answer an error with a traceback
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what could not be written
        if code == DONE and not isinstance(error, BrokenPipeError):
            return tell(PROGRAM, OSError(error.errno, error.strerror, "the output"))
    return code


def _run(argv: list[str]) -> int:
    try:
        args = build_parser(with_training=argv[:1] == ["train"]).parse_args(option_values.split_clicks(argv))
        return args.run(args)
    except SystemExit as end:  # the help was asked for and printed
        return int(end.code or DONE)
    except KeyboardInterrupt:
        return _say("interrupted; what was finished is kept", INTERRUPTED)
    except BrokenPipeError:  # the program that read our output has ended, as `head` does
        return DONE
    except Exception as error:
        return tell(PROGRAM, error)


def _say(what: object, code: int = MISTAKE) -> int:
    print(f"{PROGRAM}: {' '.join(str(what).split())}", file=sys.stderr)
    return code


def build_parser(with_training: bool = False) -> argparse.ArgumentParser:
    """The parser of all commands.

    with_training: also the options of `train`.  They need torch, which takes seconds to load.
    """
    parser = options.Parser(
        prog="stm_core", description="Follow objects through a video with a space-time memory."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=options.Parser)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], add_options: Callable | None = None
    ) -> argparse.ArgumentParser:
        summary = (run.__doc__ or name).splitlines()[0].rstrip(".")
        child = commands.add_parser(name, help=summary[0].lower() + summary[1:], description=run.__doc__)
        child.set_defaults(run=run)
        if add_options is not None:
            add_options(child)
        return child

    command("segment", _segment, options.add_segment)
    command("look", inside.look, options.add_look)
    command("compare", inside.compare, options.add_compare)
    command("evaluate", _evaluate, options.add_evaluate)
    command("bench", _bench, options.add_bench)
    command("batch", _batch, options.add_batch)
    command("export", _export, options.add_export)
    train = command("train", _train)
    if with_training:
        from stm_core.commands import train as training_cli

        training_cli.add_arguments(train)
    return parser


def _segment(args: argparse.Namespace) -> int:
    """Segment a clip from masks or clicks; writes DIR/masks/*.png, DIR/overlay.mp4, DIR/report.json."""
    from stm_core.engine.prompts import check_absent
    from stm_core.runs.folder import run_to_folder
    from stm_core.runs.output import check_folder, check_mask, check_results, written_in
    from stm_core.runs.plan import frames_inside

    info, prompts, limits = opened(args)
    check_folder(args.out, args.clip)
    check_mask(args.out, args.mask, args.prompt_frame or 0)
    check_results(written_in(args.out), prompts)  # before the model loads
    ranges = options.absent_ranges(args)
    check_absent(ranges, prompts)
    model, memory = _model(args), memory_config(args, args.memory)
    with _progress(len(frames_inside(info.frames, args.part))) as bar:
        report = run_to_folder(
            *(model, info, prompts, args.out),
            memory=memory,
            size=args.size,
            absent=ranges,
            part=args.part,
            limits=limits,
            on_frame=lambda step: bar.update(),
        )
    for warning in report["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    speed = f"{report['fps']:.1f} frames/s"
    print(f"{report['frames_out']} masks, overlay.mp4 and report.json in {args.out} ({speed})")
    return DONE


def _evaluate(args: argparse.Namespace) -> int:
    """Segment DAVIS sequences from their first mask and score them.

    Writes DIR/masks/SEQ/*.png and DIR/scores.json with J and F.
    """
    from stm_core.runs.evaluate import check_out, evaluate, find_sequences

    sequences = find_sequences(args.root, args.year, args.set, args.sequences)
    check_out(args.out, sequences)  # before the model loads
    model, memory = _model(args), memory_config(args, args.memory)
    with _progress(sum(len(sequence.frames) for sequence in sequences)) as bar:
        scores = evaluate(
            *(model, sequences, args.out), year=args.year, memory=memory, size=args.size, on_frame=bar.update
        )
    for name, one in scores["sequences"].items():
        print(f"{name:24} J {one['J']:.3f}  F {one['F']:.3f}")
    mean = f"J {scores['J']['mean']:.3f}  F {scores['F']['mean']:.3f}  J&F {scores['J&F']:.3f}"
    print(f"{'all':24} {mean}  {scores['fps']:.1f} frames/s")
    return DONE


def _bench(args: argparse.Namespace) -> int:
    """Measure speed and memory on a made-up clip; prints a Markdown table."""
    from stm_core.media.written import sealed
    from stm_core.runs.bench import bench, combinations
    from stm_core.runs.bench_table import markdown
    from stm_core.runs.output import check_named, write_named

    if args.json and args.json.is_dir():
        raise OptionError(f"--json {args.json} is a folder; give the name of a file")
    if args.json and not args.json.absolute().parent.is_dir():
        raise OptionError(
            f"--json {args.json} cannot be written: there is no folder {args.json.parent}; make it"
        )
    check_named(args.json)
    memories = [memory_config(args, preset) for preset in args.memory]
    same = {
        "frames": args.frames,
        "objects": args.objects,
        "device": args.device,
        "with_files": args.with_files,
    }
    cases = combinations(args.weights, args.size, args.dtype, args.engine, memories, **same)
    if args.profile:
        return _profile(cases, args.json)
    rows: list[dict] = []
    try:
        with _progress(len(cases) * args.frames) as bar:
            for row in bench(cases, on_frame=bar.update):
                rows.append(row)
    finally:  # also what was measured before an interrupt
        if rows:
            print(markdown(rows))
        if rows and args.json:
            write_named(args.json, sealed(rows))
    failed = [row for row in rows if "error" in row]
    return _failed(failed, f"{len(failed)} of {len(rows)} cases failed") if failed else DONE


def _failed(rows: list[dict], what: str) -> int:
    """Print what failed and the first error; returns the exit code, which shows a fault of ours."""
    faults = [row for row in rows if row.get("fault")]
    first = (faults or rows)[0]
    name = f"{first['name']}: " if "name" in first else ""
    return _say(f"{what}; {name}{first['error']}", FAULT if faults else MISTAKE)


def _profile(cases: list, out: Path | None) -> int:
    from stm_core.media.written import sealed
    from stm_core.runs.bench_case import model_of
    from stm_core.runs.output import write_named
    from stm_core.runs.profile import markdown, profile

    if len(cases) > 1:
        raise OptionError(f"--profile measures one case, got {len(cases)}; give one value for each option")
    case = cases[0]
    rows = profile(model_of(case), case.size, case.memory, frames=case.frames, objects=case.objects)
    print(markdown(rows))
    if out:
        write_named(out, sealed(rows))
    return DONE


def _batch(args: argparse.Namespace) -> int:
    """Segment every clip of a list, each in a process of its own; run it again to finish what is missing."""
    from stm_core.runs.batch import SUMMARY, run_batch

    clips = run_batch(args.list, args.out, shared_words(args), workers=args.workers, ray_address=args.ray)
    failed = [clip for clip in clips if clip["status"] != "done"]
    print(f"{len(clips) - len(failed)} of {len(clips)} clips done, summary in {args.out / SUMMARY}")
    if failed:
        return _failed(failed, f"{len(failed)} of {len(clips)} clips failed")
    return DONE


def _export(args: argparse.Namespace) -> int:
    """Write a finished run in formats that other programs read, each to a folder DIR/FORMAT."""
    from stm_core.export.finished_run import read_result
    from stm_core.export.registry import formats_of
    from stm_core.export.writing import export
    from stm_core.runs.output import check_folder

    formats, chosen = formats_of(args.format), options.export_options(args)
    result = read_result(args.folder, args.clip)
    check_folder(args.out, result.clip.path if result.clip else args.folder)
    if result.clip is None and any(one.clip == "beside" for one in formats):
        print("warning: the clip is not where the report says; its pictures are left out", file=sys.stderr)
    warnings: list[str] = []
    with _progress(None) as bar:
        for _ in export(result, formats, args.out, chosen, warnings):
            bar.update()
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{len(result.frames)} frames as {', '.join(one.name for one in formats)} in {args.out}")
    return DONE


def _train(args: argparse.Namespace) -> int:
    """Train the compact network."""
    from stm_core.commands import train as training_cli

    return training_cli.run(args) or DONE
