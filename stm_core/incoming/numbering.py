"""Which frame a picture belongs to, and which object a name."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence

from stm_core.errors import MaskError
from stm_core.masks.palette import MAX_OBJECTS
from stm_core.media.pictures import natural

_NUMBER = re.compile(r"\d{1,9}(?!.*\d)")


def frames_of(names: Sequence[str], frames: int, file: str) -> list[int]:
    """The frame of each picture: the last number in its name, if all have one.

    If the numbers do not fit a clip of so many frames, or are missing, the names count in order, and there
    must be as many names as frames.  Raises MaskError.
    """
    found = [_NUMBER.search(name.rpartition("/")[2].rpartition(".")[0] or name) for name in names]
    numbers = [int(one[0]) for one in found if one]
    fits = len(numbers) == len(names) == len(set(numbers)) and max(numbers, default=0) < frames
    if fits:
        return numbers
    if len(set(names)) != frames:
        raise MaskError(
            f"{file!r} has {len(set(names))} frames, the clip has {frames} (0 to {frames - 1}); give one for "
            "each frame, or names that end in the number of the frame"
        )
    place = {name: n for n, name in enumerate(sorted(set(names), key=natural))}
    return [place[name] for name in names]


def ids_of(keys: Iterable[Hashable], file: str) -> dict[Hashable, int]:
    """An object id for each key: itself, or the number that it ends in, if all have one; else by order.

    Raises MaskError when there are too many.
    """
    order = list(dict.fromkeys(keys))
    if len(order) > MAX_OBJECTS:
        raise MaskError(
            f"{file!r} has {len(order)} objects, at most {MAX_OBJECTS} are possible; leave some out"
        )
    numbers = [_number(key) for key in order]
    if len(set(numbers)) == len(order) and all(1 <= number <= MAX_OBJECTS for number in numbers):
        return dict(zip(order, numbers, strict=True))
    return {key: n for n, key in enumerate(order, 1)}


def _number(key: Hashable) -> int:
    if isinstance(key, int):
        return key
    found = re.search(r"\d{1,9}$", str(key))
    return int(found[0]) if found else 0


def check_size(what: str, got: tuple[int, int], expected: tuple[int, int]) -> None:
    """Raises MaskError when sizes (H, W) differ."""
    if got != expected:
        raise MaskError(
            f"{what} is {got[1]}x{got[0]}, the clip is {expected[1]}x{expected[0]}; "
            "export it at the clip's size"
        )
