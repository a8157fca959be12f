"""Runs of equal pixels: how COCO (column by column) and CVAT (row by row, in a box) store a mask.

Counts begin with background, so that the first one is 0 where the first pixel is the object's.  COCO's
compressed form writes each count as the difference to the one two places before it, in groups of five bits.
Source: pycocotools, with which the tests compare.
"""

from collections.abc import Sequence

import numpy as np

from stm_core.errors import MaskError


def counts_of(pixels: np.ndarray) -> list[int]:
    """The lengths of the runs of a flat bool array, background first."""
    changes = np.flatnonzero(np.diff(pixels.astype(np.int8), prepend=0, append=-1))
    return np.diff(changes, prepend=0).tolist()


def pixels_of(counts: Sequence[int], size: int, name: str) -> np.ndarray:
    """The inverse of `counts_of`: a flat bool array of `size` pixels.

    name: of the file, for the MaskError when the runs do not have so many pixels.
    """
    try:
        runs = np.asarray(counts)
    except ValueError:  # lists of several lengths
        runs = np.empty(0)
    if runs.ndim != 1 or not np.issubdtype(runs.dtype, np.integer):
        found = "runs that are no whole numbers"
    elif ((runs < 0) | (runs > size)).any():  # a sum of such may overflow, and be right
        found = f"a run of {runs.min() if (runs < 0).any() else runs.max()} pixels"
    elif runs.sum() != size:
        found = f"runs of {runs.sum()} pixels"
    else:
        return np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    raise MaskError(f"{name!r} has {found}, its mask has {size}; export the file again")


def coco_counts(mask: np.ndarray) -> list[int]:
    """The runs of a bool (H, W) mask as COCO counts them, column by column."""
    return counts_of(mask.ravel(order="F"))


def mask_of_coco(counts: Sequence[int] | str, height: int, width: int, name: str) -> np.ndarray:
    """bool (H, W) of a COCO mask, plain or compressed.  Raises MaskError."""
    runs = decompress(counts, name) if isinstance(counts, str) else counts
    return pixels_of(runs, height * width, name).reshape(width, height).T


def compress(counts: Sequence[int]) -> str:
    """The counts as COCO's compressed text."""
    text = bytearray()
    for n, count in enumerate(counts):
        left = count - counts[n - 2] if n > 2 else count
        more = True
        while more:
            group, left = left & 31, left >> 5
            more = left != -1 if group & 16 else left != 0
            text.append(48 + group + 32 * more)
    return text.decode()


def decompress(text: str, name: str) -> list[int]:
    """The counts of COCO's compressed text.  Raises MaskError when it is none."""
    counts: list[int] = []
    value = bits = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or bits > 60:
            break
        value |= (group & 31) << bits
        bits += 5
        if not group & 32:
            if group & 16:
                value -= 1 << bits
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = bits = 0
    else:
        if not bits:
            return counts
    raise MaskError(f"{name!r} has a compressed mask that is damaged; export the file again")
