"""One visitor (one browser tab): a folder that nobody can guess, and the work on the clip that is open.

Visitors are kept by `demo.web.visits` in the server's own memory and are never copied, so a lock may be part
of them.
"""

import os
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.work.run import Run
from demo.work.work import Work
from stm_core.errors import PromptError

ANSWERED = 100  # edits of which the page is told that they were answered: more than may wait
EDIT_SECONDS = 5  # that the page, and then the run, wait for edits that came before Track or Compare


class Overtaken(Exception):
    """Another clip was opened meanwhile, or another frame looked at: nobody needs this result any more."""


def wait_while(busy: Callable[[], Any], seconds: float) -> None:
    """Returns once `busy` is not true any more, or after so many seconds."""
    late = time.monotonic() + seconds
    while busy() and time.monotonic() < late:
        time.sleep(0.02)


@dataclass(eq=False)
class Visitor:
    """Everything about one visitor.

    caller: the address that the visitor came from.
    work: on the clip that is open.
    reloaded: the work that was open when the page was loaded again, until the page shows it.
    awaited: number of the last clip that was being read then; 0: none was.
    chosen: how many clips were chosen.
    forgotten: the page showed an earlier visit, which is no longer on the server.
    coming: folder and number of each clip that is being read, in the order in which they were chosen.
    opened: number of the clip that was opened last.
    edits: how many edits came and are not done.
    settings: what was chosen under Memory, by name; empty until something was chosen.
    complaint: the notice of an error, if it is shown, that ends with its cause: settings that cannot be used,
        or a run, which refuses what comes meanwhile.
    answered: numbers (`turn`) of the last edits of the page that were answered.
    """

    folder: str
    caller: str = ""
    work: Work | None = None
    reloaded: Work | None = None
    awaited: int = 0
    chosen: int = 0
    forgotten: bool = False
    coming: dict[str, int] = field(default_factory=dict)
    opened: int = 0
    edits: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    complaint: str = ""
    answered: deque[int] = field(default_factory=lambda: deque(maxlen=ANSWERED))
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def new(cls, root: Path, caller: str = "") -> "Visitor":
        """A visitor arrives and gets an empty folder."""
        folder = Path(root) / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        return cls(str(folder), caller)

    def touch(self) -> None:
        """Mark the folder as used now; `sweep` removes folders that were not used for long."""
        with suppress(OSError):
            os.utime(self.folder)

    def leave(self) -> None:
        """The page was left: end its run, and keep the finished frames."""
        if self.work is not None and self.work.current is not None:
            self.work.current.end()

    def wait_for_edits(self, run: Run) -> None:
        """Returns once edits that came before a run are done, so that it has them, or once it is stopped.

        Returns in any case after EDIT_SECONDS.
        """
        wait_while(lambda: self.edits and run.state == "waiting", EDIT_SECONDS)

    # the open clip ----------------------------------------------------------------------------------------

    def need_work(self) -> Work:
        """The work on the open clip; PromptError when there is none."""
        if self.work is None:
            raise PromptError("there is no clip yet; upload one or pick an example first")
        return self.work

    def new_folder(self) -> Path:
        """A folder for a clip that is about to be read; the open one stays open until `take`."""
        folder = Path(self.folder) / f"clip-{secrets.token_hex(6)}"
        with self.alone():
            self.chosen += 1
            self.coming[str(folder)] = self.chosen
        folder.mkdir(parents=True)
        self.touch()
        return folder

    def give_up(self, folder: Path) -> None:
        """The clip that was to be read into this folder could not be read."""
        self.coming.pop(str(folder), None)

    def take(self, work: Work | None) -> None:
        """Open another clip, or none; end the work on the one before and remove its files.

        Raises Overtaken, and removes the files of this one, when a clip that was chosen later is open.
        """
        with self.alone():
            number = self.coming.pop(work.clip.folder, self.opened) if work is not None else self.opened
            late = number < self.opened
            old = work if late else self.work
            if not late:
                self.leave()
                self.work, self.opened = work, number
        if old is not None:
            shutil.rmtree(old.clip.folder, ignore_errors=True)
        if late:
            raise Overtaken

    # two events at once -----------------------------------------------------------------------------------

    def alone(self) -> threading.RLock:
        """The lock for changes to this visitor's work; its holder may take it again.

        Never hold it while reading a file of the visitor's, which may stall.
        """
        return self._lock

    @contextmanager
    def at_work(self) -> Iterator[Work]:
        """The work on the open clip.  Raises Overtaken if another is open at the end, also for an error."""
        work = self.need_work()
        try:
            yield work
        except Exception as error:
            if self.work is work:
                raise
            raise Overtaken from error
        if self.work is not work:
            raise Overtaken

    @contextmanager
    def changing(self, work: Work) -> Iterator[None]:
        """Hold the lock to change this work.  Raises Overtaken if another clip is open by now."""
        with self.alone():
            if self.work is not work:
                raise Overtaken
            yield
