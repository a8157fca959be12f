"""Options of a command line from the fields of a dataclass.

A field is an option when its metadata has a help text.  Its name, type and default say the rest:

    max_frames: int                  --max-frames N
    compile: bool                    --compile
    videos: tuple[Path, ...]         --videos PATH ...
    device: Literal["cpu", "cuda"]   --device cpu|cuda

Other metadata of a field:

    least, most   bounds of a number
    read          how the text becomes a value, where the type does not say it
    metavar       the word for the value in the help text
"""

from __future__ import annotations

import argparse
import dataclasses
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from stm_core.commands.option_values import number, one_of, whole_number
from stm_core.errors import OptionError

Made = TypeVar("Made")
WORDS = {int: "N", float: "N", Path: "PATH", str: "TEXT"}  # for a value in the help text


class Flag(NamedTuple):
    """One option."""

    field: str
    name: str  # --max-frames
    read: Callable[[str], Any]
    default: Any  # dataclasses.MISSING: the option must be given
    several: bool
    metavar: str
    help: str


def flags_of(kind: type) -> list[Flag]:
    """The options of a dataclass, in the order of its fields."""
    hints = get_type_hints(kind)
    return [_flag(field, hints[field.name]) for field in dataclasses.fields(kind) if "help" in field.metadata]


def add_flags(
    parser: argparse._ActionsContainer, kind: type, environ: Mapping[str, str] | None = None, prefix: str = ""
) -> dict[str, argparse.Action]:
    """Add the options of a dataclass to the parser; returns them by the names of their fields.

    environ, prefix: if `environ` has the variable `prefix` + NAME, it is the default of --name.
    Raises OptionError when the text of such a variable is not a valid value.
    """
    added = {}
    for flag in flags_of(kind):
        default = flag.default
        variable = prefix + flag.field.upper()
        if environ and variable in environ:
            default = _from_environment(flag, variable, environ[variable])
        added[flag.field] = _add(parser, flag, default)
    return added


def made_from(kind: type[Made], args: argparse.Namespace, **more: object) -> Made:
    """The dataclass with the values of its options, and `more` for its other fields."""
    given = {flag.field: getattr(args, flag.field) for flag in flags_of(kind)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return kind(**values, **more)


def _flag(field: dataclasses.Field, hint: Any) -> Flag:
    kind, several = _kind(hint)
    read, metavar = _reader(kind, field.metadata)
    name = "--" + field.name.replace("_", "-")
    return Flag(field.name, name, read, field.default, several, metavar, field.metadata["help"])


def _kind(hint: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several, as in `tuple[int, ...]`."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (one for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True
    return hint, False


def _reader(kind: Any, metadata: Mapping[str, Any]) -> tuple[Callable[[str], Any], str]:
    """How a text becomes a value of this type, and the word for the value."""
    bounds = metadata.get("least"), metadata.get("most")
    read: Callable[[str], Any] = kind
    if get_origin(kind) is Literal:
        read = one_of(get_args(kind))
    elif kind in (int, float):
        read = (whole_number if kind is int else number)(*bounds)
    word = "|".join(get_args(kind)) if get_origin(kind) is Literal else WORDS.get(kind, "")
    return metadata.get("read", read), metadata.get("metavar", word)


def _add(parser: argparse._ActionsContainer, flag: Flag, default: Any) -> argparse.Action:
    text = flag.help.replace("%", "%%")
    if flag.read is bool:
        return parser.add_argument(flag.name, action="store_true", help=text)
    required = default is dataclasses.MISSING
    shown = f" (default: {_shown(default)})" if not required and default not in (None, "", ()) else ""
    count = {"nargs": "+" if required else "*"} if flag.several else {}
    return parser.add_argument(
        flag.name,
        type=flag.read,
        required=required,
        default=None if required else default,
        metavar=flag.metavar,
        help=text + shown,
        **count,
    )


def _shown(default: object) -> str:
    return f"{default:,}".removesuffix(".0") if isinstance(default, int | float) else str(default)


def _from_environment(flag: Flag, variable: str, text: str) -> Any:
    try:
        return flag.read(text)
    except argparse.ArgumentTypeError as error:
        raise OptionError(f"{variable}: {error}; unset or fix it") from error
