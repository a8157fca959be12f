"""The files of a run: `masks/00000.png ...`, `overlay.mp4`, `report.json`, whole even after a crash.

Every file is written under a temporary name and then renamed. Masks of an earlier run in the same folder are
removed when the first new mask is ready, so a mistake in the options costs nobody an earlier result. Files
that no run of ours wrote are never removed or replaced.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Set
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.engine.threads import WriteBehind, read_ahead
from stm_core.errors import MaskError, OptionError
from stm_core.masks.mask_files import MASK_NAME, encode_mask, mask_name, read_labels
from stm_core.masks.overlay import overlay
from stm_core.media.files import disk_error, write_whole
from stm_core.media.video import VideoInfo, VideoLimits, read_video
from stm_core.media.write import VideoWriter
from stm_core.media.written import Written, as_json, check_sealed

OVERLAY, REPORT, NOTES = "overlay.mp4", "report.json", ".report.json.notes"
MASKS = "masks"
log = logging.getLogger(__name__)


def check_folder(out: Path, clip: Path) -> Path:
    """`out`, if results can be written there without touching the clip.  Creates nothing.

    Raises OptionError.
    """
    existing = out
    while not os.path.exists(existing) and existing != existing.parent:  # False where one may not look
        existing = existing.parent
    if not os.path.isdir(existing):
        raise OptionError(f"cannot write to {out}: {existing} is a file, not a folder; choose another --out")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OptionError(f"cannot write to {out}: no permission in {existing}; choose another --out")
    if clip.resolve() in {(out / "masks").resolve(), (out / OVERLAY).resolve()}:
        raise OptionError(f"the results in {out} would overwrite the clip {clip}; choose another --out")
    return out


def check_mask(out: Path, mask: Path | None, frame: int) -> None:
    """Raises OptionError when the mask that is given for a frame would be lost among the results in `out`."""
    if mask is None or mask.resolve().parent != (out / MASKS).resolve():
        return
    if MASK_NAME.fullmatch(mask.name) and mask.name != mask_name(frame):
        raise OptionError(
            f"the results in {out} would overwrite the mask {mask}; choose another --out, or copy the mask "
            f"elsewhere (if it is not of frame {frame}, give its frame with --prompt-frame)"
        )


def written_in(out: Path) -> Written:
    """What earlier runs wrote into a folder of results."""
    return Written(out, NOTES, REPORT)


def check_results(written: Written, prompts: Iterable[Prompt]) -> set[str]:
    """The names of masks that a run must not touch: a person's own masks, given as prompts.

    Raises OptionError when the masks, overlay or report of a run would replace a file that is not ours.
    """
    folder, kept = written.folder / MASKS, set()
    names = {name for name in os.listdir(folder) if MASK_NAME.fullmatch(name)} if folder.is_dir() else set()
    for prompt in prompts:
        name = mask_name(prompt.frame)
        if name in names and prompt.labels is not None and not written.owns(f"{MASKS}/{name}"):
            with suppress(MaskError):
                if np.array_equal(read_labels(folder / name), prompt.labels):
                    kept.add(name)
    written.check([OVERLAY, *sorted(f"{MASKS}/{name}" for name in names - kept)])
    return kept


class MaskFolder:
    """Writes numbered palette PNGs into a folder of the results, in a thread, in place of an earlier run's.

    folder: relative to the results, as `masks`.
    kept: names of files that are there already and stay.
    """

    def __init__(self, results: Written, folder: str = MASKS, kept: Set[str] = frozenset()):
        self.written = 0
        self._results, self._folder, self._kept = results, folder, kept
        self._submit = WriteBehind(self._write)
        self._fresh = True

    def write(self, name: str, labels: np.ndarray) -> None:
        """Queue one mask.  name: of the file; labels: uint8 (H, W) object ids."""
        self._submit(name, labels)

    def close(self) -> None:
        """Wait until every queued mask is on disk.  Raises VideoError when one could not be written."""
        self._submit.close()

    def _write(self, name: str, labels: np.ndarray) -> None:
        if self._fresh:
            self._begin()
            self._fresh = False
        if name not in self._kept:
            data, path = encode_mask(labels), f"{self._folder}/{name}"
            self._results.note(path, data)
            write_whole(self._results.folder / path, data)
        self.written += 1

    def _begin(self) -> None:
        folder = self._results.folder / self._folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(folder, error) from error
        self._results.clear(lambda name: name.rpartition("/")[0] == self._folder)


class OverlayFile:
    """Writes `overlay.mp4` frame by frame in a thread, with the clip's audio and times.

    start: the first frame; the film of a part begins at 0 seconds.
    """

    def __init__(self, results: Written, info: VideoInfo, start: int = 0):
        self._results, self._info, self._start = results, info, start
        self._writer: VideoWriter | None = None
        self._submit = WriteBehind(self._write)

    @property
    def warnings(self) -> list[str]:
        """What could not be kept, such as the sound."""
        return self._writer.warnings if self._writer else []

    def write(self, image: np.ndarray, labels: np.ndarray, seconds: float) -> None:
        """Queue one frame: uint8 (H, W, 3) RGB, its labels uint8 (H, W), its time in the clip in seconds."""
        self._submit(image, labels, seconds)

    def close(self) -> None:
        """Finish the file with the frames written so far.  Raises VideoError when it cannot be written."""
        try:
            self._submit.close()
            if self._writer is not None:
                self._writer.close()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Drop the file."""
        try:
            self._submit.close()
        except Exception as error:  # the reason for dropping it is reported elsewhere
            log.debug("dropped overlay: %s", error)
        if self._writer is not None:
            self._writer.abort()

    def _write(self, image: np.ndarray, labels: np.ndarray, seconds: float) -> None:
        if self._writer is None:
            height, width = labels.shape
            self._writer = VideoWriter(
                *(self._results.folder / OVERLAY, width, height),
                source=self._info.path,
                offset=seconds if self._start else 0.0,
                finished=lambda part: self._results.note(OVERLAY, part),
            )
        self._writer.write(overlay(image, labels), seconds)


def write_overlay(results: Written, info: VideoInfo, limits: VideoLimits, start: int, stop: int) -> list[str]:
    """Write the overlay from the clip and its finished masks: the second pass of a run begun in mid-clip.

    start, stop: the frames from `start` to `stop` - 1.
    Returns warnings.  Frames are written as long as each has a mask.
    """
    film, end = OverlayFile(results, info, start), None if stop >= info.frames else stop
    try:
        reader = read_video(info.path, limits, start=start, stop=end)
        with reader, closing(read_ahead(reader)) as images:
            for index, image in enumerate(images, start):
                mask = results.folder / MASKS / mask_name(index)
                if not mask.exists():
                    break
                film.write(image, read_labels(mask), reader.times[index - start])
        film.close()
    except BaseException:
        film.abort()
        raise
    return film.warnings


def check_named(path: Path | None) -> None:
    """Raises OptionError when the file that a user named holds what no run of ours wrote."""
    if path is not None and (not os.path.exists(path) or os.path.isfile(path)):
        check_sealed(path.resolve())


def write_named(path: Path, content: dict | list) -> None:
    """Write JSON to the file that a user named: through a link, and into a pipe or a device.

    Raises VideoError when it cannot be written.
    """
    data = as_json(content)
    if not os.path.exists(path) or os.path.isfile(path):
        write_whole(path.resolve(), data)
        return
    try:
        path.write_bytes(data)
    except OSError as error:
        raise disk_error(path, error) from error
