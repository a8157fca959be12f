"""Training data as uint8 tensors on the training device, where batches are made from them.

`Photos`: single pictures with object masks, squeezed to a square (their aspect is kept as a number).
`Clips`: annotated video in DAVIS layout, squeezed to one size (likewise).
Reading decodes each file once; `cache` keeps the tensors for the next run.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stm_core.errors import OptionError
from stm_core.media.files import Whole
from stm_core.media.written import not_ours

log = logging.getLogger(__name__)
PHOTO_SIZE = 288  # square side in the store, pixels
CLIP_SIZE = (270, 480)  # height, width in the store, pixels
MAX_OBJECTS = 24  # per picture; further ids become ignored pixels
MIN_SHARE = 0.004  # a smaller object of a photo is not chosen as a target
MIN_CLIP_SHARE = 0.001  # nor one of a clip's frame: far away things move there
IGNORE = 255
LAYOUT = "2"  # of the tensors in a cache; another one is made anew
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass
class Photos:
    """images (N,3,S,S) uint8, labels (N,S,S) uint8 (255 = ignore), aspect (N,) width/height, share
    (N,MAX_OBJECTS+1).
    """

    images: Tensor
    labels: Tensor
    aspect: Tensor
    share: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: str | torch.device) -> Photos:
        return Photos(*(getattr(self, f.name).to(device) for f in fields(self)))

    def with_objects(self) -> Tensor:
        """Indices of the photos that have at least one object to choose."""
        return (self.share[:, 1:] > 0).any(1).nonzero()[:, 0]


@dataclass
class Clips:
    """frames (M,3,H,W) uint8, labels (M,H,W) uint8 (255 = ignore), share (M,MAX_OBJECTS+1) of each frame;
    first, length in frames, aspect (width/height) and scenic (C,) of each clip: whether it may be a scene.
    """

    frames: Tensor
    labels: Tensor
    share: Tensor
    first: Tensor
    length: Tensor
    aspect: Tensor
    scenic: Tensor

    def __len__(self) -> int:
        return len(self.first)

    def to(self, device: str | torch.device) -> Clips:
        return Clips(*(getattr(self, f.name).to(device) for f in fields(self)))


def held_out(picture: Path) -> bool:
    """Whether a photo is kept out of training, to measure on: one in 40, by its name."""
    return zlib.crc32(picture.stem.encode()) % 40 == 0


def load_photos(
    folders: list[Path], cache: Path | None = None, workers: int = 2, *, left_out: bool = False
) -> Photos:
    """Folders with `images/` and, beside it, `masks/` (palette PNG of the same stem); without masks:
    backgrounds only.

    left_out: those kept out of training instead of all others.  Raises OptionError.
    """
    found = [pair for folder in folders for pair in _photo_pairs(Path(folder))]
    pairs = [pair for pair in found if held_out(pair[0]) == left_out]
    if not pairs:
        raise OptionError(
            f"of the {len(found)} pictures in {', '.join(map(str, folders))} none is "
            f"{'left out of training, one in 40 by name' if left_out else 'for training'}; give more pictures"
        )
    return Photos(*_cached(cache, pairs, _read_photo, workers, _join_photos))


def load_clips(
    roots: list[Path],
    cache: Path | None = None,
    workers: int = 2,
    *,
    split: str = "train",
    studio: Iterable[Path] = (),
) -> Clips:
    """DAVIS-layout roots: `JPEGImages/*/SEQ/*.jpg` with `Annotations/*/SEQ/*.png` (`*` = resolution, or
    absent).

    Only sequences of the root's `ImageSets/*/SPLIT.txt` are read where there is such a list.  studio: more
    roots, filmed before a plain backdrop, which are cut out and never a scene.  Raises OptionError.
    """
    pairs = [
        (*pair, scenic)
        for group, scenic in ((roots, True), (studio, False))
        for root in group
        for pair in _clip_pairs(Path(root), split)
    ]
    return Clips(*_cached(cache, pairs, _read_frame, workers, _join_clips))


def _photo_pairs(folder: Path) -> list[tuple[Path, Path | None, str]]:
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    found = sorted(p for p in pictures.iterdir() if p.suffix.lower() in PICTURES) if pictures.is_dir() else []
    if not found:
        raise OptionError(
            f"{folder} has no pictures; expected {folder}/images/*.jpg with {folder}/masks/*.png; "
            "give such a folder to --images"
        )
    pairs = []
    for picture in found:
        mask = folder / "masks" / f"{picture.stem}.png"
        pairs.append((picture, mask if mask.exists() else None, folder.name))
    return pairs


def _clip_pairs(root: Path, split: str) -> list[tuple[Path, Path, str]]:
    if not (root / "Annotations").is_dir():
        raise OptionError(
            f"{root} has no Annotations folder; expected DAVIS layout (JPEGImages/480p/SEQ, "
            "Annotations/480p/SEQ); give such a folder to --videos"
        )
    wanted = {
        name.split()[0].strip("/").split("/")[-1]
        if len(name.split()) == 1
        else Path(name.split()[0]).parent.name
        for file in root.glob(f"ImageSets/*/{split}.txt")
        for name in file.read_text().splitlines()
        if name.strip()
    }
    pairs = []
    for mask in sorted(root.glob("Annotations/**/*.png")):
        picture = Path(str(mask).replace("/Annotations/", "/JPEGImages/")).with_suffix(".jpg")
        if picture.exists() and (not wanted or mask.parent.name in wanted):
            pairs.append((picture, mask, f"{root}/{mask.parent.name}"))
    if not pairs:
        raise OptionError(
            f"{root} has no annotated frames; expected JPEGImages/*/SEQ/*.jpg beside Annotations/*/SEQ/*.png"
        )
    return pairs


def _read_photo(pair: tuple[Path, Path | None, str]) -> tuple:
    picture, mask, _ = pair
    image = Image.open(picture).convert("RGB")
    aspect = image.width / image.height
    pixels = np.asarray(image.resize((PHOTO_SIZE, PHOTO_SIZE), Image.Resampling.BICUBIC))
    if mask is None:
        labels = np.zeros((PHOTO_SIZE, PHOTO_SIZE), np.uint8)
    else:
        labels = np.array(Image.open(mask).resize((PHOTO_SIZE, PHOTO_SIZE), Image.Resampling.NEAREST))
        labels[labels > MAX_OBJECTS] = IGNORE
    return pixels.transpose(2, 0, 1), labels, np.float32(aspect), _share(labels, MIN_SHARE)


def _share(labels: np.ndarray, least: float) -> np.ndarray:
    """Share of the picture of each id, float32 (MAX_OBJECTS+1,); 0 where it is below `least`."""
    share = np.bincount(labels.ravel(), minlength=256)[: MAX_OBJECTS + 1] / labels.size
    share[share < least] = 0
    return share.astype(np.float32)


def _read_frame(pair: tuple[Path, Path, str, bool]) -> tuple:
    picture, mask, clip, scenic = pair
    size = CLIP_SIZE[::-1]
    image = Image.open(picture).convert("RGB")
    aspect = image.width / image.height
    image = image.resize(size, Image.Resampling.BICUBIC)
    labels = np.array(Image.open(mask).resize(size, Image.Resampling.NEAREST))
    if labels.ndim == 3:
        labels = labels[..., 0]
    return np.asarray(image).transpose(2, 0, 1), labels, clip, aspect, scenic


def _join_photos(rows: list[tuple]) -> list[Tensor]:
    return [torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)]


def _join_clips(rows: list[tuple]) -> list[Tensor]:
    frames, labels, names, aspect, scenic = zip(*rows, strict=True)
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    ends = [*starts[1:], len(names)]
    known = [_ids(labels[start:end]) for start, end in zip(starts, ends, strict=True)]
    stacked = np.concatenate(known)
    share = np.stack([_share(one, MIN_CLIP_SHARE) for one in stacked])
    first = torch.tensor(starts)
    return [
        torch.from_numpy(np.stack(frames)),
        torch.from_numpy(stacked),
        torch.from_numpy(share),
        first,
        torch.tensor(ends) - first,
        torch.tensor([aspect[start] for start in starts]),
        torch.tensor([scenic[start] for start in starts]),
    ]


def _ids(labels: Sequence[np.ndarray]) -> np.ndarray:
    """The masks of one clip, ids and IGNORE.  Where no frame has an id, 255 is its object (DAVIS-2016);
    elsewhere a frame whose objects have left may hold 255 alone, and that is to be ignored.
    """
    stacked = np.stack(labels)
    if not ((stacked > 0) & (stacked < IGNORE)).any():
        return (stacked == 255).astype(np.uint8)
    stacked[stacked > MAX_OBJECTS] = IGNORE
    return stacked


def _cached(cache: Path | None, pairs: list, read: Callable, workers: int, join: Callable) -> list[Tensor]:
    """Tensors of these files: from `cache` when that has the same list, else decoded and kept there."""
    listing = "\n".join([LAYOUT, *(str(pair[0]) for pair in pairs)])
    if cache is not None and cache.exists():
        kept = _kept(cache)
        if kept["listing"] == listing:
            return kept["tensors"]
    log.info("reading %d pictures", len(pairs))
    with ProcessPoolExecutor(workers) as pool:
        tensors = join(list(pool.map(read, pairs, chunksize=32)))
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with Whole(cache) as part:  # several processes may read at once
            torch.save({"listing": listing, "tensors": tensors}, part)
    return tensors


def _kept(cache: Path) -> dict:
    """What an earlier run kept.  Raises OptionError when none wrote this file."""
    try:
        kept = torch.load(cache, weights_only=True, mmap=True)
    except Exception as error:  # a damaged pickle can raise almost anything
        raise not_ours(cache) from error
    if not isinstance(kept, dict) or set(kept) != {"listing", "tensors"}:
        raise not_ours(cache)
    return kept
