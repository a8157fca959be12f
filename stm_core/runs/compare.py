"""The same clip and prompts under several memory strategies, one after the other, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.errors import OptionError
from stm_core.incoming.masks import read_masks
from stm_core.masks.mask_files import decode_mask, encode_mask
from stm_core.media.video import VideoInfo, VideoLimits, probe
from stm_core.media.written import Written, as_json
from stm_core.memory.policy import PRESETS, UNLIMITED, MemoryConfig
from stm_core.networks.weights import Model, check_model
from stm_core.runs.clip import FileSource, follow
from stm_core.runs.compare_film import write_film
from stm_core.runs.compare_table import Labels, Tried, compare_markdown, compare_table
from stm_core.runs.output import check_folder
from stm_core.runs.plan import Plan, check_budget, plan_clip

TABLE, WORDS, FILM = "compare.json", "compare.md", "compare.mp4"
NOTES, REPORT = ".compare.notes", ".compare.report.json"
MOST = 6  # runs: five, and the one that they are measured against


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs of one clip beside each other.

    runs: in the order in which they ran.
    table: the content of `compare.json`.
    """

    info: VideoInfo = field(repr=False)
    runs: tuple[Tried, ...] = field(repr=False)
    table: dict

    @property
    def markdown(self) -> str:
        """The table for people."""
        return compare_markdown(self.table)


class PackedMasks(Mapping[int, np.ndarray]):
    """Masks by frame, held as PNG."""

    def __init__(self) -> None:
        self._packed: dict[int, bytes] = {}

    def put(self, index: int, labels: np.ndarray) -> None:
        """Keep the labels uint8 (H, W) of a frame."""
        self._packed[index] = encode_mask(labels)

    def __getitem__(self, index: int) -> np.ndarray:
        return decode_mask(self._packed[index])

    def __iter__(self) -> Iterator[int]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def compare(
    model: Model,
    clip: Path | str | VideoInfo,
    prompts: Prompt | Sequence[Prompt],
    presets: Sequence[str] = tuple(PRESETS),
    *,
    truth: Labels | None = None,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    limits: VideoLimits | None = None,
    on_frame: Callable[[], None] | None = None,
) -> Comparison:
    """Segment a clip once for each preset, and put the results beside each other.

    clip: a path, or what `probe` said of it.
    truth: true masks by frame, uint8 (H, W). Without them the runs are measured against `every-5`, which
        runs too then.
    memory: every other number of the memories.
    on_frame: called after each frame of each run.
    Raises OptionError (no or too many presets, one twice), and what `segment_clip` raises.
    """
    check_model(model)
    names, limits = chosen(presets, truth is not None), limits or VideoLimits()
    info = clip if isinstance(clip, VideoInfo) else probe(clip, limits=limits)
    base, runs = memory or MemoryConfig(), []
    plans = {}
    for name in names:
        kept = replace(base, preset=name)
        plan = plan_clip(info.height, info.width, info.frames, prompts, memory=kept, size=size)
        check_budget(model, plan)  # all are refused before one runs
        plans[name] = plan
    for name, plan in plans.items():
        runs.append(_tried(model, name, plan, info, limits, on_frame))
    return Comparison(info, tuple(runs), compare_table(runs, truth))


def chosen(presets: Sequence[str], truth: bool) -> list[str]:
    """The presets to run; without the truth, the one that they are measured against comes last if missing."""
    names = list(presets)
    for name in names:
        if name not in PRESETS:
            raise OptionError(f"there is no memory preset {name!r}; choose from {', '.join(PRESETS)}")
    if not 1 <= len(set(names)) == len(names) < MOST:
        raise OptionError(f"presets are {', '.join(names) or 'none'}; give one to five, each once")
    return names if truth or UNLIMITED in names else [*names, UNLIMITED]


def _tried(
    model: Model,
    name: str,
    plan: Plan,
    info: VideoInfo,
    limits: VideoLimits,
    on_frame: Callable[[], None] | None,
) -> Tried:
    masks, bank, seconds, peak = PackedMasks(), {}, [], 0
    with closing(follow(model, plan, FileSource(info, limits), [])) as steps:
        for step in steps:
            if step is None:
                continue
            result = step.result
            masks.put(result.index, result.labels)
            bank[result.index] = result.memory.nbytes
            peak = max(peak, result.memory.read_peak_bytes)
            seconds.append(result.seconds)
            if on_frame is not None:
                on_frame()
    given = [prompt.frame for prompt in plan.prompts]
    return Tried(name, plan.memory, plan.size, masks, bank, peak, median(seconds), given)


def read_truth(
    path: Path, size: tuple[int, int], frames: int, limits: VideoLimits | None = None
) -> PackedMasks:
    """The true masks in a folder or file by frame, see `read_masks`, which says what it raises.

    size, frames: of the clip, (H, W).
    """
    masks = PackedMasks()
    for index, labels in read_masks(path, size, frames, limits or VideoLimits()):
        masks.put(index, labels)
    return masks


def check_compare(out: Path, clip: Path) -> Written:
    """What earlier comparisons left in a folder.  Raises OptionError when anything else would be replaced."""
    check_folder(out, clip)
    written = Written(out, NOTES, REPORT)
    written.check([TABLE, WORDS, FILM])
    return written


def write_compare(found: Comparison, written: Written, limits: VideoLimits) -> None:
    """Write `compare.json`, `compare.md` and `compare.mp4`."""
    written.begin(lambda name: True)
    written.write(TABLE, as_json(found.table))
    written.write(WORDS, found.markdown.encode())
    masks = {one.name: one.masks for one in found.runs}
    path = written.folder / FILM
    write_film(path, found.info, masks, limits, finished=lambda part: written.note(FILM, part))
    written.report({})
