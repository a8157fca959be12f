"""Which objects the frames in memory know: a frame shows some, and knows none that was added later."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stm_core.memory.policy import Stored


def known(frames: Sequence[Stored], objects: int) -> tuple[bool, ...]:
    """(N,) whether some frame knows the object.  objects: N, how many there are by now."""
    return tuple(any(column) for column in zip(*_table(frames, objects), strict=True))


def presence(frames: Sequence[Stored], objects: int, shared_keys: bool) -> Tensor | None:
    """(B, N, S) for `readout.read`, or None when every frame knows every object."""
    present = _table(frames, objects)
    if all(map(all, present)):
        return None
    table = torch.tensor(present).T  # (N, S)
    return table.unsqueeze(0) if shared_keys else table.unsqueeze(1)


def is_sole(frame: Stored, frames: Sequence[Stored]) -> bool:
    """Whether some object would be forgotten without this frame: no other one of `frames` knows it."""
    others = [one.present for one in frames if one is not frame]
    known = {n for present in others for n, here in enumerate(present) if here}
    return any(here and n not in known for n, here in enumerate(frame.present))


def _table(frames: Sequence[Stored], objects: int) -> list[tuple[bool, ...]]:
    """(S, N) which object each frame knows."""
    return [frame.present + (False,) * (objects - len(frame.present)) for frame in frames]
