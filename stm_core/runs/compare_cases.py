"""What may be compared: memory strategies, sizes, memory limits and networks, each as a case with a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stm_core.errors import OptionError
from stm_core.memory.policy import PRESETS, UNLIMITED, MemoryConfig
from stm_core.networks.weights import Model

MOST = 5  # cases of a comparison


@dataclass(frozen=True)
class Case:
    """One run of a comparison: what it changes; None: as for all of them.

    size: most pixels of the short side.
    model: another network.
    """

    name: str
    preset: str | None = None
    budget_mb: float | None = None
    size: int | None = None
    model: Model | None = None

    def memory(self, base: MemoryConfig) -> MemoryConfig:
        """The memory of this case.  Raises OptionError."""
        budget = base.budget_bytes if self.budget_mb is None else round(self.budget_mb * 2**20)
        return replace(base, preset=self.preset or base.preset, budget_bytes=budget)


def strategy(name: str) -> Case:
    """A memory preset.  Raises OptionError."""
    if name not in PRESETS:
        raise OptionError(f"there is no memory preset {name!r}; choose from {', '.join(PRESETS)}")
    return Case(name, preset=name)


def of_size(side: int) -> Case:
    """Most pixels of the short side that the network sees."""
    return Case(f"size {side}", size=side)


def within(megabytes: float) -> Case:
    """A memory limit in MB, with the preset `bounded`."""
    return Case(f"limit {megabytes:g} MB", preset=MemoryConfig.preset, budget_mb=megabytes)


def cases_of(
    presets: Sequence[str] | None = None,
    sizes: Iterable[int] = (),
    budgets_mb: Iterable[float] = (),
    networks: Mapping[str, Model] | None = None,
) -> list[Case]:
    """A case for each value.  presets None: all of them, if nothing else is compared.  Raises OptionError."""
    others = [
        *map(of_size, sizes),
        *map(within, budgets_mb),
        *(Case(f"network {name}", model=model) for name, model in (networks or {}).items()),
    ]
    if presets is None:
        presets = () if others else tuple(PRESETS)
    return checked([*map(strategy, presets), *others])


def checked(cases: list[Case], least: int = 1) -> list[Case]:
    """The same cases.  Raises OptionError when there are too few or too many, or one twice."""
    names = [case.name for case in cases]
    if not least <= len(set(names)) == len(names) <= MOST:
        got = ", ".join(names) or "none"
        raise OptionError(f"the runs to compare are {got}; give {least} to {MOST} different ones")
    return cases


def with_reference(cases: list[Case], truth: bool) -> list[Case]:
    """The cases to run.  Without true masks, `every-5` is added at the end if missing, as the reference."""
    known = truth or any(case.name == UNLIMITED for case in cases)
    return cases if known else [*cases, strategy(UNLIMITED)]
