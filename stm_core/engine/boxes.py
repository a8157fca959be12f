"""A box around an object becomes its mask, through the network that answers clicks.

It sees the piece of the frame around the box, with clicks inside the box and just outside of it, and corrects
a guess: the ellipse that fills the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stm_core.engine.clicks import segment_frame
from stm_core.engine.geometry import check_image
from stm_core.engine.prompts import Click
from stm_core.errors import PromptError
from stm_core.networks.weights import Model

LEAST = 4  # least pixels of a box's side
ROOM, LEAST_ROOM = 0.25, 12  # around the box, on each side: share of its side, and least pixels
AWAY, LEAST_AWAY = 0.08, 5  # the same, for how far outside of the box the negative clicks are
# positive clicks, as shares of the box's sides
INSIDE = ((0.5, 0.5), (0.5, 0.3), (0.5, 0.7), (0.3, 0.5), (0.7, 0.5))
READS = 2  # of the piece, each from the mask of the one before


@dataclass(frozen=True)
class BoxPrompt:
    """A box on a frame, and the clicks and the piece of the frame with which the network is asked.

    left, top, right, bottom: its pixels, the last ones exclusive.
    height, width: of the frame.
    """

    left: int
    top: int
    right: int
    bottom: int
    height: int
    width: int

    @classmethod
    def of(cls, box: Sequence[float], height: int, width: int) -> BoxPrompt:
        """From two corners (x, y, x, y) in any order; what lies outside the frame is cut off.

        Raises PromptError.
        """
        try:
            x, y, other_x, other_y = (float(value) for value in box)
        except (TypeError, ValueError, OverflowError) as error:
            raise PromptError(
                f"a box is {repr(box)[:60]}, expected two corners as x, y, x, y; give numbers"
            ) from error
        if not np.isfinite([x, y, other_x, other_y]).all():
            raise PromptError(f"a box is {repr(box)[:60]}, expected finite numbers; draw it again")
        (left, right), (top, bottom) = sorted((x, other_x)), sorted((y, other_y))
        left, top = max(0, int(np.floor(left))), max(0, int(np.floor(top)))
        right, bottom = min(width, int(np.ceil(right))), min(height, int(np.ceil(bottom)))
        if right - left < LEAST or bottom - top < LEAST:
            raise PromptError(
                f"the box covers {max(right - left, 0)}x{max(bottom - top, 0)} pixels of the frame, at least "
                f"{LEAST}x{LEAST} are needed; draw it around the object"
            )
        return cls(left, top, right, bottom, height, width)

    @property
    def _piece(self) -> tuple[int, int, int, int]:
        """top, bottom, left, right of what is seen."""
        across = max(LEAST_ROOM, round(ROOM * (self.right - self.left)))
        down = max(LEAST_ROOM, round(ROOM * (self.bottom - self.top)))
        return (
            max(0, self.top - down),
            min(self.height, self.bottom + down),
            max(0, self.left - across),
            min(self.width, self.right + across),
        )

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The piece of a frame (H, W, 3) that is seen."""
        top, bottom, left, right = self._piece
        return np.ascontiguousarray(image[top:bottom, left:right])

    @property
    def clicks(self) -> list[Click]:
        """Clicks on that piece, for object 1: inside the box, and outside where the frame goes on."""
        top, bottom, left, right = self._piece
        wide, high = self.right - self.left, self.bottom - self.top
        middle = self.left + wide / 2, self.top + high / 2
        across, down = max(LEAST_AWAY, AWAY * wide), max(LEAST_AWAY, AWAY * high)
        inside = [(self.left + x * wide, self.top + y * high, 1) for x, y in INSIDE]
        outside = [
            (self.left - across, middle[1], 0),
            (self.right - 1 + across, middle[1], 0),
            (middle[0], self.top - down, 0),
            (middle[0], self.bottom - 1 + down, 0),
        ]
        seen = [one for one in (*inside, *outside) if left <= one[0] < right and top <= one[1] < bottom]
        return [(x - left, y - top, label, 1) for x, y, label in seen]

    def pasted(self, found: np.ndarray) -> np.ndarray:
        """A mask of that piece, bool (h, w), as one of the frame, bool (H, W): False outside the box."""
        top, _, left, _ = self._piece
        inside = np.s_[self.top - top : self.bottom - top, self.left - left : self.right - left]
        mask = np.zeros((self.height, self.width), bool)
        mask[self.top : self.bottom, self.left : self.right] = found[inside]
        return mask

    @property
    def guess(self) -> np.ndarray:
        """Labels uint8 (h, w) of the piece: 1 in the ellipse that fills the box."""
        top, bottom, left, right = self._piece
        y = (np.arange(top, bottom) + 0.5 - (self.top + self.bottom) / 2) / (self.bottom - self.top)
        x = (np.arange(left, right) + 0.5 - (self.left + self.right) / 2) / (self.right - self.left)
        return (y[:, None] ** 2 + x**2 < 0.25).astype(np.uint8)


def segment_box(model: Model, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """The mask bool (H, W) of the object in a box on a frame.

    image: uint8 (H, W, 3) RGB.  box: x, y, x, y of two corners, pixels.
    Raises PromptError, VideoError.
    """
    check_image(image)
    prompt = BoxPrompt.of(box, *image.shape[:2])
    piece, labels = prompt.cut(image), prompt.guess
    for _ in range(READS):
        labels = segment_frame(model, piece, prompt.clicks, mask=labels)
    return prompt.pasted(labels == 1)
