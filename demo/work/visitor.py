"""One visitor (one browser tab): a folder that nobody can guess, and the work on the clip that is open.

Visitors are kept by `demo.web.visits` in the server's own memory and are never copied, so a lock may be part
of them.
"""

import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from demo.work.work import Work
from stm_core.errors import PromptError


class Overtaken(Exception):
    """Another clip was opened meanwhile: what was being done for the one before is no news."""


@dataclass(eq=False)
class Visitor:
    """Everything about one visitor.

    caller: the address that the visitor came from.
    work: on the clip that is open.
    coming: folder of the clip that is being read and opened last.
    answer: grows with every answer to the stage.
    """

    folder: str
    caller: str = ""
    work: Work | None = None
    coming: Path | None = None
    answer: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def new(cls, root: Path, caller: str = "") -> "Visitor":
        """A visitor arrives and gets an empty folder."""
        folder = Path(root) / secrets.token_hex(16)
        folder.mkdir(parents=True, mode=0o700)
        return cls(str(folder), caller)

    def touch(self) -> None:
        """Note that the visitor is here: `sweep` goes by the time of the folder."""
        with suppress(OSError):
            os.utime(self.folder)

    def leave(self) -> None:
        """Nobody watches the page any more: its run ends, what it made stays."""
        if self.work is not None and self.work.current is not None:
            self.work.current.end()

    # the open clip ----------------------------------------------------------------------------------------

    def need_work(self) -> Work:
        """The work on the open clip; PromptError when there is none."""
        if self.work is None:
            raise PromptError("there is no clip yet; upload one or pick an example first")
        return self.work

    def new_folder(self) -> Path:
        """A folder for a clip that is about to be read; the open one stays open until `take`."""
        self.coming = folder = Path(self.folder) / f"clip-{secrets.token_hex(6)}"
        folder.mkdir(parents=True)
        self.touch()
        return folder

    def take(self, work: Work | None) -> None:
        """Open another clip, or none: work on the one before ends, its files go."""
        with self.alone():
            self.leave()
            old, self.work = self.work, work
        if old is not None:
            shutil.rmtree(old.clip.folder, ignore_errors=True)

    # two events at once -----------------------------------------------------------------------------------

    def alone(self) -> threading.RLock:
        """The lock to change this visitor's work under; its holder may take it again.  Never hold it while a
        file of the visitor's is read: that may stall.
        """
        return self._lock

    @contextmanager
    def at_work(self) -> Iterator[Work]:
        """Work on the open clip.  Overtaken if another one is open afterwards, however the work went."""
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
        """A change of this work, while nobody else changes it.  Overtaken if another clip is open by now."""
        with self.alone():
            if self.work is not work:
                raise Overtaken
            yield
