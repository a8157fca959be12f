"""Values from the words of a command line.  A wrong word gives an error of one sentence."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from stm_core.engine.prompts import Click, with_defaults
from stm_core.errors import PromptError
from stm_core.masks.palette import MAX_OBJECTS

CLICK = re.compile(r"-?\d+(\.\d+)?(,-?\d+(\.\d+)?){1,3}")


def click(text: str) -> Click:
    """X,Y[,LABEL[,OBJECT]] as (x, y, label, object).  Raises PromptError."""
    if not CLICK.fullmatch(text):
        raise PromptError(
            f"--click {text} is not X,Y[,LABEL[,OBJECT]]; write for example --click 320,240 or 320,240,0,2"
        )
    x, y, label, object_id = with_defaults(*map(float, text.split(",")))
    if label not in (0, 1):
        raise PromptError(f"--click {text} has the label {label:g}; give 1 for object or 0 for background")
    if object_id not in range(1, MAX_OBJECTS + 1):
        raise PromptError(
            f"--click {text} has the object {object_id:g}; objects are numbered 1 to {MAX_OBJECTS}"
        )
    return x, y, int(label), int(object_id)


def absent(text: str) -> tuple[int, int, int]:
    """OBJECT:FIRST-LAST as three numbers.  Raises ArgumentTypeError."""
    if not re.fullmatch(r"\d{1,3}:\d{1,9}(-\d{1,9})?", text):
        raise argparse.ArgumentTypeError(f"got {text}, expected OBJECT:FIRST-LAST, for example 2:30-45")
    number, _, frames = text.partition(":")
    first, _, last = frames.partition("-")
    return int(number), int(first), int(last or first)


def erased(text: str) -> tuple[int, int]:
    """OBJECT:FRAME as two numbers.  Raises ArgumentTypeError."""
    if not re.fullmatch(r"\d{1,3}:\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"got {text}, expected OBJECT:FRAME, for example 2:30")
    number, frame = map(int, text.split(":"))
    return number, frame


def part(text: str) -> tuple[int, int]:
    """FIRST-LAST as two numbers.  Raises ArgumentTypeError."""
    if not re.fullmatch(r"\d{1,9}-\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"got {text}, expected FIRST-LAST, for example 30-45")
    first, _, last = text.partition("-")
    return int(first), int(last)


def folder(text: str) -> Path:
    """The path of a folder.  Raises ArgumentTypeError when there is none, as for an unset variable."""
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got an empty word; name one, or . for this one")
    return Path(text)


def split_clicks(argv: Sequence[str]) -> list[str]:
    """The words with `--click a b` written as `--click=a --click=b`.

    argparse by itself would take the clip that follows for a click, and -3,5 for an option.
    """
    out: list[str] = []
    clicking = False
    for word in argv:
        if clicking and CLICK.fullmatch(word):
            if out[-1] == "--click":
                out.pop()
            out.append(f"--click={word}")
        else:
            clicking = word == "--click"
            out.append(word)
    return out


def whole_number(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """A reader of whole numbers from `least` to `most`; None = no bound."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,15}", text) or not _within(int(text), least, most):
            raise argparse.ArgumentTypeError(f"got {text}, expected a whole number{_bounds(least, most)}")
        return int(text)

    return read


def number(least: float | None = None, most: float | None = None) -> Callable[[str], float]:
    """A reader of finite numbers from `least` to `most`; None = no bound."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not _within(value, least, most):
            raise argparse.ArgumentTypeError(f"got {text}, expected a number{_bounds(least, most)}")
        return value

    return read


def _within(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _bounds(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "" if least is most else f" of at least {least}" if most is None else f" of at most {most}"
    return f" from {least} to {most}"


def one_of(allowed: Collection[str]) -> Callable[[str], str]:
    """A reader that accepts only these words."""

    def word(text: str) -> str:
        if text not in allowed:
            raise argparse.ArgumentTypeError(f"got {text}, expected one of {', '.join(allowed)}")
        return text

    return word


def list_of(value: Callable) -> Callable[[str], list]:
    """A reader of several values, separated by commas, each once."""

    def several(text: str) -> list:
        if not words(text):
            raise argparse.ArgumentTypeError("got nothing, expected at least one value")
        found = [value(word) for word in words(text)]
        if len(set(found)) < len(found):
            raise argparse.ArgumentTypeError(f"got {text}, expected each value once")
        return found

    return several


def words(text: str) -> list[str]:
    """The words of a text, separated by commas."""
    return [word for word in text.split(",") if word]


def megabytes(text: str) -> float:
    """A number of MB above 0."""
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", text) or float(text) * 2**20 < 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number above 0, in MB")
    return float(text)


def pixel(text: str) -> tuple[int, int]:
    """X,Y as (x, y)."""
    if not re.fullmatch(r"\d{1,6},\d{1,6}", text):
        raise argparse.ArgumentTypeError(f"got {text}, expected X,Y in whole pixels, such as 320,240")
    x, y = text.split(",")
    return int(x), int(y)


def limit(text: str) -> int | None:
    """A whole number; None for 0, which means no limit."""
    return whole_number(0)(text) or None


def frame_size(text: str) -> tuple[int, int]:
    """HxW as (height, width)."""
    if not re.fullmatch(r"\d{2,4}x\d{2,4}", text) or min(map(int, text.split("x"))) < 16:
        raise argparse.ArgumentTypeError(f"got {text}, expected HEIGHTxWIDTH such as 480x854, at least 16x16")
    height, width = text.split("x")
    return int(height), int(width)
