"""Frames of the open clip without loss."""

from pathlib import Path

import numpy as np
from PIL import Image

from demo.guard.process import Guard
from demo.work.opened import Clip
from demo.work.visitor import Visitor

SHARP_KEPT = 24  # lossless pictures kept on disk per visitor: about as many as the frames that people mark


def picture(guard: Guard, visitor: Visitor, index: int) -> np.ndarray:
    """A frame of the open clip, uint8 (H, W, 3), lossless; it stays on disk for the browser.

    Raises Overtaken if another clip was opened meanwhile.
    """
    with visitor.at_work() as work:
        clip = work.clip
        path = _path(clip, index)
        try:
            image = _read(path)
        except FileNotFoundError:  # not made yet, or just removed: other events look at frames too
            guard.call("sharp", path=clip.path, folder=clip.folder, index=index)
            image = _read(path)
    with visitor.alone():
        if path.exists():
            work.sharp[index] = None
        for old in list(work.sharp)[:-SHARP_KEPT]:
            del work.sharp[old]
            _path(clip, old).unlink(missing_ok=True)
    return image


def _path(clip: Clip, index: int) -> Path:
    return Path(clip.folder) / "sharp" / f"{index:05d}.png"


def _read(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"))
