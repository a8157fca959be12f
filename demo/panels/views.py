"""Views: what a handler answers, a dict from the name of a part of the page (demo.ui) to its new value.

`Props` changes a part's properties instead of its value.  A mistake of the visitor becomes a view with a
notice, never a traceback.
"""

import functools
import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from demo.draw import charts, readout
from demo.limits import Limits
from demo.panels import stage_state as render
from demo.work.visitor import Session
from stm_core.errors import StmError, for_visitors

log = logging.getLogger(__name__)
View = dict
BUTTONS = ("track", "stop", "fix", "fixing", "results")
EMPTIED = {"upload": None, "mask_file": None}  # the next file can be dropped without removing the last one


class Props(dict):
    """Properties of a part of the page rather than its value: Props(interactive=False)."""


class Overtaken(Exception):
    """Another clip was opened meanwhile: what was being done for the one before is no news."""


@contextmanager
def of_this_clip(session: Session) -> Iterator[str]:
    """Work on the open clip, whose folder comes back.  Overtaken if another one is open afterwards, however
    the work went.
    """
    folder = session.need_clip().folder
    try:
        yield folder
    except Exception as error:
        if session.shows(folder):
            raise
        raise Overtaken from error
    if not session.shows(folder):
        raise Overtaken


@contextmanager
def changing(session: Session, folder: str) -> Iterator[None]:
    """A change of the work on the clip in this folder, while nobody else changes it.  Overtaken if another
    clip is open by now.
    """
    with session.alone():
        if not session.shows(folder):
            raise Overtaken
        yield


def answers(function):
    """Let a handler (a method whose first value is the session) raise: a StmError becomes a notice,
    anything unforeseen a sentence and a line in the log.
    """

    def refused(session, error):
        if not isinstance(error, StmError):
            log.exception("handler %s failed", function.__name__)
            error = StmError("something went wrong on the server; reload the page and try again")
        return refuse(session, for_visitors(error))

    @functools.wraps(function)
    def plain(self, session, *values):
        try:
            return function(self, session, *values)
        except Overtaken:
            return {}
        except Exception as error:
            return refused(session, error)

    @functools.wraps(function)
    def stream(self, session, *values):
        try:
            yield from function(self, session, *values)
        except Overtaken:
            yield {}
        except Exception as error:
            yield refused(session, error)

    return stream if inspect.isgeneratorfunction(function) else plain


def marked(session: Session) -> View:
    """After a change of marks."""
    session.answer += 1
    session.touch()
    return {"stage": render.stage(session), "notice": "", **buttons(session)}


def buttons(session: Session) -> View:
    """What can be pressed now."""
    busy = session.running or session.waiting
    return {
        "track": Props(
            interactive=bool(session.marks) and not busy,
            value="Track again" if session.records else "Track",
        ),
        "stop": Props(interactive=busy),
        "fix": Props(interactive=bool(session.fixes()) and not busy),
        "fixing": Props(visible=bool(session.records)),
        "results": Props(visible=bool(session.records)),
    }


def everything(session: Session, limits: Limits, device: str) -> View:
    """After a clip was opened: the whole page."""
    frames = session.clip.stop - session.clip.start
    return {
        **marked(session),
        "report": render.clip_report(session.clip, limits),
        "progress": "",
        "prediction": readout.NO_PREDICTION,
        "readout": readout.memory([], frames, (), (), 0, None, 0, device),
        "timeline": charts.timeline(session),
        "player": None,
        **EMPTIED,
    }


def refuse(session: Session | None, text: str) -> View:
    """After a mistake: the sentence, and the stage as it was."""
    notice = {"notice": render.notice(sentence(text)), **EMPTIED}
    if not isinstance(session, Session):
        return notice
    session.answer += 1
    return {**notice, "stage": render.stage(session), **buttons(session)}


def sentence(text: str) -> str:
    """A text with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
