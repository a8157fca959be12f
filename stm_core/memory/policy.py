"""What the memory keeps, and how far it trusts what it kept. Start reading here.

A clip has thousands of frames, and the memory holds a few of them. A `Strategy` says which: it is a small
object without state, and `MemoryBank` asks it about every frame. `PRESETS` is the table of strategies by the
names that people know. To add one, add an entry: commands, page, API and reports read the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

from stm_core.errors import OptionError

Kind = Literal["prompted", "previous", "due"]  # a person gave its mask; the latest frame; any other one
LATEST: Kind = "previous"
WHY: dict[Kind, str] = {"prompted": "marked", LATEST: "the one before", "due": "every n-th"}  # for people


@dataclass(eq=False)  # two are equal only if they are the same object
class Stored:
    """A frame in memory, as a strategy sees it.

    t: index of the frame.
    pinned: it was prompted and stays for good.
    due: it is one of the frames that stay until the memory is full.
    present: (N,) which objects it shows.
    used: its shares of the softmax mass, summed over all reads.
    reads: how many reads that were.
    """

    t: int
    pinned: bool
    due: bool
    present: tuple[bool, ...]
    used: float = 0.0
    reads: int = 0

    @property
    def mean_use(self) -> float:
        """Its mean share of the softmax mass in a read."""
        return self.used / max(self.reads, 1)

    def kind(self, latest: int | None) -> Kind:
        """Why it is in memory.  latest: index of the latest frame."""
        return "prompted" if self.pinned else LATEST if self.t == latest else "due"


@dataclass(frozen=True)
class Strategy:
    """Which frames stay in memory.

    pins: prompted frames stay for good.
    recent: how many of the latest frames are kept; 0: only frames that are prompted or due are stored.
    spaced: one frame in `every` stays.
    bounded: all of this within a budget; when it is full, the least used frame is dropped.
    """

    pins: bool = True
    recent: int = 1
    spaced: bool = False
    bounded: bool = False

    def stores(self, prompted: bool, due: bool) -> bool:
        """Whether a frame is stored at all."""
        return prompted or due or self.recent > 0

    def due(self, t: int, origin: int | None, every: int) -> bool:
        """Whether frame t stays beyond the latest ones.  origin: the first frame stored, None before it."""
        return self.spaced and (origin is None or (t - origin) % every == 0)

    def outdated(self, held: Sequence[Stored]) -> list[Stored]:
        """The frames to drop before another is stored.  held: in the order in which they were stored."""
        earlier = held[: max(0, len(held) - max(0, self.recent - 1))]
        return [frame for frame in earlier if not (frame.pinned or frame.due)]

    def least_used(self, free: Sequence[Stored]) -> Stored:
        """Which of the frames that may go is dropped when the memory is full."""
        return min(free, key=lambda frame: frame.mean_use)

    def most_held(self, *, pinned: int, frames: int, every: int, fitting: int | None = None) -> int:
        """Most frames held at a time in a clip of so many frames: exact for one prompted frame, else an upper
        bound.

        pinned: how many frames are prompted: the clip's first one, and others, which may lie outside of it.
        fitting: most frames that fit the budget, None without one.
        """
        if self.spaced:
            held = min(self.recent, frames) + max(0, (frames - 1 - self.recent) // every + 1)
            held += pinned if pinned > 1 else 0  # it may be that none of them is due
        else:
            held = self.recent + (pinned if self.pins else 0)
        held = min(held, frames + pinned - 1)
        return held if fitting is None else min(held, fitting)


@dataclass(frozen=True)
class Trust:
    """How far masks of the network are trusted, compared with masks that a person gave.

    prompted: how many times a position of a prompted frame counts in a read.
    latest: the same for the latest frame, if it is not prompted; every other frame counts once.
    firm: masks are remembered as they are shown, where each pixel belongs to one object or to none; otherwise
        as probabilities.
    reach: an object is found only this far from where it was on the frame before, as a share of the
        frame's short side, and parts of a mask that lie apart are dropped (`engine/whereabouts.py`).
        None: everywhere.
    """

    prompted: float = 1.0
    latest: float = 1.0
    firm: bool = False
    reach: float | None = None

    def in_frame(self, frame: Stored, latest: int | None) -> float:
        """How many times a position of a stored frame counts.  latest: index of the latest frame."""
        return self.prompted if frame.pinned else self.latest if frame.t == latest else 1.0


PUBLISHED = Trust()  # all frames alike, probabilities, everywhere: as in the paper
# Chosen for the compact network on clips it was not trained on; the tables are in assets/README.md:
# - mistakes that are copied from each frame to the next spread fastest, so the latest frame counts little;
# - a doubtful mask in memory makes the next mask more doubtful, and so on, so masks are remembered as shown;
# - no object moves further than this from one frame to the next, so what is further away only resembles it.
TUNED = Trust(prompted=8.0, latest=1 / 8, firm=True, reach=0.3)


@dataclass(frozen=True)
class Preset:
    """A strategy with the words that describe it.

    title: for a menu.
    keeps: what stays in memory.
    advice: what it is good or bad for.
    stands_for: the method in the literature that remembers the same.
    published: J of the paper's own network with this memory, on DAVIS-2016 and DAVIS-2017 val.
        Source: Oh et al., ICCV 2019, Table 5.
    """

    strategy: Strategy
    title: str
    keeps: str
    advice: str
    stands_for: str
    published: tuple[float, float] | None = None


PRESETS: dict[str, Preset] = {
    "first": Preset(
        Strategy(recent=0),
        title="First: keep the marked frames only",
        keeps="the prompted frames",
        advice="Fails when the object changes its appearance.",
        stands_for="matching to the first frame",
        published=(81.4, 67.0),
    ),
    "previous": Preset(
        Strategy(pins=False),
        title="Previous: keep the last frame only",
        keeps="the last frame",
        advice="Drifts, and loses an object that is hidden.",
        stands_for="mask propagation (MaskTrack)",
        published=(83.2, 69.6),
    ),
    "first+previous": Preset(
        Strategy(),
        title="First + previous: keep the marked frames and the last one",
        keeps="the prompted frames and the last one",
        advice="Cheap at any length. Loses an object that turns, or is hidden for long.",
        stands_for="the pair in which the paper finds most of the quality (RGMP, FEELVOS)",
        published=(87.8, 77.7),
    ),
    "every-5": Preset(
        Strategy(spaced=True),
        title="Every n-th: keep every n-th frame, no limit",
        keeps="the prompted frames, the last one and every n-th, without a limit",
        advice="As in the STM paper. Memory and time per frame grow with the clip.",
        stands_for="STM as published",
        published=(88.7, 79.2),
    ),
    "bounded": Preset(
        Strategy(spaced=True, bounded=True),
        title="Bounded: keep every n-th frame, up to a limit",
        keeps="the prompted frames, the last one and every n-th, up to a limit; the least used goes first",
        advice="Marked frames and the last one always stay; of the others the least used goes first. "
        "Good for clips of any length.",
        stands_for="long clips in flat memory (XMem showed that it is enough)",
    ),
}
UNLIMITED = "every-5"  # STM as published, the reference for the others
AS_PUBLISHED = PRESETS[UNLIMITED].strategy
SHOWN = [name for name in PRESETS if "+" not in name]  # those that differ most, to be compared first


@dataclass(frozen=True)
class MemoryConfig:
    """A memory strategy with its numbers.

    preset: a name in `PRESETS`.
    every: spaced strategies keep one frame in this many (STM: 5).
    budget_bytes: most bytes that stored frames and one read take together, under a bounded strategy.
    capacity: most frames that a bounded strategy holds, which keeps the time per frame flat.
    top_k: how many stored positions count for a query position; None: all (STM).
    trust: how far each frame is trusted; None: as tuned for the network.
    Raises OptionError if a value makes no sense.
    """

    preset: str = "bounded"
    every: int = 5
    budget_bytes: int = 64 * 2**20
    capacity: int = 8
    top_k: int | None = None
    trust: Trust | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.preset, str) or self.preset not in PRESETS:
            raise OptionError(f"memory preset is {self.preset!r}; choose one of {', '.join(PRESETS)}")
        for name, least in (("every", 1), ("budget_bytes", 1), ("capacity", 2), ("top_k", 1)):
            value = getattr(self, name)
            if name == "top_k" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise OptionError(f"memory option {name} is {value!r}; give a whole number from {least} up")
        if not isinstance(self.trust, Trust | None):
            raise OptionError(f"memory option trust is {self.trust!r}; give a Trust(...) or leave it out")

    @property
    def strategy(self) -> Strategy:
        """Which frames stay."""
        return PRESETS[self.preset].strategy

    @property
    def bound_bytes(self) -> int | None:
        """The budget, or None where the strategy has none."""
        return self.budget_bytes if self.strategy.bounded else None
