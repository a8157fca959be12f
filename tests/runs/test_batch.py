"""Laws of the batch: a line is a clip, a failure is its own, and a second run does only what is missing."""

import json
import sys
from pathlib import Path

import pytest
from clips import write_list

from stm_core.errors import OptionError
from stm_core.runs import batch, batch_run


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

    monkeypatch.setattr(batch_run, "run_job", run_job)
    return given, ran


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
        patch.setattr(batch_run, "run_job", cut_off)
        with pytest.raises(KeyboardInterrupt):
            batch.run_batch(path, out, ["--memory=first"])  # its masks may be there in part
    given.clear()
    ran.clear()
    batch.run_batch(path, out, ["--memory=bounded"])
    assert ran == ["a"]


def test_a_summary_of_somebody_else_is_refused_before_a_clip_is_run(tmp_path, outcomes):
    _, ran = outcomes
    path, out = write_list(tmp_path, "a.mp4\n"), tmp_path / "out"
    batch.run_batch(path, out)
    summary = out / "summary.json"
    ran.clear()
    for text in (summary.read_text().replace("0.1", "0.2"), "mine", '{"clips": []}'):
        summary.write_text(text)
        with pytest.raises(OptionError, match="summary.json"):
            batch.run_batch(path, out, ["--size=100"])
        assert summary.read_text() == text and not ran


@pytest.mark.parametrize("error", [ValueError("odd\nword"), ZeroDivisionError()])
def test_whatever_befalls_one_clip_the_summary_has_the_others(tmp_path, outcomes, monkeypatch, error):
    stand_in = batch_run.run_job

    def run_job(command, out, threads, folder, on_start):
        if out.endswith("a"):
            raise error
        return stand_in(command, out, threads, folder, on_start)

    monkeypatch.setattr(batch_run, "run_job", run_job)
    batch.run_batch(write_list(tmp_path, "a.mp4\nb.mp4\n"), tmp_path / "out", workers=1)
    clips = json.loads((tmp_path / "out" / "summary.json").read_text())["clips"]
    assert [clip["status"] for clip in clips] == ["failed", "done"]
    assert clips[0]["error"] == ("odd" if error.args else "ZeroDivisionError")


def test_ray_is_asked_for_in_words_when_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match="ray"):
        batch.run_batch(write_list(tmp_path, "a.mp4"), tmp_path / "out", ray_address="")
    assert not (tmp_path / "out").exists()
