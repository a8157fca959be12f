"""Scores on the DAVIS layout: each sequence from its first annotation, then J and F as DAVIS counts them.

Protocol: semi-supervised.  The first frame is given and the last one is not scored, for DAVIS-2017 and
DAVIS-2016 alike (both official evaluations use annotations [1:-1]).  2016: every labelled pixel is one object
(masks are 0/255 there).  2017: objects 1 to the largest id of the first annotation, present or not; 255 is
background, as in davis2017-evaluation, which leaves void out for unsupervised results only.
`mean`, `recall` and `decay` are averaged over all objects of all sequences.
Sources: Perazzi et al., CVPR 2016; Pont-Tuset et al., arXiv 1704.00675.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.errors import DiskError, MaskError, OptionError, VideoError
from stm_core.masks.mask_files import read_labels
from stm_core.masks.metrics import averaged, evaluate_masks
from stm_core.masks.palette import IGNORE
from stm_core.media.limits import NO_LIMITS
from stm_core.media.pictures import PictureList
from stm_core.media.written import Written, as_json
from stm_core.memory.policy import MemoryConfig
from stm_core.runs.clip import segment_clip
from stm_core.runs.output import MASKS, MaskFolder, check_folder, written_in

if TYPE_CHECKING:
    from stm_core.networks.weights import Model

SCORES = "scores.json"


@dataclass(frozen=True)
class Sequence:
    """One clip of a DAVIS folder."""

    name: str
    folder: Path  # JPEGImages/480p/NAME
    frames: tuple[Path, ...]  # sorted
    annotations: tuple[Path, ...]  # of the same frames


def find_sequences(root: Path, year: int, subset: str, names: list[str] | None = None) -> list[Sequence]:
    """The sequences of `ImageSets/YEAR/SUBSET.txt`, or all that are present where that list is missing.

    names: only these.  Raises OptionError when the folder is not laid out as DAVIS, or a sequence is
    incomplete.
    """
    pictures, truths = root / "JPEGImages" / "480p", root / "Annotations" / "480p"
    for folder in (pictures, truths):
        if not folder.is_dir():
            raise OptionError(
                f"{root} is not a DAVIS folder: {folder} is missing; give the folder that holds "
                "JPEGImages/480p and Annotations/480p"
            )
    listing = root / "ImageSets" / str(year) / f"{subset}.txt"
    if listing.is_file():
        known = _listed(listing)
    else:
        known = sorted(path.name for path in pictures.iterdir() if path.is_dir())
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise OptionError(
            f"sequence {unknown[0]} is not in {listing if listing.is_file() else pictures}; "
            f"choose from {', '.join(known[:5])}{' ...' if len(known) > 5 else ''}"
        )
    if not known:
        raise OptionError(
            f"there is no sequence in {listing if listing.is_file() else pictures}; add one, or choose "
            "another --set"
        )
    return [_sequence(pictures / name, truths / name) for name in known if not names or name in names]


def _listed(listing: Path) -> list[str]:
    """The names in a list of sequences.  Raises OptionError when it cannot be read."""
    try:
        return listing.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            f"the list {listing} cannot be read: {error}; save it as UTF-8 text, one sequence a line"
        ) from error


def _sequence(pictures: Path, truths: Path) -> Sequence:
    if not pictures.is_dir():
        raise OptionError(
            f"sequence {pictures.name} has no folder {pictures}; complete the data or leave it out "
            "with --sequences"
        )
    with closing(PictureList(pictures, NO_LIMITS)) as listed:  # the order in which they will be read
        frames = [pictures / name for name in listed.names]
    annotations = [truths / f"{path.stem}.png" for path in frames]
    missing = [path for path in annotations if not path.is_file()]
    if len(frames) < 3 or missing:
        what = f"no annotation {missing[0]}" if missing else f"{len(frames)} frames, at least 3 are needed"
        raise OptionError(
            f"sequence {pictures.name} cannot be scored: {what}; complete the data or leave it out with "
            "--sequences"
        )
    return Sequence(pictures.name, pictures, tuple(frames), tuple(annotations))


def evaluate(
    model: Model,
    sequences: list[Sequence],
    out: Path,
    *,
    year: int,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    on_frame: Callable[[], None] | None = None,
) -> dict:
    """Write `out/masks/SEQ/*.png`, `out/scores.json` and, with the files' names, `out/report.json`.

    Returns the scores.  `fps` counts reading, computing and writing the masks, not the scoring.
    on_frame: called after each frame.  Raises StmError, as `check_out` does before a frame is read.
    """
    written = check_out(out, sequences)
    try:
        scores = _evaluate(model, sequences, written, year=year, memory=memory, size=size, on_frame=on_frame)
    except BaseException:
        with suppress(DiskError):  # a second error must not hide the first one
            if written.begun:
                written.report({})
        raise
    written.report({})
    return scores


def check_out(out: Path, sequences: list[Sequence]) -> Written:
    """What earlier runs wrote into `out`.  Raises OptionError when anything else would be replaced."""
    for sequence in sequences:
        check_folder(out, sequence.folder)
    written = written_in(out)
    names = [f"{MASKS}/{one.name}/{path.name}" for one in sequences for path in one.annotations]
    written.check([SCORES, *names])
    return written


def _evaluate(
    model: Model, sequences: list[Sequence], written: Written, *, year: int, **options: Any
) -> dict:
    scores: dict[str, dict] = {}
    frames, seconds = 0, 0.0
    for sequence in sequences:
        first = _prompt(sequence, year)
        if not scores:  # scores of an earlier run do not belong to these masks
            written.begin(lambda name: name == SCORES)
        begin = time.perf_counter()
        frames += _segment(model, sequence, first, written, **options)
        seconds += time.perf_counter() - begin
        scores[sequence.name] = score(sequence, written.folder / MASKS / sequence.name, year)
        content = summary(scores, frames / seconds)
        written.write(SCORES, as_json(content))  # what is finished stays when a later sequence fails
    return content


def _segment(
    model: Model,
    sequence: Sequence,
    first: np.ndarray,
    written: Written,
    *,
    memory: MemoryConfig | None,
    size: int | None,
    on_frame: Callable[[], None] | None,
) -> int:
    """Write the masks of one sequence; returns the number of frames."""
    masks = MaskFolder(written, f"{MASKS}/{sequence.name}")
    prompt = Prompt.from_mask(first)
    steps = segment_clip(model, sequence.folder, prompt, memory=memory, size=size, limits=NO_LIMITS)
    try:
        with closing(steps):
            for step in steps:
                masks.write(sequence.annotations[step.result.index].name, step.result.labels)
                if on_frame is not None:
                    on_frame()
    finally:
        masks.close()
    if masks.written != len(sequence.frames):
        raise VideoError(
            f"sequence {sequence.name} gave {masks.written} masks for {len(sequence.frames)} frames; "
            "check its pictures"
        )
    return masks.written


def read_truth(path: Path, year: int) -> np.ndarray:
    """An annotation as uint8 (H, W): one object in 2016; ids in 2017, where 255 is background."""
    labels = read_labels(path)
    return (labels > 0 if year == 2016 else np.where(labels == IGNORE, 0, labels)).astype(np.uint8)


def score(sequence: Sequence, folder: Path, year: int) -> dict:
    """What `evaluate_masks` says of a sequence, from the masks in `folder`.  Raises MaskError."""
    last = _prompt(sequence, year).max()
    truth = (read_truth(path, year) for path in sequence.annotations)
    asked = (np.where(one > last, 0, one).astype(np.uint8) for one in truth)
    found = (read_labels(folder / path.name) for path in sequence.annotations)
    return evaluate_masks(found, asked, drop_ends=True)


def _prompt(sequence: Sequence, year: int) -> np.ndarray:
    """Labels of the first frame.  Raises MaskError when it shows no object."""
    path = sequence.annotations[0]
    labels = read_truth(path, year)
    if not labels.any() and read_truth(path, 2016).any():
        raise MaskError(
            f"the first mask of sequence {sequence.name} has only 0 and 255, but in 2017 objects count from "
            "1; score it with --year 2016"
        )
    if not labels.any():
        raise MaskError(
            f"sequence {sequence.name} has no object in its first frame; leave it out with --sequences"
        )
    return labels


def summary(scores: dict[str, dict], fps: float) -> dict:
    """The content of scores.json from the scores of every sequence."""
    objects = [one for found in scores.values() for one in found["objects"].values()]
    sequences = {name: {"J": one["J"]["mean"], "F": one["F"]["mean"]} for name, one in scores.items()}
    return {**averaged(objects), "fps": fps, "sequences": sequences}
