"""Where the frames of a run come from."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import numpy as np

from stm_core.media.video import VideoInfo, VideoLimits, read_video


class Source(Protocol):
    """Where the frames of a clip come from.

    warnings: what was wrong with it so far.
    """

    warnings: list[str]

    def frames(self, start: int, stop: int, *, reverse: bool = False) -> Generator[np.ndarray, None, None]:
        """Frames start to stop - 1 (or back from there), uint8 (H, W, 3) RGB; a generator to be closed."""
        ...

    def seconds(self, index: int) -> float:
        """When a frame that was read is shown, in seconds of the clip."""
        ...


class FileSource:
    """A clip on disk that was probed already: its frames by `read_video`, under limits."""

    def __init__(self, info: VideoInfo, limits: VideoLimits):
        self.info, self.limits = info, limits
        self.warnings = list(info.warnings)
        self._seconds: dict[int, float] = {}

    def frames(self, start: int, stop: int, *, reverse: bool = False) -> Generator[np.ndarray, None, None]:
        """As `Source.frames`.  Raises VideoError, LimitError."""
        # the last frame may be more than the file's header says
        end = None if stop >= self.info.frames and not reverse else stop
        with read_video(self.info, self.limits, start=start, stop=end, reverse=reverse) as reader:
            try:
                for image in reader:
                    self._seconds[reader.indices[-1]] = reader.times[-1]
                    yield image
            finally:
                self.warnings += [note for note in reader.warnings if note not in self.warnings]

    def seconds(self, index: int) -> float:
        """As `Source.seconds`."""
        return self._seconds[index]
