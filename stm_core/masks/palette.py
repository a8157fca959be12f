"""Object ids and their colours."""

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
# Nobody would see the dark greys on a picture: there, ids from 22 on have the colours of VOC.
OVERLAY_COLOURS = np.concatenate([PALETTE[:22], VOC[22:]])
