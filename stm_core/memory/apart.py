"""The values of a frame's objects, stored once where all are the same: far from an object's mask.

There a network says the same of each object: "not here".  So one common value is stored for every position,
and near its mask each object's difference from it.  A read is linear in values, so it reads the two parts and
adds the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stm_core.memory.window import Window


@dataclass(frozen=True)
class Own:
    """What is kept of one object near its mask.

    window: of the cells that are stored, p of them.
    differs: (p, Cv), from the common values.
    """

    window: Window
    differs: Tensor


@dataclass(frozen=True)
class Apart:
    """Values of N objects at P positions.

    common: (P, Cv), the values of any object that is not near.
    own: by object, its differences near its mask.  An object without an entry has the common values.
    objects: N.
    """

    common: Tensor
    own: Mapping[int, Own]
    objects: int

    @classmethod
    def of(cls, common: Tensor, own: Mapping[int, tuple[Window, Tensor]], objects: int) -> Apart:
        """From maps: common (1, Cv, h, w), and by object its window and its values there, (Cv, a, b)."""
        parts = {n: Own(one, _rows(value - one.cut(common[0]))) for n, (one, value) in own.items()}
        return cls(_rows(common[0]), parts, objects)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(1, P, N, Cv): the shape of the same values when they are not stored apart."""
        return 1, len(self.common), self.objects, self.common.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept."""
        return self.common.nbytes + sum(one.differs.nbytes for one in self.own.values())

    @property
    def widest(self) -> int:
        """Positions of the largest window."""
        return max((one.window.cells for one in self.own.values()), default=0)

    def enlarged(self, objects: int) -> Apart:
        """The same with more objects, which the frame does not know."""
        return replace(self, objects=objects)

    def without(self, present: Sequence[bool]) -> Apart:
        """The same without what it keeps of objects that the frame does not know."""
        return replace(self, own={n: one for n, one in self.own.items() if present[n]})


def _rows(one: Tensor) -> Tensor:
    """A map (C, h, w) as rows (h*w, C) of their own."""
    return one.flatten(1).T.clone(memory_format=torch.contiguous_format)
