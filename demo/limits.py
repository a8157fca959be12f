"""Every limit that a visitor can meet, with its reason.

Each limit is a field here, a flag of `python app.py` (`--max-frames`) and an environment variable
(`STM_LIVE_MAX_FRAMES`); the flag wins over the variable, the variable over the default.  The page shows
the ones that matter before an upload.
"""

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from stm_core.errors import OptionError

PREFIX = "STM_LIVE_"
PROGRAM = Path(__file__).resolve().parent.parent


def _limit(default: Any, why: str) -> Any:
    return field(default=default, metadata={"help": why})


@dataclass(frozen=True)
class Limits:
    """What the host allows.  All numbers are positive; else OptionError, which names the field."""

    upload_mb: int = _limit(
        200, "largest upload, MB: a minute of phone video, and a full disk stays unlikely"
    )
    max_pixels: int = _limit(4096 * 2304, "most pixels in a frame: 4K passes, a decompression bomb does not")
    max_frames: int = _limit(
        900, "most frames tracked in one clip: 30 s at 30 frames/s, one and a half minutes or more on 2 cores"
    )
    max_seconds: float = _limit(60.0, "longest part of a clip that is tracked, seconds")
    max_objects: int = _limit(8, "most objects in a clip: more colours would be hard to tell apart")
    max_side: int = _limit(
        1080, "largest short side that the network works at, pixels: memory and time grow with its square"
    )
    run_minutes: int = _limit(
        30, "minutes after which a run ends, with all masks so far, so that nobody waits for hours"
    )
    max_edits: int = _limit(200, "most clicks on one frame")
    max_budget_mb: int = _limit(512, "largest memory limit that a visitor may choose, MB")
    decode_seconds: int = _limit(
        60, "CPU seconds that the separate decoding process may use for one step of one upload"
    )
    decode_mb: int = _limit(2048, "memory the separate decoding process may use on top of its own start, MB")
    stall_seconds: int = _limit(20, "seconds without a new frame before decoding counts as hung")
    queue_size: int = _limit(32, "runs that may wait for their turn; the next one is refused")
    visitor_waiting: int = _limit(
        16, "requests of one page or API client that may wait: quick clicks pass, a loop without end does not"
    )
    caller_waiting: int = _limit(
        64,
        "requests from one address that may wait, and clicks that may be under way: a class behind one "
        "router passes, and most of the queue stays for others",
    )
    caller_running: int = _limit(
        2,
        "requests from one address that run at once in one lane (clicks, runs, files); more of them wait, "
        "and requests from other addresses go first",
    )
    caller_mb: int = _limit(2000, "disk that the files from one address may take, MB: ten largest uploads")
    answer_minutes: int = _limit(5, "minutes for which the files of an API answer can be fetched")
    lifetime_minutes: int = _limit(60, "minutes for which a visitor's files are kept after the last use")
    preview_side: int = _limit(640, "longest side of the live preview and of the scrubbing pictures, pixels")
    free_mb: int = _limit(2048, "free disk space below which no new clip is accepted, MB")
    cache: str = _limit(
        "", "folder of the visitors' files (default: stm_live in the system's temporary folder)"
    )

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if limit.type in (int, float) and not value > 0:
                raise OptionError(
                    f"limit {limit.name} is {value}, expected a number above 0; set "
                    f"{variable(limit.name)} or --{limit.name.replace('_', '-')} to one"
                )
        if f"{self.root}{os.sep}".lower().startswith(f"{PROGRAM}{os.sep}".lower()):  # as Gradio compares
            raise OptionError(
                f"--cache {self.root} lies in the program's own folder, of which nothing is served; "
                "choose a folder elsewhere"
            )

    @property
    def runs_of_one(self) -> int:
        """Runs from one address that may wait for their turn: never all places."""
        return min(self.caller_waiting, max(1, self.queue_size // 2))

    @property
    def root(self) -> Path:
        """The one folder under which every visitor's files lie."""
        if self.cache:
            return Path(self.cache).resolve()
        return Path(tempfile.gettempdir()).resolve() / "stm_live"  # what lies there under this name is judged

    def make_root(self) -> None:
        """Make `root`; if no folder was chosen, for this user alone, because anybody may write to its parent.

        OptionError when somebody else could read or change the visitors' files.
        """
        if self.cache or os.name != "posix":
            self.root.mkdir(parents=True, exist_ok=True)
            return
        with contextlib.suppress(FileExistsError):
            self.root.mkdir(mode=0o700)
        found = self.root.lstat()
        if not stat.S_ISDIR(found.st_mode):
            wrong = "is not a folder"
        elif found.st_uid != os.geteuid():
            wrong = f"belongs to another user (number {found.st_uid})"
        elif found.st_mode & 0o022:
            wrong = f"can be written by others (mode {stat.S_IMODE(found.st_mode):o})"
        else:
            self.root.chmod(0o700)
            return
        raise OptionError(
            f"the cache folder {self.root} {wrong}, expected one of this user alone; remove it, or choose "
            "another with --cache"
        )


def variable(name: str) -> str:
    """The environment variable of a limit: max_frames -> STM_LIVE_MAX_FRAMES."""
    return PREFIX + name.upper()
