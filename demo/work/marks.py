"""A visitor's marks on one frame: clicks, and the mask that they gave."""

from dataclasses import dataclass, replace

import numpy as np

from stm_core.engine.prompts import Prompt
from stm_core.errors import PromptError
from stm_core.masks.mask_files import decode_mask, encode_mask, object_ids


@dataclass(frozen=True)
class Marks:
    """Marks of one frame; masks are PNG bytes, a few kB.

    clicks: (x, y, label, object) since `base`.
    base: the mask that the clicks refine (drawn, imported or tracked), or None.
    mask: the result, or None while it is not computed.
    dots: every click, as (x, y, label, object), to be shown.
    tracked: objects of the run's mask that these marks changed; those missing in `mask` were erased.
    """

    clicks: tuple[tuple[int, int, int, int], ...] = ()
    base: bytes | None = None
    mask: bytes | None = None
    dots: tuple[tuple[int, int, int, int], ...] = ()
    tracked: tuple[int, ...] = ()

    def with_click(self, click: tuple[int, int, int, int]) -> "Marks":
        """The same with one more click; the mask is to be computed anew."""
        return replace(self, clicks=(*self.clicks, click), dots=(*self.dots, click))

    def with_moved(self, place: int, number: int) -> "Marks":
        """The same with one click given to another object.  place: of the click in `dots`.

        Raises PromptError when the click belongs to a mask that was painted since.
        """
        old = self.dots[place]
        if old not in self.clicks:
            raise PromptError(
                "this click has become part of a painted mask and cannot be moved; undo instead"
            )
        new = (*old[:3], number)
        at = len(self.clicks) - 1 - self.clicks[::-1].index(old)
        return replace(
            self,
            clicks=(*self.clicks[:at], new, *self.clicks[at + 1 :]),
            dots=(*self.dots[:place], new, *self.dots[place + 1 :]),
        )

    def drawn(self, labels: np.ndarray) -> "Marks":
        """The same with a mask that was drawn or imported; later clicks refine it."""
        packed = encode_mask(labels)
        return replace(self, clicks=(), base=packed, mask=packed)

    def computed(self, labels: np.ndarray) -> "Marks":
        """The same with the mask that the network gave."""
        return replace(self, mask=encode_mask(labels))

    def without(self, gone: int) -> "Marks | None":
        """The same without one object; None when nothing is left."""
        keep = replace(
            self,
            clicks=tuple(c for c in self.clicks if c[3] != gone),
            dots=tuple(d for d in self.dots if d[3] != gone),
            base=_erased(self.base, gone),
            mask=_erased(self.mask, gone),
            tracked=tuple(n for n in self.tracked if n != gone),
        )
        shows = any(packed is not None and decode_mask(packed).any() for packed in (keep.base, keep.mask))
        return keep if keep.clicks or keep.tracked or shows else None

    @property
    def before(self) -> set[int]:
        """Objects that the frame had before these marks."""
        return {*self.tracked, *(object_ids(decode_mask(self.base)) if self.base else ())}

    @property
    def objects(self) -> tuple[int, ...]:
        """Objects that have pixels in the mask that these marks gave."""
        return object_ids(decode_mask(self._computed()))

    def _computed(self) -> bytes:
        assert self.mask is not None, "marks are kept once their mask is computed"
        return self.mask

    def prompt(self, index: int) -> Prompt | None:
        """The marks as the engine takes them: clicks where there are only clicks, else the mask.  None when
        the mask is empty and no object was erased.
        """
        if self.base is None:
            return Prompt.from_clicks(self.clicks, frame=index)
        labels = decode_mask(self._computed())
        spoken_of = {*object_ids(labels), *self.before}  # an object that was erased is not in this frame
        return Prompt.from_mask(labels, frame=index, objects=spoken_of) if spoken_of else None


def _erased(packed: bytes | None, gone: int) -> bytes | None:
    if packed is None:
        return None
    labels = decode_mask(packed)
    return encode_mask(np.where(labels == gone, 0, labels).astype(np.uint8))
