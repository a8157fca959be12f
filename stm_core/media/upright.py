"""Decoded frames as uint8 (H, W, 3) RGB arrays: upright, with square pixels, in the right colours.

Matrix and range follow the stream's tags; untagged video is BT.709 from 720 lines up and BT.601 below, as
browsers and players assume.
"""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

WINDOW_BYTES = 96 * 2**20  # decoded frames held at once while reading backwards
BACKGROUND = 255  # what shows through transparent parts: white, as on most pages
ODDEST_ASPECT = 5  # a pixel aspect beyond 1:5 or 5:1 is taken for damage
MATRIX_601, MATRIX_709 = 5, 1  # AVColorSpace numbers


class Upright:
    """Turns decoded frames into uint8 (H, W, 3) RGB arrays of one size; with alpha, (H, W, 4) RGBA."""

    def __init__(self, first: av.VideoFrame, aspect: Fraction | None, alpha: bool = False):
        self._alpha = alpha
        self.rotation = round(first.rotation / 90) * 90 % 360  # degrees counter-clockwise
        self.aspect = _sane_aspect(aspect)
        width, height = first.width, first.height
        if self.aspect > 1:
            width = max(1, round(width * self.aspect))
        elif self.aspect < 1:
            height = max(1, round(height / self.aspect))
        self._coded = (width, height)
        self.width, self.height = (height, width) if self.rotation % 180 else (width, height)
        self._reformat = VideoReformatter().reformat

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        flat = has_alpha(frame) and not self._alpha
        shrinks = self._coded[0] < frame.width
        rgb = self._reformat(
            frame,
            *self._coded,
            _form(frame) if flat or self._alpha else "rgb24",
            src_colorspace=matrix_of(frame),
            src_color_range=ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA if shrinks else Interpolation.BICUBIC,
        ).to_ndarray()
        if flat:
            rgb = over_background(rgb)
        if self.rotation:
            rgb = np.ascontiguousarray(np.rot90(rgb, self.rotation // 90))
        return rgb


def _sane_aspect(aspect: Fraction | None) -> Fraction:
    if not aspect or not Fraction(1, ODDEST_ASPECT) <= aspect <= ODDEST_ASPECT:
        return Fraction(1)
    return aspect


def _form(frame: av.VideoFrame) -> str:
    # FFmpeg's shortcut from yuva420p to rgba leaves the last one to four columns unset at some widths
    return "gbrap" if frame.format.name == "yuva420p" else "rgba"


def has_alpha(frame: av.VideoFrame) -> bool:
    """True if the frame carries an alpha plane."""
    return frame.format.name == "pal8" or any(c.is_alpha for c in frame.format.components)


def over_background(rgba: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 4) straight alpha -> uint8 (H, W, 3) over the background colour."""
    alpha = rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    mixed = rgba[..., :3].astype(np.uint16) * alpha + BACKGROUND * (255 - alpha.astype(np.uint16))
    return ((mixed + 127) // 255).astype(np.uint8)


def is_full_range(frame: av.VideoFrame) -> bool:
    """True if luma uses 0..255 rather than 16..235."""
    return frame.color_range == 2 or frame.format.name.startswith("yuvj") or frame.format.is_rgb


def matrix_of(frame: av.VideoFrame) -> int:
    """The swscale number of the frame's YUV matrix: its tag, or the usual guess by height."""
    tagged = {
        1: Colorspace.ITU709,
        4: Colorspace.FCC,
        5: Colorspace.ITU601,
        6: Colorspace.ITU601,
        7: Colorspace.SMPTE240M,
        9: Colorspace.BT2020,
        10: Colorspace.BT2020,
    }
    guess = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    return int(tagged.get(int(frame.colorspace), guess))
