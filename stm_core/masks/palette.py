"""Object ids and their colours."""

import numpy as np

MAX_OBJECTS = 254  # ids 1 to 254
IGNORE = 255  # not scored, and never an object


def _bit_colours() -> np.ndarray:
    """(256, 3) uint8: bits of the number dealt out to R, G, B, highest first, as PASCAL VOC does."""
    numbers = np.arange(256)
    table = np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (numbers >> (3 * level + channel)) & 1
            table[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return table


def _davis_colours() -> np.ndarray:
    """(256, 3) uint8: the palette of the DAVIS PNGs: bit colours, 191 for 192, greys (n, n, n) from 22."""
    table = VOC.copy()
    table[table == 192] = 191
    table[22:] = np.arange(22, 256, dtype=np.uint8)[:, None]
    return table


VOC = _bit_colours()
PALETTE = _davis_colours()
# on pictures the near-black greys would not be seen: ids from 22 on use the bit colours there
OVERLAY_COLOURS = np.concatenate([PALETTE[:22], VOC[22:]])
