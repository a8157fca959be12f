"""How large a clip may be."""

from dataclasses import dataclass, field
from typing import Any

from stm_core.errors import LimitError, OptionError


def _limit(default: float, what: str) -> Any:
    return field(default=default, metadata={"help": f"most {what}"})


@dataclass(frozen=True)
class VideoLimits:
    """The largest clip that is accepted; None = no limit.  The defaults are safe for strangers' files."""

    max_bytes: int | None = _limit(2 * 2**30, "bytes of the file, or of all its pictures, unpacked")
    max_pixels: int | None = _limit(4096 * 2304, "pixels of a frame: width times height")
    max_frames: int | None = _limit(108_000, "frames; the default is an hour at 30 frames a second")
    max_seconds: float | None = _limit(3600.0, "seconds that the clip lasts")

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_frames", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and value > 0):
                raise OptionError(
                    f"VideoLimits.{name} is {value!r}; give a number above 0, or None for no limit"
                )

    def check_bytes(self, size: int, name: str) -> None:
        """Raises LimitError when `size` bytes are too many."""
        if self.max_bytes is not None and size > self.max_bytes:
            raise LimitError(
                f"{name} is {size / 2**20:,.1f} MB, the limit is {self.max_bytes / 2**20:,.1f} MB; "
                "cut it shorter or compress it"
            )

    def check_pixels(self, width: int, height: int, name: str) -> None:
        """Raises LimitError when a frame of this size has too many pixels."""
        if self.max_pixels is not None and width * height > self.max_pixels:
            raise LimitError(
                f"{name} has frames of {width}x{height} = {width * height:,} pixels, the limit is "
                f"{self.max_pixels:,}; scale it down first"
            )

    def check_frames(self, frames: int, name: str) -> None:
        """Raises LimitError when there are too many frames."""
        if self.max_frames is not None and frames > self.max_frames:
            raise LimitError(
                f"{name} has {frames:,} frames or more, the limit is {self.max_frames:,}; cut it shorter"
            )

    def check_seconds(self, seconds: float, name: str) -> None:
        """Raises LimitError when the clip lasts too long."""
        if self.max_seconds is not None and seconds > self.max_seconds:
            raise LimitError(
                f"{name} lasts {seconds:,.1f} s, the limit is {self.max_seconds:,.1f} s; cut it shorter"
            )


SAFE_LIMITS = VideoLimits()
NO_LIMITS = VideoLimits(None, None, None, None)


def decoder_pixels(limits: VideoLimits) -> int:
    """The decoder's own limit, in pixels: higher than ours, so that our check comes first and can say why.

    At most what FFmpeg's option holds, a 32-bit int.
    """
    most = 2**31 - 1
    return most if limits.max_pixels is None else int(min(max(limits.max_pixels, 2**26), most))
