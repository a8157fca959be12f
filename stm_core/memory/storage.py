"""Where stored frames lie: the rows of each by themselves, in the order in which they were stored."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stm_core.memory import readout
from stm_core.memory.apart import Apart
from stm_core.memory.footprint import Layout


class Storage:
    """Keys (B, P, Ck) and values (B, P, N, Cv), or apart, of frames of one layout, for `readout.read`."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self.keys: list[Tensor] = []
        self.values: list[Tensor | Apart] = []

    def append(self, key: Tensor, value: Tensor | Apart) -> None:
        """Copy key (1 or N, Ck, h, w) and value (N, Cv, h, w); what is apart has copies already."""
        self.keys.append(readout.rows(key).clone(memory_format=torch.contiguous_format))
        if isinstance(value, Apart):
            self.values.append(value)
            return
        rows = readout.rows(value)  # (N, P, Cv)
        rows = rows.transpose(0, 1).unsqueeze(0) if self.layout.keys == 1 else rows.unsqueeze(2)
        self.values.append(rows.clone(memory_format=torch.contiguous_format))

    def remove(self, i: int) -> None:
        """Free frame i; those after it move up."""
        del self.keys[i], self.values[i]

    def enlarge(self, layout: Layout) -> None:
        """Make room for more objects, which have zeros in the frames held so far."""
        more = layout.objects - self.layout.objects
        rows = (0, 0, 0, more) if layout.keys == 1 else (0, 0, 0, 0, 0, 0, 0, more)
        self.values = [
            one.enlarged(layout.objects) if isinstance(one, Apart) else F.pad(one, rows)
            for one in self.values
        ]
        if layout.keys > 1:
            self.keys = [F.pad(key, (0, 0, 0, 0, 0, more)) for key in self.keys]
        self.layout = layout

    @property
    def nbytes(self) -> int:
        """Bytes of the frames held, counted on the tensors."""
        return sum(rows.nbytes for rows in (*self.keys, *self.values))
