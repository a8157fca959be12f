"""The same clip and prompts with several memories, sizes or networks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.incoming.masks import read_masks
from stm_core.masks.mask_files import decode_mask, encode_mask
from stm_core.media.video import VideoInfo, VideoLimits, probe
from stm_core.media.written import Written, as_json
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model, check_model
from stm_core.runs.clip import follow
from stm_core.runs.compare_cases import cases_of, with_reference
from stm_core.runs.compare_film import write_film
from stm_core.runs.compare_table import Labels, Tried, compare_markdown, compare_table
from stm_core.runs.output import check_folder
from stm_core.runs.plan import Plan, planned
from stm_core.runs.source import FileSource

TABLE, WORDS, FILM = "compare.json", "compare.md", "compare.mp4"
NOTES, REPORT = ".compare.notes", ".compare.report.json"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs of one clip side by side.

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
    presets: Sequence[str] | None = None,
    *,
    sizes: Sequence[int] = (),
    budgets_mb: Sequence[float] = (),
    networks: Mapping[str, Model] | None = None,
    truth: Labels | None = None,
    memory: MemoryConfig | None = None,
    size: int | None = None,
    limits: VideoLimits | None = None,
    on_frame: Callable[[], None] | None = None,
) -> Comparison:
    """Segment a clip once for each preset, size, memory limit and network, and put the results side by side.

    model, memory, size: of the runs, except for what each of them changes.
    clip: a path, or what `probe` said of it.
    presets: None: all of them, if nothing else is compared.
    sizes: most pixels of the short side.
    budgets_mb: memory limits in MB, with the preset `bounded`.
    networks: other networks by name.
    truth: true masks by frame, uint8 (H, W). Without them the runs are compared with `every-5`, which is then
        run as well.
    on_frame: called after each frame of each run.
    Raises OptionError (none or more than five to compare, one twice), and what `segment_clip` raises.
    """
    check_model(model)
    compared = cases_of(presets, sizes, budgets_mb, networks)
    cases, limits = with_reference(compared, truth is not None), limits or VideoLimits()
    info = clip if isinstance(clip, VideoInfo) else probe(clip, limits=limits)
    base, todo = memory or MemoryConfig(), []
    for case in cases:  # all are refused before one runs
        network = case.model or model
        plan = planned(network, info, prompts, memory=case.memory(base), size=case.size or size)
        todo.append((network, case.name, plan))
    runs = [_tried(*one, info, limits, on_frame) for one in todo]
    return Comparison(info, tuple(runs), compare_table(runs, truth))


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
    """Our files of earlier comparisons in a folder.  Raises OptionError if another file would be replaced."""
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
