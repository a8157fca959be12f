"""Visitors' files: where they lie, how an upload gets there, and when they are removed."""

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
    """The folder of the visitors' folders.

    It is a folder of its own, because everything in it can be fetched by address and is removed after a
    while; the cache folder that the host chose may hold other things.
    """
    return limits.root / "stm_visitors"


def check_room(visitors: Path, least_mb: int) -> None:
    """Raise LimitError when less than `least_mb` MB are free: a full disk stops everybody's work."""
    if shutil.disk_usage(visitors).free < least_mb * 2**20:
        raise LimitError("the server's disk is nearly full; try again in a few minutes")


def adopt(path: str, folder: Path) -> Path:
    """The upload, linked or copied into `folder` under a name of ours; only its suffix is kept."""
    source = Path(path)
    suffix = source.suffix.lower()
    target = folder / f"source{suffix if suffix[1:].isalnum() and len(suffix) < 6 else ''}"
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
    return target


def discard(folder: Path) -> None:
    """Remove a folder: now, or within LAST_FRAME_SECONDS in a thread.

    A run that was just ended may still write its last frame there.
    """
    shutil.rmtree(folder, ignore_errors=True)

    def again() -> None:
        late = time.monotonic() + LAST_FRAME_SECONDS
        while folder.exists() and time.monotonic() < late:
            time.sleep(0.1)
            shutil.rmtree(folder, ignore_errors=True)

    if folder.exists():
        threading.Thread(target=again, name="discard", daemon=True).start()


def sweep(visitors: Path, oldest: float) -> int:
    """Remove visitors' folders that nobody has used since `oldest`; returns how many."""
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
    """Seconds between two sweeps: a file may stay this much longer than its lifetime."""
    return int(min(600, max(1, 30 * lifetime_minutes)))


def sweep_regularly(sweep: Callable[[], object], lifetime_minutes: float) -> threading.Event:
    """Call `sweep` every `period` in a thread of its own, until the returned event is set."""
    closed = threading.Event()

    def rounds() -> None:
        while not closed.wait(period(lifetime_minutes)):
            try:
                sweep()
            except Exception:  # a failing disk, or whatever somebody sent: there must be a next round
                log.exception("could not remove old files")

    threading.Thread(target=rounds, name="sweeper", daemon=True).start()
    return closed
