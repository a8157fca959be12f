"""Time STM, XMem and Cutie beside ours, on one clip and the same cores; prints a Markdown table.

    python assets/time_peers.py CLIP FIRST.png --truth MASKS \\
        --stm STM STM_weights.pth --xmem XMem XMem.pth --cutie Cutie cutie-small-mega.pth

CLIP is a folder of frames or a film, FIRST.png the mask of its first frame. Each peer is a checkout that you
have, with its weights and with its requirements installed; nothing of it is part of this project, and a peer
that is not given has a row that says what to give. Each runs in a process of its own, on the CPU.
"""

import argparse
import os
import sys
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from assets.peers import PEERS, Peer, Step
from stm_core.engine.prompts import Prompt
from stm_core.engine.propagate import Propagator
from stm_core.errors import OptionError
from stm_core.faults import DONE, tell
from stm_core.incoming.masks import read_masks
from stm_core.masks.mask_files import object_ids, read_mask
from stm_core.masks.metrics import evaluate_masks
from stm_core.media.limits import NO_LIMITS
from stm_core.media.video import probe, read_video
from stm_core.networks.weights import load_model
from stm_core.runs.bench_case import WARM_UP
from stm_core.runs.machine import in_words, machine
from stm_core.runs.own_process import in_own_process
from stm_core.runs.report import peak_rss_bytes


@dataclass(frozen=True)
class Job:
    """One row: a clip with the mask of its first frame, and who follows it.

    truth: the true masks, by frame; None: no J.
    peer: with its checkout and weights; None: ours.
    """

    clip: Path
    mask: Path
    truth: Path | None
    peer: tuple[Peer, Sequence[Path]] | None


def follow(job: Job) -> dict:
    """Seconds of a frame, frames a second, peak of this process in bytes, and J where there is truth."""
    info = probe(job.clip, limits=NO_LIMITS)
    size = info.height, info.width
    labels = read_mask(job.mask, size=size, limits=NO_LIMITS)
    seconds: list[float] = []
    score = None
    with torch.inference_mode(), redirect_stdout(sys.stderr), read_video(info, NO_LIMITS) as frames:
        found = steps(start(job, labels), frames, seconds)
        if job.truth is not None:
            true = (one for _, one in read_masks(job.truth, size, info.frames, NO_LIMITS))
            score = evaluate_masks(found, true, drop_ends=True)["J"]["mean"]
        for _ in found:  # no truth
            pass
    steady = seconds[WARM_UP:] or seconds
    return {
        "median": float(np.median(steady)),
        "fps": len(steady) / sum(steady),
        "peak": peak_rss_bytes(),
        "J": score,
    }


def steps(step: Step, frames: Iterable[np.ndarray], seconds: list[float]) -> Iterator[np.ndarray]:
    """The labels of each frame; the seconds that each took are added to `seconds`."""
    for image in frames:
        begin = time.perf_counter()
        labels = step(image)
        seconds.append(time.perf_counter() - begin)
        yield labels


def start(job: Job, labels: np.ndarray) -> Step:
    """What takes the frames one after the other, ready to begin; its labels have the numbers of `labels`."""
    if job.peer is None:
        return start_ours(labels)
    peer, (checkout, weights) = job.peer
    ids = np.array([0, *object_ids(labels)], np.uint8)
    sys.path.insert(0, str(checkout))
    with blaming(peer):
        step = peer.start(checkout, weights, np.searchsorted(ids, labels).astype(np.uint8))

    def told(image: np.ndarray) -> np.ndarray:
        with blaming(peer):
            return ids[step(image)]

    return told


@contextmanager
def blaming(peer: Peer) -> Iterator[None]:
    """Turn whatever the code of a peer raises into an OptionError."""
    try:
        yield
    except Exception as error:  # code that is not ours may raise anything
        lines = str(error).strip().splitlines() or ["no message"]
        raise OptionError(
            f"{peer.name} did not run: {type(error).__name__}: {lines[0]}; install what {peer.repository} "
            "requires, and give the weights that belong to it"
        ) from error


def start_ours(labels: np.ndarray) -> Step:
    """The bundled network with the memory that commands and page use."""
    engine = Propagator(load_model("compact", device="cpu"))
    prompts, indices = [Prompt.from_mask(labels)], count()

    def step(image: np.ndarray) -> np.ndarray:
        found = engine.step(next(indices), image, prompts)
        prompts.clear()
        return found.labels

    return step


def missing(peer: Peer, given: Sequence[Path]) -> str | None:
    """What to give for a peer, in one sentence; None when all is there."""
    what = f"give --{peer.option} CHECKOUT WEIGHTS, a checkout of {peer.repository} and its weights"
    if not given:
        return f"not timed; {what}"
    checkout, weights = given
    if not (checkout / peer.entry).is_file():
        return f"{checkout} has no {peer.entry}; {what}"
    return None if weights.is_file() else f"there is no file {weights}; {what}"


def table(rows: Iterable[tuple[str, dict]]) -> Iterator[str]:
    """The lines of the table, each as soon as its row is measured."""
    yield "| | ms a frame | frames/s | process MiB | J |"
    yield "|---|---|---|---|---|"
    for name, row in rows:
        if "error" in row:
            yield f"| {name} | {row['error']} | | | |"
            continue
        score = "" if row["J"] is None else f"{100 * row['J']:.1f}"
        figures = f"{1000 * row['median']:.0f} | {row['fps']:.2f} | {row['peak'] / 2**20:.0f}"
        yield f"| {name} | {figures} | {score} |"


def measured(args: argparse.Namespace) -> Iterator[tuple[str, dict]]:
    """Name and row of ours, then of every peer."""
    clip = args.clip.resolve(), args.mask.resolve(), args.truth.resolve() if args.truth else None
    yield "ours", in_own_process(follow, Job(*clip, None))
    for peer in PEERS:
        given = [path.resolve() for path in getattr(args, peer.option) or ()]
        error = missing(peer, given)
        yield peer.name, {"error": error} if error else in_own_process(follow, Job(*clip, (peer, given)))


def run(args: argparse.Namespace) -> None:
    """Print the table.  Raises StmError when clip, mask or truth cannot be used."""
    info = probe(args.clip, limits=NO_LIMITS)
    size = info.height, info.width
    read_mask(args.mask, size=size, limits=NO_LIMITS)
    if args.truth and not args.truth.exists():
        raise OptionError(
            f"there is no {args.truth}; give --truth the true masks of the clip, or leave it out"
        )
    for line in table(measured(args)):
        print(line, flush=True)
    print(f"\n{info.frames} frames of {info.width}x{info.height}; {in_words(machine())}")


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, metavar="CLIP")
    parser.add_argument("mask", type=Path, metavar="FIRST.png")
    parser.add_argument("--truth", type=Path, metavar="MASKS", help="the true mask of each frame, for J")
    for peer in PEERS:
        two = {"type": Path, "nargs": 2, "metavar": ("CHECKOUT", "WEIGHTS")}
        parser.add_argument(f"--{peer.option}", **two, help=f"of {peer.repository}")
    args = parser.parse_args(argv)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # STM would use it; heeded by the processes that start from here
    try:
        run(args)
    except Exception as error:
        return tell("time_peers", error)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
