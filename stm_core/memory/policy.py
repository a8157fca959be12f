"""What the memory keeps: the presets by the names people know, and the numbers they take."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from stm_core.errors import OptionError

PRESETS = ("first", "previous", "first+previous", "every-5", "bounded")


@dataclass(frozen=True)
class MemoryConfig:
    """A memory strategy: which frames are written and what is dropped when the budget is full.

    preset: `first` keeps the prompted frames; `previous` the last frame; `first+previous` both; `every-5`
    these and every n-th frame, without bound (STM as published); `bounded` the same within a budget, the
    least used frame going first.
    Raises OptionError if a value makes no sense.
    """

    preset: str = "bounded"
    every: int = 5  # `every-5` and `bounded` write one frame in this many (STM: 5)
    budget_bytes: int = 64 * 2**20  # `bounded`: most bytes of stored keys and values
    capacity: int = 8  # `bounded`: most frames held, which keeps the time per frame flat
    top_k: int | None = None  # stored positions that count for a query position; None = all (STM)

    def __post_init__(self):
        if not isinstance(self.preset, str) or self.preset not in PRESETS:
            raise OptionError(f"memory preset is {self.preset!r}; choose one of {', '.join(PRESETS)}")
        for name, least in (("every", 1), ("budget_bytes", 1), ("capacity", 2), ("top_k", 1)):
            value = getattr(self, name)
            if name == "top_k" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise OptionError(f"memory option {name} is {value!r}, give at least {least}, a whole number")
