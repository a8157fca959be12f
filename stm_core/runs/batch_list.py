"""The list of a batch: a clip and its options on each line."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stm_core.errors import OptionError

PATHS = ("--mask", "--weights", "--prompts")  # options whose value is a path, relative to the list


@dataclass(frozen=True)
class Job:
    """One line of the list."""

    name: str  # folder of its results
    arguments: tuple[str, ...]  # of `segment`, without --out
    out: str

    @property
    def command(self) -> list[str]:
        """The command line that runs it."""
        return [sys.executable, "-m", "stm_core", "segment", *self.arguments, "--out", self.out]


def read_list(path: Path, out: Path, shared: Sequence[str] = ()) -> list[Job]:
    """The jobs of a list.

    shared: options for all of them; they come first, so that a line may override them.
    Raises OptionError.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(
            f"the list {path} cannot be read: {getattr(error, 'strerror', None) or error}; "
            "give a text file with a clip per line"
        ) from error
    jobs: list[Job] = []
    taken: set[str] = set()
    for number, line in enumerate(lines, 1):
        try:
            words = _words(line)
        except ValueError as error:
            raise OptionError(f"{path}, line {number}: {error}; check the quotes") from error
        if not words:
            continue
        if "--out" in words or any(word.startswith("--out=") for word in words):
            raise OptionError(
                f"{path}, line {number}: --out belongs to the command `batch`, not to a line; remove it here"
            )
        words = _relative_to(path.parent.resolve(), words)
        name = _unique(Path(words[0]).resolve().stem or "clip", taken)
        jobs.append(Job(name, (*shared, *words), str(out.resolve() / name)))
    if not jobs:
        raise OptionError(
            f"the list {path} has no clip; write `CLIP --mask M.png` or `CLIP --click X,Y` on a line"
        )
    return jobs


def _words(line: str) -> list[str]:
    """The words of a line, without its comment.  ValueError when a quote is not closed."""
    escape = "" if os.name == "nt" else "\\"  # C:\clips\dog.mp4
    reader = shlex.shlex(_without_comment(line, escape), posix=True)
    reader.whitespace_split, reader.commenters, reader.escape = True, "", escape
    return list(reader)


def _without_comment(line: str, escape: str) -> str:
    """The line up to a # that begins a word outside quotes."""
    quote, escaped, between = "", False, True
    for n, letter in enumerate(line):
        if escaped:
            escaped = between = False
            continue
        if letter == escape and quote != "'":
            escaped = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and between:
            return line[:n]
        between = not quote and letter.isspace()
    return line


def _relative_to(folder: Path, words: list[str]) -> list[str]:
    """The words of a line with its paths resolved from the list's folder."""
    words = [str(folder / words[0]), *words[1:]]
    for n, word in enumerate(words[1:], 1):
        option, _, value = word.partition("=")
        if words[n - 1] in PATHS:
            words[n] = _resolved(folder, words[n - 1], word)
        elif value and option in PATHS:
            words[n] = f"{option}={_resolved(folder, option, value)}"
    return words


def _resolved(folder: Path, option: str, value: str) -> str:
    """The value with its path resolved; weights may be the name `compact`, or have `paper:` before a path.

    Prompts may be clicks.
    """
    if option == "--weights" and value in ("compact", "paper:"):
        return value
    if option == "--prompts" and value.startswith("["):
        return value
    kind = "paper:" if option == "--weights" and value.startswith("paper:") else ""
    return f"{kind}{folder / value.removeprefix(kind)}"


def _unique(name: str, taken: set[str]) -> str:
    """The name, or name-2, name-3 ...: two clips of a list may share their file name."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    taken.add(candidate)
    return candidate
