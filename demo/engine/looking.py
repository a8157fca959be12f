"""A look at a tracked frame: what page and web API share around the engine."""

from collections.abc import Callable

import numpy as np

from demo.engine.device import Engine
from demo.work.glance import glance_at, gone_at
from demo.work.run import Run
from stm_core.engine.look import Look
from stm_core.errors import LimitError

MOST_STORED = 64  # most frames in memory for a look: each has to be encoded again


def look_at(
    engine: Engine, run: Run, index: int, at: tuple[int, int], picture: Callable[[int], np.ndarray]
) -> tuple[Look, dict[int, np.ndarray]]:
    """Where a pixel of a tracked frame looked; and by index, pictures of that frame and the stored ones.

    picture: reads a frame of the clip, uint8 (H, W, 3).
    Raises PromptError when the run did not read this frame, LimitError, and what `picture` raises.
    """
    glance = glance_at(run.glances, index)
    if len(glance.read) > MOST_STORED:
        raise LimitError(
            f"memory held {len(glance.read)} frames at frame {index}, a look is possible with up to "
            f"{MOST_STORED}; look at an earlier frame, or track with the strategy Bounded"
        )
    wanted = sorted({index, *(one.t for one in glance.read)} if glance.read else {index})
    images = {t: picture(t) for t in wanted}
    masks = {t: mask for t in wanted if (mask := run.remembered(t)) is not None}
    if (decided := run.labels(index)) is not None:
        masks[index] = decided
    with engine.looking:
        found = engine.look(images, masks, glance, index, at, gone_at(run.glances, index))
    return found, images
