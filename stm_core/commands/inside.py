"""The commands that show what the memory does: `look`, and `compare`."""

from __future__ import annotations

import argparse

from stm_core.commands.inputs import model, opened, progress
from stm_core.commands.shared_options import memory_config
from stm_core.faults import DONE


def look(args: argparse.Namespace) -> int:
    """Show where a pixel of a frame looks in memory; writes DIR/weights.npz, DIR/look.json, DIR/look.png."""
    from stm_core.runs.look_picture import look_words, seen_words
    from stm_core.runs.look_run import check_look, look_clip, write_look

    info, prompts, limits = opened(args)
    written = check_look(args.out, args.clip)
    network, memory = model(args), memory_config(args, args.memory)
    with progress(args.frame + 1) as bar:
        found = look_clip(
            *(network, info, prompts, args.frame, args.at),
            memory=memory,
            size=args.size,
            limits=limits,
            on_frame=bar.update,
        )
    write_look(found, written)
    print(look_words(found.look))
    for seen in found.look.stored:
        print(f"  {seen_words(seen)}")
    print(f"weights.npz, look.json and look.png in {args.out}")
    return DONE


def compare(args: argparse.Namespace) -> int:
    """Compare memories, sizes or networks on a clip; writes DIR/compare.json, compare.md and compare.mp4."""
    from stm_core.networks.weights import load_model
    from stm_core.runs.compare import check_compare, read_truth, write_compare
    from stm_core.runs.compare import compare as run_all
    from stm_core.runs.compare_cases import cases_of, with_reference

    info, prompts, limits = opened(args)
    written = check_compare(args.out, args.clip)
    how = {"device": args.device, "dtype": args.dtype, "engine": args.engine}
    varied = {
        "presets": args.presets,
        "sizes": args.sizes,
        "budgets_mb": args.budgets_mb,
        "networks": {name: load_model(name, **how) for name in args.networks},
    }
    cases = with_reference(cases_of(**varied), args.truth is not None)
    size = info.height, info.width
    truth = read_truth(args.truth, size, info.frames, limits) if args.truth else None
    network, memory = model(args), memory_config(args, args.memory)
    with progress(len(cases) * info.frames) as bar:
        found = run_all(
            *(network, info, prompts),
            **varied,
            truth=truth,
            memory=memory,
            size=args.size,
            limits=limits,
            on_frame=bar.update,
        )
    write_compare(found, written, limits)
    print(found.markdown)
    print(f"compare.json, compare.md and compare.mp4 in {args.out}")
    return DONE
