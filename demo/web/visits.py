"""Who is here: every visitor, found by a key that only this visitor's browser has.

The key is made here, goes to the browser in the answer to its arrival, and comes back with every event.  It
is no part of the Visitor, so that no address, saved work or log can hold it; here only its hash is kept.
What a page is called in Gradio's own addresses (its session hash) opens nothing.
"""

import hashlib
import secrets
import threading
from pathlib import Path

from demo.work.visitor import Visitor


class Visits:
    """All visitors of one server, by key and by the page that shows their work now."""

    def __init__(self):
        self._by_key: dict[bytes, Visitor] = {}
        self._by_page: dict[str, Visitor] = {}
        self._came = threading.Condition()

    def begin(self, visitor: Visitor) -> str:
        """A visitor is known from now on; the key comes back, 256 random bits."""
        key = secrets.token_urlsafe(32)
        with self._came:
            self._by_key[_hash(key)] = visitor
        return key

    def find(self, key: str | None) -> Visitor | None:
        """The visitor whose key this is.  The look-up is by hash, so that its time tells nothing of a key."""
        with self._came:
            return self._by_key.get(_hash(key)) if key else None

    def show(self, page: str, visitor: Visitor) -> None:
        """A page shows a visitor's work from now on, and the page that showed it before does not."""
        with self._came:
            self._by_page = {name: one for name, one in self._by_page.items() if one is not visitor}
            self._by_page[page] = visitor
            self._came.notify_all()

    def on(self, page: str, patience: float = 0) -> Visitor | None:
        """The visitor of a page; waits so many seconds for one to come."""
        with self._came:
            self._came.wait_for(lambda: page in self._by_page, patience)
            return self._by_page.get(page)

    def forget_the_gone(self) -> None:
        """Drop the visitors whose folder was removed."""
        with self._came:
            here = [one for one in self._by_key.values() if Path(one.folder).is_dir()]
            kept = {id(one) for one in here}
            self._by_key = {key: one for key, one in self._by_key.items() if id(one) in kept}
            self._by_page = {page: one for page, one in self._by_page.items() if id(one) in kept}

    def end(self) -> list[Visitor]:
        """The server closes: all visitors, none of whom can be found any more."""
        with self._came:
            found = list(self._by_key.values())
            self._by_key, self._by_page = {}, {}
        return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(str(key).encode(errors="replace")).digest()
