"""Arguments of the public functions, checked at the door; each mistake is one sentence."""

from __future__ import annotations

import operator
import os
from pathlib import Path

from stm_core.errors import OptionError


def whole(name: str, value: object, least: int = 0) -> int:
    """A whole number of at least `least`, NumPy's too.  Raises OptionError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise OptionError(f"{name} is {_short(value)}, expected a whole number of at least {least}")
    return number


def path_of(name: str, value: object) -> Path:
    """A path of text or a path object.  Raises OptionError."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise OptionError(f"{name} is {_short(value)}, expected a path; give it as text or pathlib.Path")
    return Path(value)


def expect(name: str, value: object, kind: type | tuple[type, ...], advice: str) -> None:
    """Raises OptionError, with advice, unless value is of that kind."""
    if not isinstance(value, kind):
        raise OptionError(f"{name} is {_short(value)}; {advice}")


def _short(value: object) -> str:
    """What a value is: as written if that is short, else its type."""
    text = repr(value)
    return text if len(text) <= 40 and "\n" not in text else f"of type {type(value).__name__}"
