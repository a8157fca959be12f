"""The clip that a visitor has opened: what is known of it.  A Clip never changes; a better report makes a new
one.
"""

from dataclasses import dataclass, replace

from stm_core.errors import OptionError


@dataclass(frozen=True)
class Clip:
    """A clip in a folder of its own, of which frames `start` to `stop` - 1 are worked on.

    path, name: the file, and what the visitor calls it.
    folder: of the clip's pictures and runs.
    info: the report of the probe.
    times: seconds of each frame, once all were decoded.
    checked: all frames were decoded once, so that counts and times are exact.
    example: its name among the bundled clips, or "".
    """

    path: str
    name: str
    folder: str
    info: dict
    start: int
    stop: int
    times: tuple[float, ...] = ()
    checked: bool = False
    warnings: tuple[str, ...] = ()
    example: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its upright frames."""
        return self.info["height"], self.info["width"]

    @property
    def fps(self) -> float:
        """Frames a second; 25 where the file does not say."""
        return self.info.get("fps") or 25

    @property
    def frames(self) -> int:
        """How many frames are worked on."""
        return self.stop - self.start

    def seconds(self, index: int) -> float:
        """When a frame is shown, in seconds of the clip."""
        if 0 <= index - self.start < len(self.times):
            return self.times[index - self.start]
        return index / self.fps

    @property
    def second(self) -> float:
        """Where the part that is worked on begins, as the slider says it."""
        return round(self.start / self.fps, 1)

    def checked_by(self, found: dict) -> "Clip":
        """The clip after every frame of the part was decoded once.  OptionError when there was none."""
        if not found["frames"]:
            raise OptionError("not one frame of this part could be decoded; choose another part or file")
        warnings = tuple(dict.fromkeys([*self.warnings, *found["warnings"]]))
        stop = self.start + found["frames"]
        whole = stop >= self.info["frames"] or stop < self.stop
        info = {**self.info, "frames": stop if whole else self.info["frames"], "frames_exact": whole}
        times = tuple(found["times"])
        return replace(self, info=info, stop=stop, times=times, checked=True, warnings=warnings)
