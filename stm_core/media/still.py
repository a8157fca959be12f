"""One untrusted picture: opened with an allowed decoder, turned upright, as RGB."""

import struct
import warnings

import numpy as np
from PIL import Image, ImageOps

from stm_core.errors import LimitError, VideoError
from stm_core.media.limits import VideoLimits
from stm_core.media.upright import over_background

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # the decoders allowed for untrusted pictures
PICTURE_ERRORS = (OSError, ValueError, SyntaxError, struct.error, EOFError, IndexError, MemoryError)


def open_picture(data, name: str, limits: VideoLimits, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """A Pillow image (not decoded yet) of a path or binary file, its size checked first.

    Raises VideoError if it is no picture, LimitError if it is too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit comes next
            image = Image.open(data, formats=formats)
    except Image.DecompressionBombError as error:
        raise LimitError(f"{name!r} is far too large a picture; scale it down first") from error
    except PICTURE_ERRORS as error:
        raise VideoError(
            f"{name!r} is not a picture that can be read; expected {', '.join(formats)}"
        ) from error
    try:
        limits.check_pixels(*image.size, repr(name))
    except LimitError:
        image.close()
        raise
    return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of what `to_rgb` gives: EXIF orientations 5 to 8 swap the two."""
    try:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except PICTURE_ERRORS:
        turned = False
    return image.size[::-1] if turned else image.size


def to_rgb(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3) of any Pillow image: EXIF orientation applied, 16 bit scaled, no transparency."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip at 255
        grey = np.asarray(image).astype(np.int64)
        grey = (np.clip(grey, 0, 65535) / 257 + 0.5).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return over_background(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))
