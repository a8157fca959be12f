"""Laws of the options made from a dataclass: the fields say name, type, default and bounds."""

import argparse
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from stm_core.commands.flags import add_flags, made_from
from stm_core.commands.option_values import whole_number
from stm_core.errors import OptionError


def option(default=MISSING, **metadata):
    return field(default=default, metadata={"help": "100 % of it", **metadata})


@dataclass(frozen=True)
class Asked:
    folder: Path = option()
    most_frames: int = option(900, least=1, most=1000)
    share: float = option(0.5, least=0)
    size: int | None = option(None)
    fast: bool = option(False)
    more: tuple[int, ...] = option((), read=whole_number(2))
    kind: Literal["a", "b"] = option("a")
    hidden: int = 7  # no help: no option


def read(*words: str, environ: dict[str, str] | None = None, **more) -> Asked:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_flags(parser, Asked, environ, "TEST_")
    return made_from(Asked, parser.parse_args(["--folder", "in", *words]), **more)


def test_what_is_not_given_has_its_default():
    assert read() == Asked(Path("in"))


def test_each_type_is_read_from_its_text():
    words = "--most-frames 8 --share 0.25 --size 3 --fast --kind b --more 2 4".split()
    assert read(*words, hidden=1) == Asked(Path("in"), 8, 0.25, 3, True, (2, 4), "b", hidden=1)


@pytest.mark.parametrize(
    "words",
    [
        *(["--most-frames", text] for text in ("0", "1001", "2.5", "many", "")),
        *(["--share", text] for text in ("-1", "nan", "inf", "half")),
        ["--kind", "c"],
        ["--more", "2", "1"],
    ],
)
def test_a_text_that_is_no_value_is_refused(words):
    with pytest.raises(argparse.ArgumentError):
        read(*words)


def test_the_environment_gives_a_default_and_a_wrong_one_is_told_with_its_name():
    assert read(environ={"TEST_MOST_FRAMES": "8"}).most_frames == 8
    assert read("--most-frames", "9", environ={"TEST_MOST_FRAMES": "8"}).most_frames == 9
    with pytest.raises(OptionError, match="TEST_MOST_FRAMES"):
        read(environ={"TEST_MOST_FRAMES": "0"})


def test_the_help_shows_defaults():
    parser = argparse.ArgumentParser()
    add_flags(parser, Asked)
    text = parser.format_help()
    assert "default: 900" in text and "100 % of it" in text and "hidden" not in text
