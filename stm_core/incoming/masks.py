"""Masks of another program for a clip, whatever file they come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from stm_core.errors import MaskError
from stm_core.incoming.coco_reader import read_coco
from stm_core.incoming.cvat_reader import read_cvat
from stm_core.incoming.mask_pictures import is_mask, open_zip, read_pictures, read_zip
from stm_core.incoming.mattes import is_film, read_mattes
from stm_core.masks.mask_files import read_mask
from stm_core.media.limits import SAFE_LIMITS, VideoLimits

OURS = ("report.json", "session.json", "export.json", "meta.json")  # in our own ZIPs, beside the masks
SPARSE = 8  # up to so many masks are all prompts; of more, only those on which an object first appears


def read_masks(
    source: Path | Sequence[Path], size: tuple[int, int], frames: int, limits: VideoLimits = SAFE_LIMITS
) -> Iterator[tuple[int, np.ndarray]]:
    """(frame, labels uint8 (H, W)) in order, of the frames that have a mask, even an empty one.

    source: COCO JSON, CVAT for images 1.1 (XML), a ZIP of one of them, a folder or ZIP of mask pictures, one
        mask picture (of the frame that is its name, else of frame 0), or a film that is black and white or
        has alpha; or several files, all pictures or all films.  Of several films, also in a folder, each is
        an object.
    size, frames: of the clip, (H, W).
    Raises MaskError or LimitError of one sentence, maybe only after some masks.
    """
    any_mask = False
    paths = [source] if isinstance(source, Path) else list(source)
    if not paths:
        raise MaskError("no file of masks was given; choose one")
    several = len(paths) > 1
    found = _several(paths, size, frames, limits) if several else _read(paths[0], size, frames, limits)
    for index, labels in found:
        any_mask = any_mask or bool(labels.any())
        yield index, labels
    if not any_mask:
        raise MaskError(f"{paths[0].name!r} has no object on any frame; mark at least one")


def _read(
    path: Path, size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    kind = path.suffix.lower()
    if path.is_dir():
        films = sorted(one for one in path.iterdir() if is_film(one.name))
        pictures = any(is_mask(one.name) for one in path.rglob("*"))
        if films and not pictures:
            yield from read_mattes(films, size, frames, limits)
        else:
            files = {one.relative_to(path).as_posix(): one for one in path.rglob("*") if one.is_file()}
            yield from read_pictures(path.name, files, size, frames, limits)
    elif not path.is_file():
        raise MaskError(f"there is no file {str(path)!r}; check the path")
    elif kind in (".json", ".xml"):
        limits.check_bytes(path.stat().st_size, path.name)
        read = read_coco if kind == ".json" else read_cvat
        yield from read(path.read_bytes(), path.name, size, frames)
    elif kind == ".zip":
        yield from _read_zip(path, size, frames, limits)
    elif is_mask(path.name):
        number = int(path.stem) if path.stem.isdecimal() and len(path.stem) < 9 else 0
        yield number if number < frames else 0, read_mask(path, size, limits, empty=True)
    else:
        yield from read_mattes([path], size, frames, limits)


def _several(
    paths: list[Path], size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    if all(is_film(path.name) for path in paths):
        yield from read_mattes(paths, size, frames, limits)
    elif all(is_mask(path.name) for path in paths):
        [(commonest, count)] = Counter(path.name for path in paths).most_common(1)
        if count > 1:
            raise MaskError(
                f"{count} of the {len(paths)} files are called {commonest!r}; give a ZIP with a folder "
                "for each object"
            )
        name = f"{paths[0].name} and {len(paths) - 1} more"
        yield from read_pictures(name, {path.name: path for path in paths}, size, frames, limits)
    else:
        raise MaskError(
            f"{len(paths)} files were given, among them {paths[0].name!r}; give one, or only mask pictures, "
            "or only films"
        )


def _read_zip(
    path: Path, size: tuple[int, int], frames: int, limits: VideoLimits
) -> Iterator[tuple[int, np.ndarray]]:
    for ending, read in ((".xml", read_cvat), (".json", read_coco)):
        found = open_zip(path, partial(_annotates, ending), limits)
        if found is not None:
            yield from read(found[1], found[0], size, frames)
            return
    yield from read_zip(path, size, frames, limits)


def _annotates(ending: str, name: str) -> bool:
    return name.lower().endswith(ending) and PurePosixPath(name).name not in OURS


def sparse(masks: Iterator[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
    """The masks that serve as prompts: all with an object if they are few (SPARSE), else those on which an
    object first appears.
    """
    few: list[tuple[int, np.ndarray]] = []
    first: list[tuple[int, np.ndarray]] = []
    seen: set[int] = set()
    count = 0
    for index, labels in masks:
        present = set(np.unique(labels).tolist()) - {0}
        count += bool(present)
        if present and count <= SPARSE:
            few.append((index, labels))
        if present - seen:
            first.append((index, labels))
        seen |= present
    return few if count <= SPARSE else first
