"""Frames of the open clip without loss."""

from pathlib import Path

import numpy as np
from PIL import Image

from demo.guard.process import Guard
from demo.work.visitor import Visitor

SHARP_KEPT = 24  # lossless pictures kept on disk per visitor: about as many as the frames that people mark


def picture(guard: Guard, visitor: Visitor, index: int) -> np.ndarray:
    """A frame of the open clip, uint8 (H, W, 3), lossless; it stays on disk for the browser.

    Raises Overtaken if another clip was opened meanwhile.
    """
    with visitor.at_work() as work:
        clip = work.clip
        path = Path(clip.folder) / "sharp" / f"{index:05d}.png"
        if not path.exists():
            guard.call("sharp", path=clip.path, folder=clip.folder, index=index)
        image = np.array(Image.open(path).convert("RGB"))
    work.sharp[index] = None
    for old in list(work.sharp)[:-SHARP_KEPT]:
        work.sharp.pop(old)
        (path.parent / f"{old:05d}.png").unlink(missing_ok=True)
    return image
