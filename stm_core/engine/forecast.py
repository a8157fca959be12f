"""What a clip will need before it runs: bytes of the memory bank and of its largest read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stm_core.engine.geometry import check_size, processed_side, processed_size
from stm_core.errors import OptionError
from stm_core.memory.footprint import Layout
from stm_core.memory.policy import AS_PUBLISHED, MemoryConfig
from stm_core.networks.interface import Network


@dataclass(frozen=True)
class Prediction:
    """What a clip will need, in bytes, before it runs.

    bank_bytes: most that the bank holds.
    read_peak_bytes: most that one read allocates.
    frame_bytes: one stored frame.
    frames_held: most frames that the bank holds.
    unbounded_bytes: the bank of STM as published, at the end of the clip.
    """

    bank_bytes: int
    read_peak_bytes: int
    frame_bytes: int
    frames_held: int
    unbounded_bytes: int


def predict(
    network: Network,
    config: MemoryConfig,
    height: int,
    width: int,
    objects: int,
    frames: int,
    dtype: torch.dtype,
    *,
    pinned: int = 1,
    size: int | None = None,
    device: str | torch.device = "cpu",
) -> Prediction:
    """What a clip of height x width pixels and so many frames will need, prompted on its first frame.

    pinned: prompted frames, the first one included.
    size: most pixels of the short side at which it is processed; None: as it is, or enlarged.
    With one prompted frame the numbers are exact if all frames are stored whole, and upper bounds if most are
    stored in part (`Trust.reach`). With more they are upper bounds, because it is not known where those lie.
    Objects are assumed to stay in view: if one leaves, the last frame that knows it may be kept in addition.
    Raises LimitError when the budget cannot hold the prompted frames and the previous one; OptionError.
    """
    check_size(size)
    if not min(height, width, objects, frames, pinned) >= 1:
        raise OptionError(
            f"nothing to predict for {frames} frames of {width}x{height}, {objects} objects and {pinned} "
            "prompted frames; give at least one of each"
        )
    seen = processed_size(height, width, processed_side(network, height, width, size))
    rows, columns = (-(-side // network.stride) for side in seen)
    layout = Layout(
        keys=1 if network.shared_keys else objects,
        objects=objects,
        positions=rows * columns,
        channels=(network.key_channels, network.value_channels),
        dtype=dtype,
        device=torch.device(device).type,
        bounded=network.bounded,
    )
    strategy = config.strategy
    clip = {"pinned": pinned, "frames": frames, "every": config.every}
    fitting = layout.most_frames(config, pinned) if strategy.bounded else None
    held = strategy.most_held(**clip, fitting=fitting)
    return Prediction(
        bank_bytes=held * layout.frame_bytes,
        read_peak_bytes=max(layout.read_peak_bytes(count, config) for count in range(1, held + 1)),
        frame_bytes=layout.frame_bytes,
        frames_held=held,
        unbounded_bytes=AS_PUBLISHED.most_held(**clip) * layout.frame_bytes,
    )
