"""Laws of the command as a process: streams that end early, Ctrl-C while it loads, torch only when needed."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from conftest import is_one_line

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds that a process may take to start on a busy machine
SHORT_BENCH = ["bench", "--weights", "random:compact-tiny", "--size", "32x48", "--frames", "4"]
BUFFERED_OR_NOT = pytest.mark.parametrize(
    ("words", "unbuffered"), [(["segment", "--help"], ""), (SHORT_BENCH, "1")], ids=["help", "bench"]
)


@BUFFERED_OR_NOT
def test_a_reader_that_left_is_no_mistake(words, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    child = start(words, stdout=writer, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    os.close(writer)
    _, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@BUFFERED_OR_NOT
def test_a_full_disk_under_the_output_is_told_in_one_line(words, unbuffered):
    with Path("/dev/full").open("w") as full:
        child = start(words, stdout=full, env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
        _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 2 and is_one_line(err) and "disk" in err, err


def start(words, program=("-m", "stm_core"), **options) -> subprocess.Popen:
    """The command in a process of its own; it heeds Ctrl-C even where its parents ignore it."""
    command = [sys.executable, *program, *words]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heed, **options)


@pytest.mark.parametrize("loaded", ["stm_core.errors", "numpy", "torch.types", "torch", "gradio.exceptions"])
def test_an_interrupt_while_modules_load_is_told_in_one_line(loaded):
    page = loaded.startswith("gradio")
    words, program = ([], ["app.py"]) if page else ([*SHORT_BENCH[:-1], "99999"], ["-m", "stm_core"])
    child = start(words, program, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    lines = []
    for line in child.stderr:
        lines.append(line)
        if line.split("|")[-1].strip() == loaded:
            child.send_signal(signal.SIGINT)
    # Python ends by the signal itself where the interrupt came out of an `exec`, as dataclasses use it; a
    # shell sees 130 either way
    assert child.wait(PATIENCE) in (130, -signal.SIGINT)
    (said,) = [line for line in lines if not line.startswith("import time:")]
    assert said.startswith(f"{'app.py' if page else 'stm_core'}: interrupted")


def test_the_command_answers_without_torch():
    code = "import sys, stm_core.commands.cli as cli; cli.build_parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=PATIENCE).returncode == 0
