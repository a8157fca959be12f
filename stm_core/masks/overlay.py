"""Masks as colours: each object of a frame tinted and outlined."""

from functools import lru_cache

import numpy as np

from stm_core.errors import MaskError
from stm_core.masks.mask_files import check_labels
from stm_core.masks.palette import OVERLAY_COLOURS, lighter


def overlay(
    frame: np.ndarray,
    labels: np.ndarray,
    alpha: float = 0.5,
    contour: bool = True,
    colours: np.ndarray = OVERLAY_COLOURS,
) -> np.ndarray:
    """The frame with each object tinted in its colour: uint8 (H, W, 3), a new array.

    alpha: share of the colour, from 0 to 1.
    contour: draw a light outline, about 1/300 of the short side wide.
    colours: uint8 (256, 3), of all ids; see `palette.on_screen`.
    Raises MaskError if the sizes differ.
    """
    check_labels(labels)
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape != (*labels.shape, 3):
        got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise MaskError(
            f"the frame is {got}, the labels are {labels.shape}; expected uint8 (H, W, 3) of that size"
        )
    if not 0 <= alpha <= 1:
        raise MaskError(f"alpha is {alpha}; give a share between 0 and 1")
    out = frame.copy()
    where = _bounds(labels)
    if where is None:
        return out
    part, region = labels[where], out[where]
    row = part.astype(np.uint16) << 8  # one table look-up per channel: label and value in, value out
    for channel, table in enumerate(_blend_tables(round(alpha * 256), colours.tobytes())):
        region[..., channel] = table.take(row | region[..., channel])
    if contour:
        edge = _outline(labels, max(1, round(min(labels.shape) / 300)))[where]
        region[edge] = lighter(colours)[part[edge]]
    return out


@lru_cache(maxsize=4)
def _blend_tables(share: int, colours: bytes) -> list[np.ndarray]:
    """Three tables uint8 (256 * 256), for R, G and B.  colours: of the 256 labels, three bytes each.

    Entry label * 256 + value is the value blended with share/256 of the label's colour.
    """
    values, tints = np.arange(256), np.frombuffer(colours, np.uint8).reshape(256, 3).astype(int)
    blended = (values[None, :, None] * (256 - share) + tints[:, None, :] * share + 128) // 256
    blended[0] = values[:, None]
    return [np.ascontiguousarray(blended[..., channel], np.uint8).ravel() for channel in range(3)]


def _bounds(labels: np.ndarray) -> tuple[slice, slice] | None:
    rows = np.flatnonzero(labels.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(labels[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _outline(labels: np.ndarray, width: int) -> np.ndarray:
    """bool (H, W): object pixels within `width` of another label. The border of the frame is no outline."""
    differs = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        for step in range(1, width + 1):
            near = [slice(None), slice(None)]
            far = [slice(None), slice(None)]
            near[axis], far[axis] = slice(None, -step), slice(step, None)
            changed = labels[tuple(near)] != labels[tuple(far)]
            differs[tuple(near)] |= changed
            differs[tuple(far)] |= changed
    return differs & (labels != 0)
