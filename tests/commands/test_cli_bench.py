"""Laws of `bench` as a command: its table, its file, and what a broken run leaves of them."""

import json
import os
import threading

import pytest
from conftest import is_one_line

from stm_core.runs.bench_case import describe
from stm_core.runs.output import write_named

PATIENCE = 300  # seconds that a process may take to start on a busy machine


def test_bench_prints_a_table_and_writes_json(command, tmp_path):
    words = "--frames 4 --size 32x48 --weights random:compact-tiny --dtype fp32 --device cpu".split()
    code, out, err = command("bench", *words, "--json", tmp_path / "bench.json")
    assert (code, err) == (0, "")
    assert out.startswith("| network |") and "(random weights)" in out
    assert json.loads((tmp_path / "bench.json").read_text())[0]["frames"] == 4
    code, out, err = command("bench", *words, "--profile", "--json", tmp_path / "parts.json")
    assert (code, err) == (0, "") and "| encode_query |" in out
    assert json.loads((tmp_path / "parts.json").read_text())[0]["part"] == "encode_query"


def test_what_a_bench_measured_before_it_was_interrupted_is_kept(command, tmp_path, monkeypatch):
    def bench(cases, on_frame):
        yield measured
        raise KeyboardInterrupt

    words = ["bench", "--weights", "random:compact-tiny", "--size", "32x48", "--frames", "4"]
    code, table, _ = command(*words, "--json", tmp_path / "all.json")
    (measured,) = json.loads((tmp_path / "all.json").read_text())
    monkeypatch.setattr("stm_core.runs.bench.bench", bench)
    code, out, err = command(*words, "--json", tmp_path / "some.json")
    assert code == 130 and out == table and is_one_line(err)
    assert json.loads((tmp_path / "some.json").read_text()) == [measured]


def test_a_bench_whose_cases_fail_is_no_success(command, monkeypatch):
    failed = {"error": "none.safetensors is no file"}
    monkeypatch.setattr("stm_core.runs.bench._measure_apart", lambda case: {**describe(case), **failed})
    code, out, err = command("bench", "--weights", "none.safetensors", "--memory", "first,previous")
    assert code == 2 and out.count("none.safetensors") >= 2 and is_one_line(err)


def test_only_figures_of_ours_are_replaced(command, tmp_path, monkeypatch):
    figures = tmp_path / "figures.json"
    words = ["bench", "--weights", "random:compact-tiny", "--size", "32x48", "--frames", "4"]
    words += ["--json", figures]
    assert [command(*words)[0] for _ in range(2)] == [0, 0]
    monkeypatch.setattr("stm_core.runs.bench.bench", None)
    rows = json.loads(figures.read_text())
    rows[0]["fps"] += 1
    for text in (json.dumps(rows, indent=2), "[]", "{}", "mine", ""):
        figures.write_text(text)
        code, _, err = command(*words)
        assert code == 2 and is_one_line(err) and figures.read_text() == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_figures_go_into_a_pipe_and_through_a_link(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    read: list[str] = []
    reader.start()
    write_named(tmp_path / "pipe", [1, 2])
    reader.join(PATIENCE)
    assert json.loads(read[0]) == [1, 2] and (tmp_path / "pipe").is_fifo()
    (tmp_path / "old.json").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "old.json")
    write_named(tmp_path / "link", {"a": 1})
    assert (tmp_path / "link").is_symlink() and json.loads((tmp_path / "old.json").read_text()) == {"a": 1}
