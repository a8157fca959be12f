"""Outlines of a mask along the edges of its pixels, and back: exact at every size, holes included.

A loop is an int (N, 2) array of corners x, y; 0, 0 is the upper left corner of the picture.  Loops around an
object go clockwise (as seen on the screen), loops around a hole counterclockwise, so that both rules of
filling, even-odd and nonzero, give the mask back.  Pixels that touch only at a corner lie in loops of their
own.
"""

from collections.abc import Iterable

import numpy as np


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """The loops of a bool (H, W) mask, the one around the largest area first."""
    x, y, turned = _corners(mask)
    if not len(x):
        return []
    # along each row of corners the first is joined to the second, the third to the fourth and so on; along
    # columns too, where the two corners of a crossing may have to be taken the other way round
    across = np.arange(len(x)) ^ 1
    order = np.lexsort((turned, y, x))
    down = np.empty(len(x), int)
    down[order] = order[np.arange(len(x)) ^ 1]
    loops = []
    left = np.ones(len(x), bool)
    for first in range(len(x)):
        if left[first]:
            walk = _walk(first, across, down)
            left[walk] = False
            loop = np.stack([x[walk], y[walk]], axis=1)
            solid = y[first] < mask.shape[0] and x[first] < mask.shape[1] and mask[y[first], x[first]]
            loops.append(loop if solid else np.roll(loop[::-1], 1, axis=0))
    return sorted(loops, key=lambda loop: -abs(area(loop)))


def _corners(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, rank among the corners of one place along a column) of all corners, row by row."""
    pixels = np.pad(mask.astype(bool), 1)
    above, below = pixels[:-1], pixels[1:]
    nw, ne, sw, se = above[:, :-1], above[:, 1:], below[:, :-1], below[:, 1:]
    crossing = (nw == se) & (ne == sw) & (nw != ne)
    count = (nw ^ ne ^ sw ^ se) + 2 * crossing
    y, x = np.nonzero(count)
    copies = count[y, x]
    y, x = np.repeat(y, copies), np.repeat(x, copies)
    second = np.zeros(len(x), int)
    second[1:] = (x[1:] == x[:-1]) & (y[1:] == y[:-1])
    rising = np.zeros(len(x), bool)  # the pixels that touch are the upper right and the lower left one
    if len(x):
        rising = (crossing & ne)[y, x]
    return x, y, np.where(rising, 1 - second, second)


def _walk(first: int, across: np.ndarray, down: np.ndarray) -> list[int]:
    walk, at = [first], across[first]
    while at != first:
        walk.append(at)
        at = down[at] if len(walk) % 2 == 0 else across[at]
    return walk


def area(loop: np.ndarray) -> float:
    """What a loop encloses, in pixels; negative for one that goes counterclockwise on the screen."""
    x, y = loop[:, 0].astype(float), loop[:, 1].astype(float)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def bridged(loops: list[np.ndarray]) -> np.ndarray:
    """All loops as one, joined by bridges of no width: for formats with one outline per object."""
    joined = loops[0]
    for loop in loops[1:]:
        distance = ((joined[:, None].astype(float) - loop[None]) ** 2).sum(axis=2)
        here, there = np.unravel_index(distance.argmin(), distance.shape)
        turned = np.roll(loop, -there, axis=0)
        joined = np.concatenate([joined[: here + 1], turned, turned[:1], joined[here:]])
    return joined


def fill(loops: Iterable[np.ndarray], height: int, width: int) -> np.ndarray:
    """bool (H, W): pixels whose centre lies inside, by the even-odd rule over all loops together.

    loops: (N, 2) x, y in pixels, whole numbers or not; what lies outside the picture is cut off.
    """
    crossed = np.zeros((height, width + 1), np.int32)
    for loop in loops:
        start = np.asarray(loop, float)
        for (x0, y0), (x1, y1) in zip(start, np.roll(start, -1, axis=0), strict=True):
            low, high = sorted((y0, y1))
            rows = np.arange(max(0, int(np.ceil(low - 0.5))), min(height, int(np.ceil(high - 0.5))))
            if len(rows):
                x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                np.add.at(crossed, (rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)), 1)
    return np.cumsum(crossed, axis=1)[:, :width] % 2 == 1
