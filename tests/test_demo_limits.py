"""Limits: flag over variable over default, each explained."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from demo.limits import PREFIX, Limits, variable
from stm_core.commands.flags import add_flags, flags_of, made_from
from stm_core.errors import OptionError

ROOT = Path(__file__).parent.parent


def parsed(words: list[str], environ: dict[str, str]) -> Limits:
    parser = argparse.ArgumentParser()
    add_flags(parser, Limits, environ, PREFIX)
    return made_from(Limits, parser.parse_args(words))


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_default():
    environ = {"STM_LIVE_MAX_FRAMES": "50", "STM_LIVE_UPLOAD_MB": "7"}
    found = parsed(["--max-frames", "60"], environ)
    assert (found.max_frames, found.upload_mb, found.max_objects) == (60, 7, Limits().max_objects)


def test_a_limit_that_is_no_number_is_refused():
    with pytest.raises(OptionError, match="STM_LIVE_MAX_FRAMES"):
        parsed([], {"STM_LIVE_MAX_FRAMES": "many"})
    with pytest.raises(OptionError, match="above 0"):
        Limits(max_frames=0)


def test_help_names_every_limit_and_option():
    done = subprocess.run(
        [sys.executable, "app.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for word in (
        "--host",
        "--port",
        "--weights",
        "--share",
        "--auth",
        *(flag.name for flag in flags_of(Limits)),
    ):
        assert word in done.stdout
    assert variable("NAME") in done.stdout


def test_a_wrong_option_is_one_line_and_exit_code_2():
    done = subprocess.run(
        [sys.executable, "app.py", "--weights", "/nowhere.safetensors"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "/nowhere" in done.stderr


@pytest.mark.parametrize("folder", [ROOT, ROOT / "cache", ROOT / "demo" / "x"])
def test_a_cache_folder_of_which_nothing_would_be_served_is_refused(folder):
    with pytest.raises(OptionError, match="program's own folder"):
        parsed(["--cache", str(folder)], {})
    assert parsed(["--cache", f"{ROOT}-cache"], {}).root == Path(f"{ROOT}-cache")
