"""What all panels of the page share: `Panel`, the views that they answer, and the `Host` that they live in.

A panel is one file: its parts (`layout`), its events (`wire`), and what it shows of a visitor's work
(`refresh`).  It imports no other panel.  An event of one panel may change what others show.  So its view says
how much has changed (`Change`), and every panel adds the new values of its own parts.
"""

import functools
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

from demo.draw import html
from demo.engine.device import Engine
from demo.engine.runner import Runner
from demo.guard.process import Guard
from demo.limits import Limits
from demo.work.opening import Opener
from demo.work.quotas import Quotas
from demo.work.retention import sweep, visitors_folder
from demo.work.visitor import EDIT_SECONDS, Overtaken, Visitor
from demo.work.waiting import Waiting
from stm_core.errors import OptionError, StmError, for_visitors

log = logging.getLogger(__name__)
SETTINGS = ("preset", "budget", "every", "size", "capacity")  # names of the parts that set up a run
PANELS = Path(__file__).parent
AFTER_EDITS = """async (...values) => {{
  const edits = window.stmEdits, clip = edits?.clip, late = Date.now() + {milliseconds};
  const wait = () => new Promise((done) => setTimeout(done, 20));
  while (edits?.waiting.size && Date.now() < late) await wait();
  edits?.waiting.clear();   // what did not come by now is not waited for again
  if (edits?.clip !== clip) await new Promise(() => {{}});   // another one was opened: nothing is done
  return values.slice(0, {inputs});
}}"""
EMPTIED = {"upload": None, "mask_file": None}  # the next file can be dropped without removing the last one


class Change(IntEnum):
    """How much of a visitor's work has changed; each includes those before."""

    NOTHING = 0
    STAGE = 1  # only the picture: a run has come to another frame, more frames are counted
    MARKS = 2  # marks, or whether a run is under way, and so what can be pressed
    RESULTS = 3  # the masks of the run, or the objects that they show
    CLIP = 4  # another clip is open


class Props(dict):
    """Properties of a part of the page rather than its value: Props(interactive=False)."""


class View(dict):
    """What an event answers: the new values of parts by name, and how much else has changed."""

    def __init__(self, change: Change = Change.NOTHING, /, **parts: Any):
        super().__init__(parts)
        self.change = change


class Wires(Protocol):
    """How a panel connects its events; see `demo.web.events.Events`."""

    def on(self, event: Callable | str, handler: Callable, inputs: Sequence[Any] = (), **how: Any) -> Any:
        """Call a handler with the visitor and the values of these parts: when a part's event comes, or after
        every event that leads to this word.
        """

    def part(self, name: str) -> Any:
        """A part of any panel."""


def script(*names: str) -> str:
    """The text of these files of `demo/panels`, one after the other, for one part of the page."""
    return "\n".join((PANELS / name).read_text() for name in names)


def after_edits(inputs: int) -> str:
    """A script for `Wires.on` that waits for edits that are on their way, so that the handler has them.

    inputs: how many parts the handler gets.
    """
    key_too = 1 + inputs  # Gradio's script gets the key before the inputs, and the outputs after them
    return AFTER_EDITS.format(milliseconds=1000 * EDIT_SECONDS, inputs=key_too)


class Panel:
    """One panel.

    name: of its card, and of its style (`panels/NAME.css`) if it has one.
    wide: it stands in the left column on a desk, which is the wider one; else in the right one.
    below: it stands below both, over the whole width.
    seen: its card is seen from the start.
    step: it is a step of the work, whose number it shows.
    live: names of its parts that change during a run; each costs the browser time at every picture.
    card: the Gradio card that the page put it in.
    parts: what `layout` made, by name.
    """

    name = ""
    wide = False
    below = False
    seen = True
    step = True
    live: Sequence[str] = ()
    card: Any = None

    def __init__(self, host: "Host"):
        self.host = host
        self.parts: dict[str, Any] = {}

    def layout(self, number: int) -> dict[str, Any]:
        """Make the parts; what comes back are those that views and events call by name."""
        raise NotImplementedError

    def wire(self, wires: Wires) -> None:
        """Connect the events."""

    def refresh(self, visitor: Visitor, change: Change) -> dict:
        """The new values of this panel's parts after such a change."""
        return {}


@dataclass
class Host:
    """One engine, one guard and the limits for all visitors, and the panels of the page."""

    engine: Engine
    guard: Guard
    limits: Limits
    examples: Path
    panels: list[Panel] = field(default_factory=list)

    def __post_init__(self):
        self.visitors, self.quotas = visitors_folder(self.limits), Quotas(self.limits)
        self.runner = Runner(self.engine, self.limits)
        self.waiting = Waiting(self.limits)
        self.opener = Opener(self.guard, self.limits, self.quotas, self.visitors)

    def new_visitor(self, caller: str = "") -> Visitor:
        """A visitor whose files count for the address that the request came from."""
        visitor = Visitor.new(self.visitors, caller)
        self.quotas.hold(caller, visitor.folder)
        return visitor

    def sweep(self, now: float | None = None) -> int:
        """Remove the folders of visitors who were away longer than the lifetime; returns how many."""
        return sweep(self.visitors, (now or time.time()) - 60 * self.limits.lifetime_minutes)

    def complete(self, visitor: Visitor, view: View) -> View:
        """The view, with the new values of every panel after its change; the view's own values win."""
        shown = View(view.change)
        if view.change:
            for panel in self.panels:
                shown |= panel.refresh(visitor, view.change)
        shown |= view
        if "notice" in view and view["notice"] != visitor.complaint:
            visitor.complaint = ""  # another notice is shown now
        return shown

    def refused(self, visitor: Visitor, error: Exception) -> View:
        """After a mistake: its sentence, and the stage as it was.  Errors that nobody foresaw are logged."""
        if not isinstance(error, StmError):
            log.error("an event failed", exc_info=error)
            error = StmError("something went wrong on the server; reload the page and try again")
        told = complaint(visitor, error)
        return self.complete(visitor, View(Change.MARKS, notice=told, **EMPTIED))


def complaint(visitor: Visitor, error: StmError) -> str:
    """The notice of an error.  It is remembered if it ends with its cause (see `Visitor.complaint`)."""
    told = html.notice(html.from_one(html.sentence(for_visitors(error))))
    running = visitor.work is not None and visitor.work.running
    visitor.complaint = told if running or isinstance(error, OptionError) else ""
    return told


def run_ended(visitor: Visitor) -> dict[str, str]:
    """The end of a run: what was refused because of it is told no longer."""
    return {"notice": ""} if visitor.complaint else {}


def answers(handler: Callable) -> Callable:
    """Decorator of handlers: completes their views, and turns what they raise into a notice.

    A handler is a panel's method that takes the visitor first, and returns a View or yields several.
    """

    @functools.wraps(handler)
    def plain(panel: Panel, visitor: Visitor, *values) -> View:
        try:
            return panel.host.complete(visitor, handler(panel, visitor, *values))
        except Overtaken:
            return View()
        except Exception as error:
            return panel.host.refused(visitor, error)

    @functools.wraps(handler)
    def stream(panel: Panel, visitor: Visitor, *values) -> Iterator[View]:
        try:
            with closing(handler(panel, visitor, *values)) as views:
                for view in views:
                    yield panel.host.complete(visitor, view)
        except Overtaken:
            yield View()
        except Exception as error:
            yield panel.host.refused(visitor, error)

    return stream if inspect.isgeneratorfunction(handler) else plain
