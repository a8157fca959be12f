"""What a session is made of: the clip, marks and results of frames; none of them changes."""

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from stm_core.errors import OptionError
from stm_core.masks import files as masks


@dataclass(frozen=True)
class Clip:
    """The open clip: where it is, what the report says, and which frames start .. stop-1 are worked on."""

    path: str
    name: str
    folder: str
    info: dict
    start: int
    stop: int
    times: tuple[float, ...] = ()
    checked: bool = False  # the whole part was decoded once: counts and times are exact
    warnings: tuple[str, ...] = ()
    example: str = ""  # its name among the bundled clips

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its upright frames."""
        return self.info["height"], self.info["width"]

    def seconds(self, index: int) -> float:
        """When a frame is shown, in seconds of the clip."""
        if 0 <= index - self.start < len(self.times):
            return self.times[index - self.start]
        return index / (self.info.get("fps") or 25)

    @property
    def second(self) -> float:
        """Where the part that is worked on begins, as the slider says it."""
        return round(self.start / (self.info["fps"] or 25), 1)

    def checked_by(self, found: dict) -> "Clip":
        """The clip after every frame of the part was decoded once.  OptionError when there was none."""
        warnings = tuple(dict.fromkeys([*self.warnings, *found["warnings"]]))
        if not found["frames"]:
            raise OptionError("not one frame of this part could be decoded; choose another part or file")
        stop = self.start + found["frames"]
        whole = stop >= self.info["frames"] or stop < self.stop
        info = {**self.info, "frames": stop if whole else self.info["frames"], "frames_exact": whole}
        times = tuple(found["times"])
        return replace(self, info=info, stop=stop, times=times, checked=True, warnings=warnings)


@dataclass(frozen=True)
class Marks:
    """What the visitor said about one frame.

    clicks: (x, y, label, object) since `base`; base: mask they refine (drawn, imported, or tracked), PNG
    or None; mask: the resulting labels, PNG or None; dots: every click to be shown; tracked: objects of the
    run's result that was changed: those that `mask` has no more are not in this frame.
    """

    clicks: tuple[tuple[int, int, int, int], ...] = ()
    base: bytes | None = None
    mask: bytes | None = None
    dots: tuple[tuple[int, int, int, int], ...] = ()
    tracked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Record:
    """What a run found on one frame: pixels and confidence per object id."""

    areas: dict[int, int]
    confidence: dict[int, float]
    prompted: bool = False

    def without(self, gone: int) -> "Record":
        """The same without one object."""
        areas = {n: area for n, area in self.areas.items() if n != gone}
        return replace(self, areas=areas, confidence={n: c for n, c in self.confidence.items() if n != gone})


def unpack(packed: bytes) -> np.ndarray:
    """Labels (H, W) uint8 of a palette PNG that this program wrote."""
    return np.array(Image.open(io.BytesIO(packed)))


def without(marks: Marks, gone: int) -> Marks | None:
    """A frame's marks without one object; None when nothing is left."""

    def erase(packed: bytes | None) -> bytes | None:
        if packed is None:
            return None
        labels = unpack(packed)
        return masks.encode_mask(np.where(labels == gone, 0, labels).astype(np.uint8))

    keep = replace(
        marks,
        clicks=tuple(c for c in marks.clicks if c[3] != gone),
        dots=tuple(d for d in marks.dots if d[3] != gone),
        base=erase(marks.base),
        mask=erase(marks.mask),
        tracked=tuple(n for n in marks.tracked if n != gone),
    )
    shows = any(packed is not None and unpack(packed).any() for packed in (keep.base, keep.mask))
    return keep if keep.clicks or keep.tracked or shows else None
