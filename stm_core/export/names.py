"""File names from a template such as `{clip}_{object}_{frame}`."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

from stm_core.errors import OptionError

FIELDS = ("clip", "object", "frame")
USUAL = "{clip}_{object}_{frame}"
FORBIDDEN = '/\\:*?"<>|'
LONGEST = 60  # characters of a template
FIELD_BYTES, NAME_BYTES = 80, 230  # file systems take 255 for a name with its ending
MISSING = "\0"
JOINT = "[-_. ]?"  # what joins a field to its neighbour


@dataclass(frozen=True)
class Template:
    """A checked template.  A field that a file has no value for is left out, with the character before it.

    Raises OptionError: a field that is not known, a path, or nothing.
    """

    text: str

    def __post_init__(self) -> None:
        try:
            parts = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise self._wrong("has a brace without its partner") from error
        for literal, field, form, conversion in parts:
            if any(c in FORBIDDEN or not c.isprintable() for c in literal):
                raise self._wrong(f"has a character that file names cannot have; leave out {FORBIDDEN}")
            if field is not None and field not in FIELDS:
                raise self._wrong(f"has the unknown field {{{field}}}")
            if form or conversion:
                raise self._wrong("has a format for a field, which is not possible")
        if not self.text.strip() or len(self.text) > LONGEST:
            raise self._wrong("is empty" if not self.text.strip() else f"is longer than {LONGEST} characters")

    @property
    def fields(self) -> set[str]:
        """The fields that it has."""
        return {field for _, field, _, _ in string.Formatter().parse(self.text) if field}

    def fill(self, *, clip: str, obj: str | None = None, frame: int | None = None) -> str:
        """The name of a file, without its ending."""
        number = MISSING if frame is None else f"{frame:05d}"
        name = self.text.format(clip=safe(clip), object=MISSING if obj is None else safe(obj), frame=number)
        name = re.sub(f"{JOINT}{MISSING}", "", re.sub(f"^{MISSING}{JOINT}", "", name))
        return _cut(name.strip(" ."), NAME_BYTES) or safe(clip)

    def _wrong(self, what: str) -> OptionError:
        fields = ", ".join(f"{{{name}}}" for name in FIELDS)
        return OptionError(
            f"the name template {self.text[:60]!r} {what}; write for example {USUAL}, with any of {fields}"
        )


def safe(text: str) -> str:
    """A text as part of a file name: letters, digits, - and _ stay, runs of all else become one _."""
    kept = re.sub(r"[^\w\-.]+", "_", text).strip("_. ")
    return _cut(kept, FIELD_BYTES).strip("_. ") or "clip"


def _cut(text: str, most: int) -> str:
    """The beginning of a text that takes at most so many bytes."""
    return text.encode()[:most].decode(errors="ignore")


def check_different(names: list[str], template: str, fields: tuple[str, ...]) -> None:
    """Raises OptionError when two files would get the same name.  fields: those that tell the files apart."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:  # some file systems take both for one
            wanted = " and ".join(f"{{{field}}}" for field in fields)
            raise OptionError(
                f"the name template {template!r} gives two files the name {name!r}; put {wanted} into it"
            )
        seen.add(name.casefold())
