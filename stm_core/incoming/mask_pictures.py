"""Masks as pictures: a folder or ZIP of them, also with a folder per object."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from stm_core.errors import MaskError, VideoError
from stm_core.incoming.numbering import check_size, frames_of, ids_of
from stm_core.masks.foreign import LOSSY, labels_of_image, solid
from stm_core.masks.mask_files import MASK_FORMATS
from stm_core.masks.palette import IGNORE, MAX_OBJECTS, PALETTE
from stm_core.media.limits import VideoLimits
from stm_core.media.pictures import SUFFIXES
from stm_core.media.still import PICTURE_ERRORS, open_picture

ALIKE = 48  # how far the colour of one object may differ from picture to picture, per channel
APART = 16  # least distance of greys that are objects: nearer to black they are ids, nearer to others noise
COLOURED = 40  # how far channels may lie apart in a grey picture or film: codecs shift colours a little
MASK_FOLDERS = ("masks", "Annotations")  # of our own ZIPs and folders, and of DAVIS and YouTube-VOS
ZIP_ERRORS = (  # of damaged and of locked ones; the last three come from unpacking
    *(zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError),
    *(zlib.error, lzma.LZMAError, OSError),
)
Source = Callable[[str], bytes]


class Colours:
    """Ids for colours that are no ids by themselves: one colour is one object in all pictures."""

    def __init__(self, name: str, greys: Sequence[int] = ()) -> None:
        """greys: those that stand for objects (see `_greys`); other greys are ids, or black and white."""
        self._name = name
        self.greys = np.array(greys, int)
        self._known: list[tuple[np.ndarray, int]] = []

    def number(self, colour: np.ndarray) -> int:
        """The id of a colour uint8 (3,).  Raises MaskError when there are too many."""
        if len(self.greys) and np.ptp(colour) <= COLOURED:
            return int(np.abs(self.greys - int(colour[0])).argmin()) + 1
        for known, number in self._known:
            if np.abs(known.astype(int) - colour).max() <= ALIKE:
                return number
        if len(self._known) == MAX_OBJECTS:
            raise MaskError(
                f"{self._name!r} has more than {MAX_OBJECTS} colours; draw each object in one flat colour"
            )
        self._known.append((colour, len(self._known) + 1))
        return len(self._known)


def read_pictures(
    name: str, files: Mapping[str, Path], size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    """(frame, labels uint8 (H, W)) of mask pictures.  Raises MaskError, LimitError.

    name: for errors, of all files together.
    files: name with folders -> path.
    """
    yield from _sequence(name, list(files), lambda one: files[one].read_bytes(), size, frames, limits)


def read_zip(
    path: Path, size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    """The same of a ZIP of mask pictures."""
    with _opened(path) as pack:
        limits.check_bytes(sum(entry.file_size for entry in pack.infolist()), f"{path.name} (unpacked)")
        yield from _sequence(path.name, pack.namelist(), pack.read, size, frames, limits)


def _sequence(
    file: str, names: list[str], read: Source, size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    names = _only_masks([name for name in names if is_mask(name)])
    if not names:
        raise MaskError(
            f"{file!r} holds no mask pictures; expected PNG files named by frame, such as 00000.png"
        )
    limits.check_frames(len(names), file)
    folders = sorted({str(PurePosixPath(name).parent) for name in names})
    ids = ids_of(folders, file) if len(folders) > 1 else {}
    numbers = _in_folders(names, folders, frames, file)
    by_frame: dict[int, list[str]] = {}
    for number, name in zip(numbers, names, strict=True):
        by_frame.setdefault(number, []).append(name)
    colours = Colours(file, _greys(names, read, limits))
    for number, found in sorted(by_frame.items()):
        labels = np.zeros(size, np.uint8)
        for name in found:
            one = _labels(name, read(name), size, colours, limits)
            folder = str(PurePosixPath(name).parent)
            labels = np.where(one > 0, ids[folder] if ids else one, labels).astype(np.uint8)
        yield number, labels


def _in_folders(names: list[str], folders: list[str], frames: int, file: str) -> list[int]:
    """The frames of pictures in several folders, an object each: each counted by itself."""
    found: dict[str, int] = {}
    for folder in folders:
        inside = [name for name in names if str(PurePosixPath(name).parent) == folder]
        found |= dict(zip(inside, frames_of(inside, frames, file), strict=True))
    return [found[name] for name in names]


def _only_masks(names: list[str]) -> list[str]:
    """The names without those of frames, or of our own prompts, that lie in folders beside the masks."""
    for folder in MASK_FOLDERS:
        found = [name for name in names if folder in PurePosixPath(name).parts[:-1]]
        if found:
            return found
    return names


def is_mask(name: str) -> bool:
    """Whether a file may be a picture of a mask, by its name."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in {*SUFFIXES, ".gif", ".tif", ".tiff"} and not hidden


def _labels(
    name: str, data: bytes, size: tuple[int, int], colours: Colours, limits: VideoLimits
) -> np.ndarray:
    try:
        with open_picture(io.BytesIO(data), name, limits, MASK_FORMATS) as image:
            image.load()
            check_size(repr(name), (image.height, image.width), size)
            labels = labels_of_image(image, name)
            plain = ("1", "P") if len(colours.greys) else ("1", "L", "P")
            coloured = image.mode not in plain and not image.mode.startswith(("I", "F"))
            return _by_colour(labels, np.array(image.convert("RGB")), colours) if coloured else labels
    except (VideoError, *PICTURE_ERRORS) as error:
        raise MaskError(f"{name!r} is a damaged picture; export it again") from error


def _greys(names: list[str], read: Source, limits: VideoLimits) -> list[int]:
    """The greys of a sequence that are one object each, such as 127 and 255, sorted; [] where they are ids.

    One picture is not enough to tell: alone on a picture, 127 looks like an id, and 255 like white on black.
    """
    levels: set[int] = set()
    for name in names if len(names) > 1 else ():
        try:
            with open_picture(io.BytesIO(read(name)), name, limits, MASK_FORMATS) as image:
                image.load()
                rgb = np.array(image.convert("RGB")) if image.mode in ("L", "RGB") else None
        except (VideoError, *PICTURE_ERRORS):
            continue  # it is refused later, when it is read
        if rgb is None or image.format in LOSSY or (rgb != rgb[..., :1]).any():
            return []
        levels.update(solid(rgb[..., 0]).tolist())
    found = sorted(levels - {0})
    apart = np.diff([0, *found]).min(initial=APART + 1) > APART
    return found if apart and len(found) > 1 and found[-1] == IGNORE else []


def _by_colour(labels: np.ndarray, rgb: np.ndarray, colours: Colours) -> np.ndarray:
    """Labels counted picture by picture, numbered by colour instead; DAVIS colours and greys keep theirs."""
    found = np.zeros_like(labels)
    for number in np.unique(labels[labels > 0]):
        where = labels == number
        colour = np.median(rgb[where], axis=0).astype(np.uint8)
        grey = np.ptp(colour) <= COLOURED
        keeps = not len(colours.greys) if grey else (PALETTE[number] == colour).all()
        own = int(number) if keeps else colours.number(colour)
        found[where] = own
    return found


def open_zip(path: Path, wanted: Callable[[str], bool], limits: VideoLimits) -> tuple[str, bytes] | None:
    """The first file in a ZIP whose name is wanted, or None.  Raises MaskError, LimitError."""
    with _opened(path) as pack:
        found = next((entry for entry in pack.infolist() if wanted(entry.filename)), None)
        if found is None:
            return None
        limits.check_bytes(found.file_size, found.filename)
        return found.filename, pack.read(found)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The ZIP.  Raises MaskError when it is damaged or locked, also from the block that reads it."""
    try:
        with zipfile.ZipFile(path) as pack:
            yield pack
    except ZIP_ERRORS as error:
        raise MaskError(f"{path.name!r} is a damaged or locked ZIP; pack it again") from error
