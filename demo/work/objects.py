"""The objects of a clip as the visitor knows them: number, name, colour, and which one is selected."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stm_core.errors import LimitError, PromptError
from stm_core.masks.palette import PALETTE, SCREEN, standing_out

LONGEST_NAME = 24


@dataclass(frozen=True)
class Object:
    """An object of the clip.

    tint: its colour on the screen, an index of SCREEN; None until it is chosen.
    until_then: the same, for as long as `tint` is None.
    """

    id: int
    name: str
    tint: int | None = None
    until_then: int = 0

    @classmethod
    def new(cls, number: int, others: Iterable["Object"] = ()) -> "Object":
        """One without a name of its own, in a colour that none of the others has if there is one."""
        taken = {one.tint_now for one in others}
        free = (n % len(SCREEN) for n in range(number - 1, number - 1 + len(SCREEN)))
        usual = (number - 1) % len(SCREEN)
        return cls(number, f"Object {number}", until_then=next((n for n in free if n not in taken), usual))

    @property
    def tint_now(self) -> int:
        """The colour that it has now, an index of SCREEN."""
        return self.until_then if self.tint is None else self.tint

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Its colour on the screen."""
        found = SCREEN[self.tint_now]
        return int(found[0]), int(found[1]), int(found[2])

    @property
    def color(self) -> str:
        """The same for CSS."""
        return _css(self.rgb)

    @property
    def in_files(self) -> str:
        """CSS colour that its masks have in palette PNGs."""
        return _css(PALETTE[self.id])


def _css(colour: Iterable[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


@dataclass
class Objects:
    """All objects of a clip by number; there is always at least one, and one of them is selected."""

    by_id: dict[int, Object] = field(default_factory=lambda: {1: Object.new(1)})
    selected: int = 1

    def __iter__(self) -> Iterator[Object]:
        return iter([one for _, one in sorted(self.by_id.items())])

    def __len__(self) -> int:
        return len(self.by_id)

    def __contains__(self, number: int) -> bool:
        return number in self.by_id

    def __getitem__(self, number: int) -> Object:
        """The object with this number; PromptError when there is none."""
        if number not in self.by_id:
            names = ", ".join(f"“{one.name}”" for one in self)
            raise PromptError(f"there is no object {number}; choose one of: {names}")
        return self.by_id[number]

    @property
    def colours(self) -> dict[int, tuple[int, int, int]]:
        """Their colours on the screen, by number."""
        return {one.id: one.rgb for one in self}

    def shown(self) -> list[dict[str, Any]]:
        """What the browser is told of them: numbers, names, colours on the screen and in files."""
        return [{"id": one.id, "name": one.name, "color": one.color, "palette": one.in_files} for one in self]

    def colour(self, image: np.ndarray, labels: np.ndarray) -> None:
        """Choose the colours of objects that are seen for the first time: image uint8 (H, W, 3), labels
        (H, W).  A colour that was chosen stays.
        """
        for one in [one for one in self if one.tint is None]:
            under = image[labels == one.id]
            if len(under):
                taken = {other.tint_now for other in self if other.id != one.id}
                self.by_id[one.id] = replace(one, tint=standing_out(under, taken))

    def add(self, limit: int) -> None:
        """One more object with the first free number, selected.  LimitError beyond `limit`."""
        if len(self) >= limit:
            raise LimitError(f"a clip can have {limit} objects here and has {len(self)}; delete one first")
        self.selected = next(number for number in range(1, 256) if number not in self)
        self.by_id[self.selected] = Object.new(self.selected, self)

    def adopt(self, numbers: Sequence[int], limit: int) -> None:
        """Take the objects of an imported mask: new ones are added, one of them is selected.  LimitError."""
        fresh = [number for number in numbers if number not in self]
        if len(self) + len(fresh) > limit:
            raise LimitError(
                f"this mask has {len(numbers)} objects, {limit} are allowed here; remove or merge some"
            )
        for number in fresh:
            self.by_id[number] = Object.new(number, self)
        if self.selected not in numbers:
            self.selected = numbers[0]

    def restart(self, names: dict[int, str], tints: dict[int, int] | None = None) -> None:
        """These objects instead of all that are there; the first one is selected."""
        self.by_id = {number: replace(Object.new(number), tint=(tints or {}).get(number)) for number in names}
        self.selected = min(names)
        for number, name in names.items():
            self.rename(number, name)

    def select(self, number: int) -> None:
        """Make an object the one that clicks and strokes belong to."""
        self.selected = self[number].id

    def rename(self, number: int, name: str) -> None:
        """Call an object something else; the name is tidied, and an empty one changes nothing."""
        old = self[number]
        printable = "".join(c for c in str(name) if c.isprintable() or c.isspace())
        clean = re.sub(r"\s+", " ", printable).strip()[:LONGEST_NAME]
        self.by_id[number] = replace(old, name=clean or old.name)

    def remove(self, number: int) -> None:
        """Forget an object.  After the last one there is a fresh first one."""
        del self.by_id[self[number].id]
        if not self.by_id:
            self.by_id = {1: Object.new(1)}
        if self.selected not in self:
            self.selected = min(self.by_id)
