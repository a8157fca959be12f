"""RGB arrays as the frames that a codec takes: padded, in its pixel format, with the source's colours.

The other way is `upright`.
"""

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from stm_core.media.kinds import Kind
from stm_core.media.upright import MATRIX_601, MATRIX_709


class Coded:
    """Turns uint8 (H, W, 3) RGB arrays, or (H, W, 4) RGBA with alpha, into frames of one kind of video.

    colour: matrix, primaries and transfer of the source, as in `VideoInfo`.
    height, width: of the frames; odd sides are padded where two by two pixels share a colour.
    padded: whether they are.
    """

    def __init__(self, kind: Kind, height: int, width: int, colour: tuple[int, int, int]):
        self._kind = kind
        self._pad = (height % 2, width % 2) if "420" in kind.format else (0, 0)
        self.padded = any(self._pad)
        self.height, self.width = height + self._pad[0], width + self._pad[1]
        self._matrix, self._primaries, self._transfer = _tags(colour, height)
        self._reformat = VideoReformatter().reformat

    def tag(self, context: av.VideoCodecContext) -> None:
        """Say in the stream which colours the frames have."""
        context.color_range, context.colorspace = ColorRange.MPEG, self._matrix
        context.color_primaries, context.color_trc = self._primaries, self._transfer

    def __call__(self, rgb: np.ndarray) -> av.VideoFrame:
        if self.padded:
            rgb = np.pad(rgb, ((0, self._pad[0]), (0, self._pad[1]), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(rgb), format="rgb24" if self._kind.channels == 3 else "rgba"
        )
        picture = self._reformat(
            picture,
            format=self._kind.format.removesuffix("10le"),
            dst_colorspace=self._matrix,
            dst_color_range=ColorRange.MPEG,
        )
        return _ten_bits(picture, self._kind.format) if "10" in self._kind.format else picture


def _ten_bits(picture: av.VideoFrame, form: str) -> av.VideoFrame:
    """A picture of 8 bits with 10, in a pixel format of the same planes, the last one alpha.

    FFmpeg's own scaler leaves eight wrong pixels wherever the part of one of its threads begins.
    """
    wide = av.VideoFrame(picture.width, picture.height, form)
    for n, (source, target) in enumerate(zip(picture.planes, wide.planes, strict=True)):
        values = np.frombuffer(memoryview(source), np.uint8).reshape(source.height, -1)[:, : source.width]
        rows = np.zeros((target.height, target.line_size // 2), "<u2")
        scaled = values.astype(np.uint32) * 1023 // 255 if n == 3 else values.astype(np.uint32) << 2
        rows[:, : target.width] = scaled
        target.update(rows)
    return wide


def _tags(colour: tuple[int, int, int], height: int) -> tuple[int, int, int]:
    """(matrix, primaries, transfer) to convert with and to tag: the source's, or BT.709 / BT.601 by height.

    HDR tags are not passed on: the frames are 8 bit and an HDR tag on them would be wrong for most players.
    """
    matrix, primaries, transfer = colour
    if matrix not in (MATRIX_601, MATRIX_709):
        matrix = MATRIX_709 if height >= 720 or matrix else MATRIX_601
    usual = 1 if matrix == MATRIX_709 else 6
    return (
        matrix,
        primaries if primaries in (1, 5, 6) else usual,
        transfer if transfer in (1, 6, 13) else usual,
    )
