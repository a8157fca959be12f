"""Where visitors' files lie, how they come, and when they go: also when nobody comes any more."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from demo.limits import Limits
from stm_core.errors import LimitError

LAST_FRAME_SECONDS = 60
log = logging.getLogger(__name__)


def visitors_folder(limits: Limits) -> Path:
    """Where the visitors' folders lie.  All in it is served by address and removed in time, so that it holds
    nothing else: the host may have given a cache folder with other things in it.
    """
    return limits.root / "stm_visitors"


def check_room(visitors: Path, least_mb: int) -> None:
    """LimitError when less than `least_mb` of the disk is free: a full one fails everybody's work."""
    if shutil.disk_usage(visitors).free < least_mb * 2**20:
        raise LimitError("the server's disk is nearly full; try again in a few minutes")


def adopt(path: str, folder: Path) -> Path:
    """The upload as a file of ours: its name is ours too, only the suffix says what it claimed to be."""
    source = Path(path)
    suffix = source.suffix.lower()
    target = folder / f"source{suffix if suffix[1:].isalnum() and len(suffix) < 6 else ''}"
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
    return target


def discard(folder: Path) -> None:
    """Remove a folder into which a run that was just ended may still write its last frame: now, or soon, in a
    thread of its own.
    """
    shutil.rmtree(folder, ignore_errors=True)

    def again():
        late = time.monotonic() + LAST_FRAME_SECONDS
        while folder.exists() and time.monotonic() < late:
            time.sleep(0.1)
            shutil.rmtree(folder, ignore_errors=True)

    if folder.exists():
        threading.Thread(target=again, name="discard", daemon=True).start()


def sweep(visitors: Path, oldest: float) -> int:
    """Remove visitors' folders that nobody has used since `oldest`; how many."""
    gone = 0
    for folder in visitors.glob("*"):
        if folder.is_dir() and _last_use(folder) < oldest:
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    return gone


def _last_use(folder: Path) -> float:
    try:
        return max(p.stat().st_mtime for p in (folder, *folder.glob("*"), *folder.glob("*/*")))
    except (OSError, ValueError):
        return time.time()


def period(lifetime_minutes: float) -> int:
    """Seconds between two rounds: by so much a file may outlive its time."""
    return int(min(600, max(1, 30 * lifetime_minutes)))


def sweep_regularly(sweep: Callable[[], object], lifetime_minutes: float) -> threading.Event:
    """Call `sweep` every `period` in a thread of its own, until the event that comes back is set."""
    closed = threading.Event()

    def rounds():
        while not closed.wait(period(lifetime_minutes)):
            try:
                sweep()
            except OSError:  # a full or failing disk: the next round may succeed
                log.exception("could not remove old files")

    threading.Thread(target=rounds, name="sweeper", daemon=True).start()
    return closed
