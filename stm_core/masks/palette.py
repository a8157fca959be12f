"""Object ids and their colours: in files those of DAVIS, on a screen brighter ones."""

from collections.abc import Collection, Mapping

import numpy as np

MAX_OBJECTS = 254  # ids 1 to 254
IGNORE = 255  # not scored, and never an object


def _bit_colours() -> np.ndarray:
    """The colours of PASCAL VOC, uint8 (256, 3): the bits of a number go to R, G and B in turn."""
    numbers = np.arange(256)
    table = np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (numbers >> (3 * level + channel)) & 1
            table[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return table


def _davis_colours() -> np.ndarray:
    """The palette of the DAVIS PNGs, uint8 (256, 3): as VOC, but 191 for 192, and greys (n, n, n) from 22."""
    table = VOC.copy()
    table[table == 192] = 191
    table[22:] = np.arange(22, 256, dtype=np.uint8)[:, None]
    return table


VOC = _bit_colours()
PALETTE = _davis_colours()
# On a screen: eight bright colours whose nearest pair is as far apart as it can be for people with normal and
# with each kind of colour-blind sight (searched in OKLab, sight simulated after Machado et al., 2009).
SCREEN = np.array(
    [
        (230, 255, 0),
        (200, 0, 255),
        (160, 255, 200),
        (255, 40, 0),
        (255, 160, 255),
        (40, 160, 120),
        (160, 120, 200),
        (160, 200, 120),
    ],
    np.uint8,
)
OVERLAY_COLOURS = np.concatenate([np.zeros((1, 3), np.uint8), SCREEN, (64 + 0.75 * VOC[9:]).astype(np.uint8)])
LIGHT = 0.65  # share of white in an outline
ENOUGH = 0.3  # distance in OKLab from which a colour is seen at once, even when it is mixed half and half
MOST_PIXELS = 4096  # most pixels of an object that a choice looks at


def on_screen(chosen: Mapping[int, tuple[int, int, int]]) -> np.ndarray:
    """The colours of all ids on a screen, uint8 (256, 3), with those that were chosen for some of them."""
    table = OVERLAY_COLOURS.copy()
    for number, colour in chosen.items():
        table[number] = colour
    return table


def lighter(colours: np.ndarray) -> np.ndarray:
    """Colours of the outlines around objects of these colours, uint8 (N, 3)."""
    return np.round(255 - (255 - colours.astype(float)) * (1 - LIGHT)).astype(np.uint8)


def standing_out(pixels: np.ndarray, taken: Collection[int] = ()) -> int:
    """The index in SCREEN of the colour for an object: the first one that stands out clearly from the
    object's pixels, or the one that stands out most.

    pixels: uint8 (N, 3), of the object.  taken: colours of other objects, left out while others are free.
    """
    free = [n for n in range(len(SCREEN)) if n not in taken] or list(range(len(SCREEN)))
    under = _oklab(pixels[:: max(1, len(pixels) // MOST_PIXELS)])
    if not len(under):
        return free[0]
    apart = np.linalg.norm(under[:, None] - _oklab(SCREEN[free])[None], axis=-1)
    seen = np.quantile(apart, 0.25, axis=0)  # on three quarters of the object it is at least this far
    clear = np.flatnonzero(seen >= ENOUGH)
    return free[int(clear[0] if len(clear) else seen.argmax())]


def _oklab(colours: np.ndarray) -> np.ndarray:
    """sRGB uint8 (N, 3) -> OKLab (N, 3), in which distances are as they are seen (Ottosson, 2020)."""
    share = colours / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    cones = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]])
    lab = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    return np.cbrt(light @ cones.T) @ lab.T
