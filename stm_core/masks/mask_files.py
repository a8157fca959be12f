"""Masks as files: palette PNGs with the DAVIS colours.

Labels are always uint8 (H, W): 0 is background, 1 to 254 are object ids. 255 is no id, because data sets
use it for "ignore".
"""

import io
import os
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from stm_core.errors import LimitError, MaskError, VideoError
from stm_core.masks.foreign import labels_of_image
from stm_core.masks.palette import PALETTE
from stm_core.media.files import write_whole
from stm_core.media.limits import SAFE_LIMITS, VideoLimits
from stm_core.media.still import PICTURE_ERRORS, open_picture

MASK_FORMATS = ("PNG", "BMP", "GIF", "WEBP", "TIFF", "JPEG")
MASK_NAME = re.compile(r"\d{5,}\.png")  # what `mask_name` gives


def read_mask(
    source: str | os.PathLike | Image.Image | np.ndarray,
    size: tuple[int, int] | None = None,
    limits: VideoLimits = SAFE_LIMITS,
    *,
    empty: bool = False,
) -> np.ndarray:
    """Labels uint8 (H, W) of a mask made elsewhere.

    source: a picture file, a Pillow image, or an array (H, W) or (H, W, 3 or 4). It may be black and white,
        grey or palette ids (kept), or one flat colour an object on black: DAVIS colours keep their ids,
        others count from 1, top to bottom. Soft edges go to the touching object whose colour is nearest.
    size: (H, W) of the frame it belongs to.
    empty: accept a mask that is all background.
    Raises MaskError: unreadable, another size, all background, more than 254 objects, a photograph.
    """
    if isinstance(source, np.ndarray):
        source = _image_of(source)
    if isinstance(source, Image.Image):
        return _labels(source, "the mask", size, empty)
    path = Path(source)
    try:
        with open_picture(path, path.name, limits, MASK_FORMATS) as image:
            return _labels(image, path.name, size, empty)
    except (VideoError, LimitError) as error:
        if not os.path.isfile(path):  # False where one may not look
            raise MaskError(f"there is no mask file {path.name!r}; check the path") from error
        raise MaskError(str(error)) from error


def _labels(image: Image.Image, name: str, size: tuple[int, int] | None, empty: bool) -> np.ndarray:
    try:
        image.load()
        image = _upright(image)
    except PICTURE_ERRORS as error:
        raise MaskError(f"{name!r} is a damaged picture; export it again") from error
    if size is not None:
        _check_size(name, (image.height, image.width), (size[0], size[1]))
    labels = labels_of_image(image, name)
    if not (empty or labels.any()):
        raise MaskError(f"{name!r} is all background; draw at least one object in a colour other than black")
    return labels


def _upright(image: Image.Image) -> Image.Image:
    """The picture as its EXIF turns it, still with its format, which says how exact its colours are."""
    turned = ImageOps.exif_transpose(image)
    turned.format = image.format
    return turned


def _image_of(array: np.ndarray) -> Image.Image:
    array = array.astype(np.uint8) * 255 if array.dtype == bool else array
    plain = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not plain or not array.size:
        raise MaskError(
            f"a mask array is {array.dtype} {array.shape}, expected uint8 (H, W), (H, W, 3) or (H, W, 4); "
            "convert it first"
        )
    return Image.fromarray(array)


def _check_size(name: str, got: tuple[int, int], expected: tuple[int, int]) -> None:
    if got == expected:
        return
    sizes = f"{name!r} is {got[1]}x{got[0]}, the clip is {expected[1]}x{expected[0]}"
    if got == expected[::-1]:
        raise MaskError(f"{sizes}; turn the mask by 90 degrees")
    if abs(got[1] * expected[0] - got[0] * expected[1]) <= max(expected):
        raise MaskError(f"{sizes}; scale the mask to that size with nearest-neighbour")
    raise MaskError(f"{sizes}, a different shape; draw the mask on a frame of this clip")


def check_labels(labels: np.ndarray) -> np.ndarray:
    """The same array if it is uint8 (H, W); raises MaskError otherwise."""
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.ndim != 2 or not labels.size:
        got = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else type(labels).__name__
        raise MaskError(f"labels are {got}, expected uint8 (H, W); convert them first")
    return labels


def object_ids(labels: np.ndarray) -> tuple[int, ...]:
    """The object ids present, sorted, without 0 (background) and 255 (ignore)."""
    present = np.bincount(check_labels(labels).ravel(), minlength=256)
    return tuple(int(n) for n in np.flatnonzero(present[1:255]) + 1)


def mask_name(index: int) -> str:
    """The file name of a frame's mask."""
    return f"{index:05d}.png"


def encode_mask(labels: np.ndarray) -> bytes:
    """The labels as an 8-bit palette PNG with the DAVIS colours; pixel value = object id."""
    image = Image.fromarray(check_labels(labels))
    image.putpalette(PALETTE.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def decode_mask(png: bytes) -> np.ndarray:
    """The labels uint8 (H, W) of a PNG that `encode_mask` made."""
    return _numbers(io.BytesIO(png))


def read_labels(path: Path) -> np.ndarray:
    """The numbers of a palette or grey PNG as they are, uint8 (H, W): a mask of ours or of a data set.

    Raises MaskError when the file cannot be read.
    """
    try:
        return _numbers(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise MaskError(f"the mask {path} cannot be read: {error}; get or make the file again") from error


def _numbers(source: Path | BinaryIO) -> np.ndarray:
    with Image.open(source) as image:
        return np.array(image if image.mode in ("P", "L", "1") else image.convert("L"), np.uint8)


def write_mask(path: str | os.PathLike, labels: np.ndarray) -> None:
    """Write the labels as `encode_mask` does. The file is whole or not there. Raises MaskError."""
    data = encode_mask(labels)
    try:
        write_whole(Path(path), data)
    except VideoError as error:
        raise MaskError(str(error)) from error
