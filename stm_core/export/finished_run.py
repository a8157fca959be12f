"""A finished run as exports read it: its masks, its objects, and the clip where that is known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stm_core.errors import MaskError, OptionError, VideoError
from stm_core.masks.mask_files import MASK_NAME, mask_name, object_ids, read_labels
from stm_core.media.limits import NO_LIMITS
from stm_core.media.video import VideoInfo, probe, read_video

SOURCE_NAME = re.compile(r"source\.[a-z0-9]{2,4}")  # the clip in a ZIP of the page
WITHOUT_CLOCK = ("zip", "folder", "webp")  # clips whose times and sound no film takes over


@dataclass(frozen=True)
class Shot:
    """One frame of a run: its number, labels uint8 (H, W), picture uint8 (H, W, 3) or None, and time."""

    index: int
    labels: np.ndarray
    image: np.ndarray | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Result:
    """A finished run.

    masks: the folder of 00000.png and so on.
    frames: sorted numbers of the frames that have one.
    objects: id -> name.
    name: of the clip, for file names.
    clip: what is known of the clip's file, or None.
    """

    masks: Path
    frames: tuple[int, ...]
    objects: Mapping[int, str]
    name: str
    height: int
    width: int
    clip: VideoInfo | None = None

    def labels(self, index: int) -> np.ndarray:
        """The mask of a frame, uint8 (H, W).  Raises MaskError when it has another size than the first."""
        labels = read_labels(self.masks / mask_name(index))
        if labels.shape != (self.height, self.width):
            raise MaskError(
                f"the mask of frame {index} is {labels.shape[1]}x{labels.shape[0]}, the first is "
                f"{self.width}x{self.height}; run it again"
            )
        return labels

    def shots(self, *, pictures: bool | None = None, gaps: bool = False) -> Iterator[Shot]:
        """The frames in order.

        pictures: with the clip's pictures; None: if the clip is known.
        gaps: also the frames between the first and the last that have no mask, with empty labels.
        Raises VideoError when the clip ends before the masks, or has another size.
        """
        wanted = set(self.frames)
        if not (self.clip is not None if pictures is None else pictures):
            yield from (Shot(index, self.labels(index)) for index in self.frames)
            return
        assert self.clip is not None, "checked by `Order`"
        first, stop = self.frames[0], self.frames[-1] + 1
        index = first - 1
        with read_video(self.clip, NO_LIMITS, start=first, stop=stop) as reader:
            for index, image in enumerate(reader, first):
                if index not in wanted and not gaps:
                    continue
                has_mask = index in wanted
                labels = self.labels(index) if has_mask else np.zeros((self.height, self.width), np.uint8)
                if image.shape[:2] != labels.shape:
                    raise other_size(self, image.shape[1], image.shape[0])
                yield Shot(index, labels, image, reader.times[index - first])
        if index < stop - 1:
            last = min(index, self.clip.frames - 1)  # where it ends before the first mask, none was read
            raise VideoError(
                f"the clip {self.clip.path.name!r} ends after frame {last}, there are masks up to frame "
                f"{stop - 1}; give the clip that the masks were made from"
            )


def other_size(result: Result, width: int, height: int) -> VideoError:
    """The error for a clip whose frames are not as large as the masks."""
    name = result.clip.path.name if result.clip else "the clip"
    return VideoError(
        f"{name!r} has frames of {width}x{height}, the masks are {result.width}x{result.height}; give the "
        "clip that the masks were made from"
    )


def read_result(folder: Path, clip: Path | None = None) -> Result:
    """The run in a folder: what `segment` wrote, or an unpacked ZIP from the page.

    clip: the clip that it was made from; None: the one that the report names, if it is still there.
    Raises OptionError, MaskError, VideoError.
    """
    masks = folder / "masks"
    names = {path.name for path in masks.glob("*.png")} if masks.is_dir() else set()
    frames = sorted(int(name[:-4]) for name in names if MASK_NAME.fullmatch(name))
    if not frames:
        raise OptionError(
            f"{folder} holds no masks/00000.png; give the folder that `segment --out` wrote, or an unpacked "
            "ZIP from the page"
        )
    report, session = _json(folder / "report.json"), _json(folder / "session.json")
    clip_said = report.get("clip")
    said = clip_said if isinstance(clip_said, dict) else {}
    found = clip or _clip_of(folder, said)
    first = read_labels(masks / mask_name(frames[0]))
    name = said.get("name") or (found.name if found else folder.resolve().name)
    result = Result(masks, tuple(frames), {}, Path(str(name)).stem, *first.shape)
    known = _names(session)
    ids = sorted({number for index in frames for number in object_ids(result.labels(index))} | set(known))
    result = replace(result, objects={number: known.get(number, f"object{number}") for number in ids})
    return result if found is None else _with_clip(result, found)


def _with_clip(result: Result, path: Path) -> Result:
    info = probe(path, NO_LIMITS)
    result = replace(result, clip=info)
    if (info.width, info.height) != (result.width, result.height):
        raise other_size(result, info.width, info.height)
    return result


def _clip_of(folder: Path, said: dict) -> Path | None:
    """Where the clip lies: beside the masks, or where the report says."""
    beside = [path for path in folder.glob("source.*") if SOURCE_NAME.fullmatch(path.name)]
    named = [Path(said["path"])] if isinstance(said.get("path"), str) else []
    return next((path for path in [*beside, *named] if path.exists()), None)


def _names(session: dict) -> dict[int, str]:
    """The names that a visitor gave the objects."""
    rows = session.get("objects")
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {
        row["id"]: str(row.get("name") or f"object{row['id']}")[:60]
        for row in found
        if isinstance(row.get("id"), int) and 1 <= row["id"] <= 254
    }


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
