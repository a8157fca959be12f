"""Laws of the batch: a line is a clip, a failure is its own, and a second run does only what is missing."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pages import wait_for

from stm_core import batch
from stm_core.errors import OptionError


def write_list(folder: Path, text: str) -> Path:
    path = folder / "clips.txt"
    path.write_text(text)
    return path


@pytest.fixture
def outcomes(monkeypatch):
    """Stands in for the processes: what each clip's run gives, by name, and which were run."""
    given, ran = {}, []

    def run_job(command, out, threads, folder, on_start):
        name = Path(out).name
        ran.append(name)
        status = given.get(name, "done")
        if status == "done":
            Path(out).mkdir(parents=True, exist_ok=True)
            (Path(out) / "report.json").write_text(json.dumps({"frames_out": 7}))
        error = None if status == "done" else "it broke"
        return {"status": status, "seconds": 0.1, "frames": 7 if status == "done" else 0, "error": error}

    monkeypatch.setattr(batch, "run_job", run_job)
    return given, ran


def test_lines_become_jobs_with_paths_from_the_list(tmp_path):
    text = "# comment\n\na.mp4 --mask 'my masks/a.png'\nsub/a.mp4 --click 3,4 --size 120\nb --mask=m.png\n"
    jobs = batch.read_list(write_list(tmp_path, text), tmp_path / "out", ["--memory=first"])
    assert [job.name for job in jobs] == ["a", "a-2", "b"]
    assert jobs[0].arguments == (
        "--memory=first",
        str(tmp_path / "a.mp4"),
        "--mask",
        str(tmp_path / "my masks/a.png"),
    )
    assert jobs[1].arguments[1:] == (str(tmp_path / "sub/a.mp4"), "--click", "3,4", "--size", "120")
    assert jobs[2].arguments[-1] == f"--mask={tmp_path / 'm.png'}"
    assert jobs[0].command[-2:] == ["--out", str(tmp_path / "out" / "a")]


@pytest.mark.parametrize("between", [" ", "="])
def test_weights_of_a_line_are_found_from_the_list(tmp_path, between):
    for given, expected in (
        ("compact", "compact"),
        ("mine.pth", f"{tmp_path / 'mine.pth'}"),
        ("/there/mine.pth", "/there/mine.pth"),
        ("paper:stm.pth", f"paper:{tmp_path / 'stm.pth'}"),
        ("paper:/there/stm.pth", "paper:/there/stm.pth"),
        ("paper:", "paper:"),  # refused when it runs
    ):
        path = write_list(tmp_path, f"a.mp4 --weights{between}{given}\n")
        (job,) = batch.read_list(path, tmp_path / "out")
        assert between.join(job.arguments[1:]) == f"--weights{between}{expected}"


def test_no_line_writes_outside_the_folder_of_results(tmp_path):
    lines = "frames/.. --click 1,1\n.. --click 1,1\n/ --click 1,1\n"
    jobs = batch.read_list(write_list(tmp_path, lines), tmp_path / "out")
    assert [Path(job.out).parent for job in jobs] == [tmp_path / "out"] * 3
    assert [Path(job.out).name for job in jobs] == [job.name for job in jobs]
    assert jobs[0].name == tmp_path.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no clip"),
        ("# only\n", "no clip"),
        ("a.mp4 --mask 'm.png", "line 1"),
        ("\na.mp4 --out x", "line 2"),
    ],
)
def test_a_bad_list_is_refused_with_its_line(tmp_path, text, said):
    with pytest.raises(OptionError, match=said):
        batch.read_list(write_list(tmp_path, text), tmp_path)


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(OptionError, match="cannot be read"):
        batch.read_list(tmp_path / "none.txt", tmp_path)


def test_one_failure_does_not_stop_the_rest(tmp_path, outcomes):
    given, _ = outcomes
    given["b"] = "failed"
    clips = batch.run_batch(write_list(tmp_path, "a.mp4\nb.mp4\nc.mp4\n"), tmp_path / "out", workers=2)
    assert [clip["status"] for clip in clips] == ["done", "failed", "done"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["done"], summary["failed"], summary["waiting"]) == (2, 1, 0)
    assert summary["clips"][1]["error"] == "it broke"


def test_a_second_run_does_what_is_missing_or_changed(tmp_path, outcomes):
    given, ran = outcomes
    given["b"] = "failed"
    path, out = write_list(tmp_path, "a.mp4\nb.mp4\nc.mp4 --size 100\nd.mp4\n"), tmp_path / "out"
    batch.run_batch(path, out, workers=1)
    assert sorted(ran) == ["a", "b", "c", "d"]
    ran.clear()
    given.clear()
    (out / "d" / "report.json").unlink()
    path.write_text("a.mp4\nb.mp4\nc.mp4 --size 200\nd.mp4\n")
    clips = batch.run_batch(path, out, workers=1)
    assert sorted(ran) == ["b", "c", "d"]
    assert {clip["status"] for clip in clips} == {"done"}


def test_a_run_that_is_cut_off_leaves_nothing_that_a_later_one_takes_for_its_own(tmp_path, outcomes):
    _, ran = outcomes
    path, out = write_list(tmp_path, "a.mp4\n"), tmp_path / "out"
    batch.run_batch(path, out, ["--memory=bounded"])
    given, _ = outcomes
    given["a"] = "failed"

    def cut_off(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "run_job", cut_off)
        with pytest.raises(KeyboardInterrupt):
            batch.run_batch(path, out, ["--memory=first"])  # its masks may be there in part
    given.clear()
    ran.clear()
    batch.run_batch(path, out, ["--memory=bounded"])
    assert ran == ["a"]


def test_lines_are_read_as_they_are_meant(tmp_path, monkeypatch):
    text = "\ufeffkoi.mp4 --click 1,2 # fish\ntake#2.mp4 --click 1,2\n # none\n'my clip.mp4' --click 1,2\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    jobs = batch.read_list(tmp_path / "list.txt", tmp_path / "out")
    assert [Path(job.arguments[0]).name for job in jobs] == ["koi.mp4", "take#2.mp4", "my clip.mp4"]
    assert all(job.arguments[1:] == ("--click", "1,2") for job in jobs)
    for line in ("a.mp4 # don't track the ball", "a.mp4 # \\", "a.mp4 #"):
        assert batch._words(line) == ["a.mp4"]
    assert batch._words("# the dog's clips") == []
    assert batch._words("""'#1 a.mp4' --mask "#1.png" b\\ #c""") == ["#1 a.mp4", "--mask", "#1.png", "b #c"]
    monkeypatch.setattr(batch.os, "name", "nt")
    assert batch._words(r"C:\clips\koi.mp4 --click 1,2") == [r"C:\clips\koi.mp4", "--click", "1,2"]


def test_a_command_that_is_told_to_end_ends_its_children(tmp_path):
    program = f"""
import sys, time
from stm_core import batch
from stm_core.__main__ import take_interrupts
take_interrupts("test", kill=True)
waits = "import time; print(1, file=open({str(tmp_path / 'began')!r}, 'w')); time.sleep(600)"
batch.Job.command = property(lambda job: [sys.executable, "-c", waits])
batch.run_batch(batch.Path({str(write_list(tmp_path, 'a.mp4'))!r}), batch.Path({str(tmp_path / 'out')!r}))
"""
    root = Path(__file__).parent.parent
    command = subprocess.Popen([sys.executable, "-c", program], cwd=root)
    try:
        wait_for((tmp_path / "began").exists, 60)
        children = psutil.Process(command.pid).children(recursive=True)
        command.terminate()
        assert command.wait(60) == 143 and children
        assert not psutil.wait_procs(children, timeout=10)[1]
    finally:
        command.kill()


def test_a_killed_process_is_told_by_its_code_whatever_it_said_before(tmp_path):
    program = "import os, sys; print('a warning', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    outcome = batch.run_job([sys.executable, "-c", program], str(tmp_path), 1, str(tmp_path))
    assert outcome["error"] == "its process ended with code -9, as happens when memory runs out"


def test_a_crashed_process_is_told_by_its_code(tmp_path):
    command = [sys.executable, "-c", "import os; os.abort()"]
    outcome = batch.run_job(command, str(tmp_path), 1, str(tmp_path))
    assert outcome["status"] == "failed"
    assert "code -6" in outcome["error"]


def test_the_last_line_of_a_failed_process_is_its_error(tmp_path):
    program = "import sys; print('noise', file=sys.stderr); sys.exit('stm_core: no such clip')"
    outcome = batch.run_job([sys.executable, "-c", program], str(tmp_path), 1, str(tmp_path))
    assert outcome["error"] == "no such clip"


@pytest.mark.parametrize("text", [None, "", "[]", "{}"])
def test_a_process_that_leaves_no_report_has_failed(tmp_path, text):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    outcome = batch.run_job([sys.executable, "-c", ""], str(tmp_path), 1, str(tmp_path))
    assert (outcome["status"], outcome["frames"]) == ("failed", 0)
    assert "report.json" in outcome["error"]


def test_a_process_that_cannot_start_has_failed(tmp_path):
    outcome = batch.run_job([str(tmp_path / "none")], str(tmp_path), 1, str(tmp_path))
    assert outcome["status"] == "failed" and outcome["error"].startswith("its process cannot be started: ")


@pytest.mark.parametrize("error", [ValueError("odd\nword"), ZeroDivisionError()])
def test_whatever_befalls_one_clip_the_summary_has_the_others(tmp_path, outcomes, monkeypatch, error):
    stand_in = batch.run_job

    def run_job(command, out, threads, folder, on_start):
        if out.endswith("a"):
            raise error
        return stand_in(command, out, threads, folder, on_start)

    monkeypatch.setattr(batch, "run_job", run_job)
    batch.run_batch(write_list(tmp_path, "a.mp4\nb.mp4\n"), tmp_path / "out", workers=1)
    clips = json.loads((tmp_path / "out" / "summary.json").read_text())["clips"]
    assert [clip["status"] for clip in clips] == ["failed", "done"]
    assert clips[0]["error"] == ("odd" if error.args else "ZeroDivisionError")


def test_ray_is_asked_for_in_words_when_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match="pip install ray"):
        batch.run_batch(write_list(tmp_path, "a.mp4"), tmp_path / "out", ray_address="")
