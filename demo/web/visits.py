"""All visitors of the server, found by a key that only the visitor's browser has.

The key is made here, sent to the browser when the page loads, and sent back with every event.  It is not
part of `Visitor`, so it cannot get into an address, saved work or a log; only its hash is kept here.
Gradio's session hash, which is part of addresses, gives no access.
"""

import hashlib
import secrets
import threading
from pathlib import Path

from demo.work.retention import discard
from demo.work.visitor import Visitor

MOST_IDLE = 200  # visits of one address without a clip: a school passes, a loop that loads pages does not


class Visits:
    """All visitors of one server, by key and by the page that shows their work now."""

    def __init__(self):
        self._by_key: dict[bytes, Visitor] = {}
        self._by_page: dict[str, Visitor] = {}
        self._came = threading.Condition()

    def begin(self, visitor: Visitor) -> str:
        """Add a visitor and return the key, 256 random bits.

        Of the visits of one address that opened no clip, those beyond MOST_IDLE go, the oldest first.
        """
        key = secrets.token_urlsafe(32)
        with self._came:
            self._by_key[_hash(key)] = visitor
            mine = [one for one in self._by_key.values() if one.caller == visitor.caller]
            idle = [one for one in mine if one.work is None and not one.chosen]
        for one in idle[:-MOST_IDLE]:
            discard(Path(one.folder))
        if len(idle) > MOST_IDLE:
            self.forget_the_gone()
        return key

    def find(self, key: str | None) -> Visitor | None:
        """The visitor with this key, or None.  It is found by hash, so timing reveals nothing of a key."""
        with self._came:
            return self._by_key.get(_hash(key)) if key else None

    def show(self, page: str, visitor: Visitor) -> None:
        """Let a page show a visitor's work; the page that showed it before no longer does."""
        with self._came:
            self._by_page = {name: one for name, one in self._by_page.items() if one is not visitor}
            self._by_page[page] = visitor
            self._came.notify_all()

    def on(self, page: str, patience: float = 0) -> Visitor | None:
        """The visitor of a page, or None; waits up to `patience` seconds for one."""
        with self._came:
            self._came.wait_for(lambda: page in self._by_page, patience)
            return self._by_page.get(page)

    def forget_the_gone(self) -> None:
        """Forget the visitors whose folder was removed; a run of theirs ends, or leaves the queue."""
        with self._came:
            gone = {id(one): one for one in self._by_key.values() if not Path(one.folder).is_dir()}
            self._by_key = {key: one for key, one in self._by_key.items() if id(one) not in gone}
            self._by_page = {page: one for page, one in self._by_page.items() if id(one) not in gone}
        for one in gone.values():
            one.leave()

    def end(self) -> list[Visitor]:
        """Forget all visitors, because the server closes; returns them."""
        with self._came:
            found = list(self._by_key.values())
            self._by_key, self._by_page = {}, {}
        return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(str(key).encode(errors="replace")).digest()
