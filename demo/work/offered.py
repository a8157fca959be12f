"""What a first click may mean: masks to choose from, until the frame is marked again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demo.work.marks import Marks
from stm_core.masks.mask_files import decode_mask, encode_mask

WORDS = {2: ("smaller", "larger"), 3: ("small", "medium", "large")}


@dataclass(frozen=True)
class Choices:
    """Masks of one object on one frame.

    marks: of the frame when these were computed, or chosen; once it has other marks they are outdated.
    masks: PNG bytes, the smallest mask first.
    pictures: addresses of small pictures of them.
    """

    frame: int
    number: int
    marks: Marks
    masks: tuple[bytes, ...]
    pictures: tuple[str, ...] = ()

    @classmethod
    def of(cls, frame: int, number: int, marks: Marks, masks: Sequence[np.ndarray]) -> "Choices":
        """From masks bool (H, W)."""
        return cls(frame, number, marks, tuple(encode_mask(mask.astype(np.uint8)) for mask in masks))

    def shown(self, now: np.ndarray) -> list[dict[str, Any]]:
        """What the browser is told of them.  now: labels (H, W) of the frame; the mask it shows is "on"."""
        words = WORDS.get(len(self.masks), WORDS[3])
        return [
            {"src": src, "words": word, "on": bool(np.array_equal(self.labels(n, now), now))}
            for n, (src, word) in enumerate(zip(self.pictures, words, strict=False))
        ]

    def labels(self, n: int, before: np.ndarray) -> np.ndarray:
        """Labels (H, W) with the n-th mask instead of the object's own; other objects keep their pixels."""
        others = np.where(before == self.number, 0, before)
        chosen = (decode_mask(self.masks[n]) > 0) & (others == 0)
        return np.where(chosen, self.number, others).astype(np.uint8)


def open_click(marks: Marks | None, number: int) -> tuple[int, int, int, int] | None:
    """The only click of an object that has no other mark on this frame, if it is on the object."""
    if marks is None or number in marks.before:
        return None
    own = [click for click in marks.clicks if click[3] == number]
    return own[0] if len(own) == 1 and own[0][2] == 1 else None
