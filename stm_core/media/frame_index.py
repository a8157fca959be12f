"""What was learnt of a file by decoding it: the times of its frames, and where one can seek."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class FrameIndex:
    """Time stamps (ticks) of the frames decoded so far from the start, and which are key frames."""

    ticks: list[int] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    complete: bool = False
    seekable: bool = True
    probe: object = None  # what `probe` found, kept with the index

    def note(self, n: int, tick: int, key: bool) -> None:
        """Add frame n if it is the next one."""
        with _LOCK:
            if n == len(self.ticks):
                self.seekable = self.seekable and (n == 0 or tick > self.ticks[-1])
                self.ticks.append(tick)
                self.keys.append(key)

    def keyframe_before(self, n: int) -> int:
        """Number of the last key frame that is not after frame n (0 when unsure)."""
        if not self.seekable:
            return 0
        return next((k for k in range(min(n, len(self.keys) - 1), -1, -1) if self.keys[k]), 0)


_LOCK = threading.Lock()
_INDEXES: OrderedDict[tuple, FrameIndex] = OrderedDict()


def index_of(path: Path) -> FrameIndex:
    """The shared index of this very file (same path, size and date), so that a second reader can seek."""
    stat = path.stat()
    key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
    with _LOCK:
        index = _INDEXES.setdefault(key, FrameIndex())
        _INDEXES.move_to_end(key)
        while len(_INDEXES) > 32:
            _INDEXES.popitem(last=False)
    return index
