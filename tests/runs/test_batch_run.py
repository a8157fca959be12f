"""Laws of a clip's process: how it ended is told, and it ends with the command."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pages import wait_for

from stm_core.runs import batch_run


def test_a_command_that_is_told_to_end_ends_its_children(tmp_path):
    program = f"""
import sys, time
from stm_core.runs import batch, batch_list
from stm_core.commands.signals import take_interrupts
take_interrupts("test", kill=True)
waits = "import time; print(1, file=open({str(tmp_path / "began")!r}, 'w')); time.sleep(600)"
batch_list.Job.command = property(lambda job: [sys.executable, "-c", waits])
batch.run_batch(batch.Path({str(tmp_path / "list.txt")!r}), batch.Path({str(tmp_path / "out")!r}))
"""
    (tmp_path / "list.txt").write_text("a.mp4")
    root = Path(__file__).parents[2]
    command = subprocess.Popen([sys.executable, "-c", program], cwd=root)
    try:
        wait_for((tmp_path / "began").exists, 60)
        children = psutil.Process(command.pid).children(recursive=True)
        command.terminate()
        assert command.wait(60) == 143 and children
        assert not psutil.wait_procs(children, timeout=10)[1]
    finally:
        command.kill()


@pytest.mark.parametrize(
    "ends, told, fault",
    [
        ("print('a warning', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)", "-9", False),
        ("os.abort()", "-6", False),
        ("print('noise', file=sys.stderr); sys.exit('stm_core: so it is')", "so it is", False),
        ("print('stm_core: so it is', file=sys.stderr); sys.exit(2)", "so it is", False),
        ("print('stm_core: so it is', file=sys.stderr); sys.exit(70)", "so it is", True),
    ],
)
def test_how_a_process_ended_is_told_and_a_fault_of_ours_apart(tmp_path, ends, told, fault):
    program = f"import os, sys; {ends}"
    outcome = batch_run.run_job([sys.executable, "-c", program], str(tmp_path), 1, str(tmp_path))
    assert outcome["status"] == "failed" and outcome.get("fault", False) == fault
    assert outcome["error"] == told if "it is" in told else f"code {told}" in outcome["error"]


@pytest.mark.parametrize("text", [None, "", "[]", "{}"])
def test_a_process_that_leaves_no_report_has_failed(tmp_path, text):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    outcome = batch_run.run_job([sys.executable, "-c", ""], str(tmp_path), 1, str(tmp_path))
    assert (outcome["status"], outcome["frames"]) == ("failed", 0)
    assert "report.json" in outcome["error"]


def test_a_process_that_cannot_start_has_failed(tmp_path):
    outcome = batch_run.run_job([str(tmp_path / "none")], str(tmp_path), 1, str(tmp_path))
    assert outcome["status"] == "failed" and "No such file" in outcome["error"]
