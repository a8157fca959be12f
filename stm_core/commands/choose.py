"""Which weights to keep: tables that compare weight files on clips that training never saw.

A few clips say little when they are played in one way only.  For a tracker, the same clip is another one
backwards, in large steps, from the middle, or smaller.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stm_core.networks.weight_files import bundled_file, read_compact
from stm_core.networks.weights import load_model
from stm_core.runs.evaluate import Sequence, evaluate, find_sequences, read_truth
from stm_core.training.measure.ahead import GAPS, ahead
from stm_core.training.measure.left_out import MEASURES, LeftOut

WAYS: dict[str, Callable[[tuple], tuple]] = {  # name -> which of a clip's frames are played
    "forwards": lambda frames: frames,
    "backwards": lambda frames: frames[::-1],
    "every third": lambda frames: frames[::3],
    "every third, backwards": lambda frames: frames[::-3],
    "from the middle": lambda frames: frames[len(frames) // 2 :],
    "from the middle, backwards": lambda frames: frames[len(frames) // 2 :: -1],
}
SMALL, LARGE = 320, 480  # short side
RUNS = [("forwards", SMALL), ("backwards", SMALL), *((way, LARGE) for way in WAYS)]


def played(sequences: list[Sequence], way: str, root: Path) -> list[Sequence]:
    """The clips as `way` plays them.

    They are links in a DAVIS layout under `root`, a folder that must not exist yet.
    """
    for sequence in sequences:
        paths = WAYS[way](sequence.frames), WAYS[way](sequence.annotations)
        for folder, chosen in zip(new_folders(root, sequence.name), paths, strict=True):
            for index, path in enumerate(chosen):
                (folder / f"{index:05d}{path.suffix}").symlink_to(path.resolve())
    return find_sequences(root, 2016, "val")


def new_folders(root: Path, name: str) -> tuple[Path, Path]:
    """New folders for the pictures and the true masks of a clip, in a DAVIS layout."""
    pictures, truths = (root / kind / "480p" / name for kind in ("JPEGImages", "Annotations"))
    pictures.mkdir(parents=True)
    truths.mkdir(parents=True)
    return pictures, truths


def compare(sequences: list[Sequence], files: list[str]) -> None:
    """Print a table with a row per file: J&F of each run, their mean, and J&F shortly after a true mask."""
    with tempfile.TemporaryDirectory() as folder:
        clips = {way: played(sequences, way, Path(folder) / way) for way in WAYS}
        columns = [*(f"{way} ({size})" for way, size in RUNS), "mean", *(f"{gap} ahead" for gap in GAPS)]
        print("| weights | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
        for file in files:
            model, found = load_model(file, engine="torch"), []  # int8 only some files have
            print(f"| {Path(file).name} | ", end="", flush=True)
            for way, size in RUNS:
                scores = evaluate(model, clips[way], Path(folder) / "out", year=2016, size=size)
                found.append(100 * scores["J&F"])
                print(f"{found[-1]:.1f} | ", end="", flush=True)
            short = [100 * ahead(model, sequences, gap, _truth) for gap in GAPS]
            print(f"{sum(found) / len(found):.2f} | " + " | ".join(f"{one:.1f}" for one in short) + " |")


def _truth(path: Path) -> np.ndarray:
    return read_truth(path, 2016)


def compare_short(left_out: LeftOut, files: list[str]) -> None:
    """Print a table with a row per file: overlaps on clips made from the photos that training left out."""
    print(f"\n{len(left_out.photos)} photos, overlap:\n")
    print("| weights | " + " | ".join(MEASURES) + " |\n|---|" + "---|" * len(MEASURES))
    for file in files:
        network = read_compact(bundled_file()[0] if file == "compact" else Path(file))
        overlaps = left_out.overlaps(network)
        print(f"| {Path(file).name} | " + " | ".join(f"{overlap:.3f}" for overlap in overlaps) + " |")
