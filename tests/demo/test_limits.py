"""Limits: flag over variable over default, each explained."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import app
from demo.limits import PREFIX, Limits, variable
from stm_core.commands.flags import add_flags, flags_of, made_from
from stm_core.errors import OptionError

ROOT = Path(__file__).parents[2]


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
    told = app.make_parser().format_help()
    for word in (
        "--host",
        "--port",
        "--weights",
        "--share",
        "--auth",
        *(flag.name for flag in flags_of(Limits)),
    ):
        assert word in told
    assert variable("NAME") in told


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Path:
    """The default cache folder, in a temporary folder where everybody may write."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / "stm_live"


@pytest.mark.skipif(os.name != "posix", reason="folders have no mode here")
def test_the_default_cache_folder_is_this_users_alone(shared):
    for _ in range(2):  # made, and found again
        Limits().make_root()
        assert shared.stat().st_mode & 0o777 == 0o700
    shared.chmod(0o755)  # as an earlier version made it
    Limits().make_root()
    assert shared.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name != "posix", reason="folders have no owner here")
def test_a_default_cache_folder_of_somebody_else_is_refused(shared, tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir(mode=0o700)
    shared.symlink_to(tmp_path / "theirs")
    with pytest.raises(OptionError, match="not a folder.*--cache"):
        Limits().make_root()
    shared.unlink()
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(OptionError, match="written by others.*--cache"):
        Limits().make_root()
    shared.chmod(0o700)
    somebody_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody_else)
    with pytest.raises(OptionError, match="another user.*--cache"):
        Limits().make_root()


SECRET = "pa55word"
NO_CHILD_KNOWS = f"""
import sys
sys.argv = ["app.py", *WORDS]
import app, psutil
from pathlib import Path
from demo.guard.process import Guard
from demo.limits import Limits
from stm_core.errors import StmError
print(app.read_options()[1])
try:
    Guard(Limits()).call("mask", path="nowhere.png", height=1, width=1)
except StmError:
    pass
me = psutil.Process()
known = [repr((one.cmdline(), one.environ())) for one in me.children(recursive=True)]
print(len(known), sum("{SECRET}" in text or "t0ken" in text for text in known))
print("{SECRET}" in repr((sys.argv, me.environ())))
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no fork server here")
@pytest.mark.parametrize(
    "words, environ", [([], SECRET), (["--auth", f"me:{SECRET}"], "other")], ids=["variable", "option"]
)
def test_no_child_of_the_server_is_told_the_password(words, environ):
    environ = {**os.environ, "STM_LIVE_AUTH": f"me:{environ}", "HF_TOKEN": "t0ken"}
    code = NO_CHILD_KNOWS.replace("WORDS", repr(words))
    done = subprocess.run(
        [sys.executable, "-"], input=code, cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    login, children, own = done.stdout.splitlines()
    assert login == f"('me', '{SECRET}')" and children == "2 0" and own == "False"
    assert SECRET not in done.stderr


@pytest.mark.parametrize("words", [["--auth", SECRET], ["--auth", "me", SECRET], [f"--atuh=me:{SECRET}"]])
def test_a_wrong_login_is_not_repeated(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["app.py", *words])
    code, (out, err) = app.main(), capsys.readouterr()
    assert code == 2 and err.count("\n") == 1
    assert SECRET not in out + err


@pytest.mark.parametrize("folder", [ROOT, ROOT / "cache", ROOT / "demo" / "x"])
def test_a_cache_folder_of_which_nothing_would_be_served_is_refused(folder):
    with pytest.raises(OptionError, match="program's own folder"):
        parsed(["--cache", str(folder)], {})
    assert parsed(["--cache", f"{ROOT}-cache"], {}).root == Path(f"{ROOT}-cache")
