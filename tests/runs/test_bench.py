"""Laws of the measurements: the made-up clip, the figures of a row, and the table."""

import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from stm_core.errors import LimitError
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import random_model
from stm_core.runs import bench as module
from stm_core.runs import own_process
from stm_core.runs.bench import bench, combinations
from stm_core.runs.bench_case import Case, around, measure
from stm_core.runs.bench_table import markdown
from stm_core.runs.machine import in_words, machine
from stm_core.runs.made_up import moving_clip
from stm_core.runs.profile import PARTS, arithmetic, profile

TINY = "random:compact-tiny"


@pytest.mark.parametrize("objects", [1, 3, 8, 20])
def test_the_clip_moves_and_shows_every_object_in_every_frame(objects):
    frames = list(moving_clip(96, 160, 260, objects=objects))[::3]  # once around
    for image, labels in frames:
        assert image.shape == (96, 160, 3) and image.dtype == np.uint8 and labels.dtype == np.uint8
        pixels = np.bincount(labels.ravel(), minlength=objects + 1)
        assert len(pixels) == objects + 1 and 2 * pixels.min() > pixels[1:].max()
    assert not np.array_equal(frames[0][0], frames[3][0])


@pytest.mark.parametrize("size", [(16, 16), (16, 200), (200, 16)])
def test_the_clip_fits_any_size(size):
    (image, labels), *_ = moving_clip(*size, 2, objects=9)
    assert labels.shape == image.shape[:2] == size


def test_figures_at_a_mark_need_frames_on_both_sides():
    seconds = [1.0] * 60 + [2.0] * 20
    assert around(seconds, 50) == {"median": 1.0, "p95": 1.0}
    assert around(seconds, 70) == {"median": 2.0, "p95": 2.0}
    assert around(seconds, 75) is None


def test_a_row_says_what_it_measured():
    row = measure(
        Case(TINY, (48, 80), "fp32", MemoryConfig(preset="every-5"), frames=12, objects=2, device="cpu")
    )
    assert row["random_weights"] and row["frames"] == 12 and row["dtype"] == "fp32" and row["device"] == "cpu"
    assert 0 < row["bank_bytes"] <= row["predicted_bank_bytes"]
    assert 0 < row["seconds"]["median"] <= row["seconds"]["p95"]
    assert row["at"] == {"50": None, "1000": None} and row["command_fps"] is None
    assert row["process_peak_bytes"] > 50 * 2**20


def test_the_whole_command_is_timed_when_asked():
    case = Case(TINY, (48, 80), "fp32", MemoryConfig(), frames=8, objects=1, device="cpu", with_files=True)
    rows = list(bench([case]))
    assert rows[0]["command_fps"] > 0
    assert "command frames/s" in markdown(rows)


def test_several_cases_run_apart_and_a_failed_one_keeps_its_line(monkeypatch):
    good, bad = combinations(
        [TINY, "/nowhere.safetensors"], [(32, 48)], ["fp32"], ["auto"], [MemoryConfig()], frames=4, objects=1
    )
    apart = module._measure_apart
    monkeypatch.setattr(module, "_measure_apart", lambda case: apart(case) if case == bad else measure(case))
    rows = list(bench([good, bad]))
    lines = markdown(rows).splitlines()
    assert len(lines) == 6 and lines[2].startswith(
        f"| {TINY} (random weights) | 32x48 | fp32 | torch | bounded | 1 |"
    )
    assert "nowhere" in rows[1]["error"] and rows[1]["error"] in lines[3]
    assert lines[5] == in_words(rows[0])


def test_a_budget_too_small_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr("stm_core.runs.bench_case.propagate", None)
    with pytest.raises(LimitError, match="MB"):
        measure(Case(TINY, (480, 854), "fp32", MemoryConfig(budget_bytes=1000), frames=4, objects=1))


def test_a_measurement_names_the_processor_its_instructions_and_the_threads(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nmodel name\t: A 9000\nflags : avx2 avx512_vnni avx512_bf16 amx_int8\n")
    monkeypatch.setattr("stm_core.runs.machine.CPU_INFO", info)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    found = machine()
    assert found["cpu"] == "A 9000" and found["threads"] == torch.get_num_threads()
    assert found["isa"].split()[1:] == ["VNNI", "bf16", "AMX", "held", "to", "AVX2"]
    info.unlink()
    assert machine()["cpu"]


def vanish(pipe, work, case, folder):
    os._exit(9)


def test_a_process_that_is_killed_or_breaks_costs_its_row_only(tmp_path, monkeypatch):
    case = Case(TINY, (32, 48), "fp32", MemoryConfig(), frames=4, objects=1)
    monkeypatch.setattr(own_process, "_tell", vanish)
    assert "was killed" in module._measure_apart(case)["error"]
    ours, theirs = multiprocessing.Pipe(duplex=False)
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", None)
    own_process._tell(theirs, lambda case: Path("/nowhere/at/all").stat(), case, str(tmp_path))
    assert "No such file" in ours.recv()["error"]


@pytest.fixture
def small_best(monkeypatch):
    """The convolution that shows the machine's best, at a quarter of its sides."""
    monkeypatch.setattr("stm_core.runs.profile.BEST_SIZE", (15, 27))


def test_a_profile_names_every_part_and_its_arithmetic(small_best):
    model = random_model("compact-tiny")
    rows = {row["part"]: row for row in profile(model, (48, 80), MemoryConfig(), frames=12, objects=2)}
    parts = [*PARTS, "the rest"]
    assert sum(rows[part]["share"] for part in parts) == pytest.approx(1)
    assert all(rows[part]["gflop"] > 0 for part in PARTS)
    assert "encode_query" not in model.network.__dict__  # the clocks are gone
    one = arithmetic(model.network, 48, 80, 1, 4)
    three = arithmetic(model.network, 48, 80, 3, 4)
    assert three["encode_query"] == one["encode_query"]
    assert three["decode"] == pytest.approx(3 * one["decode"])
    assert one["read"] == 2 * (3 * 5) ** 2 * 4 * (model.network.key_channels + model.network.value_channels)


def test_a_part_that_is_not_called_has_no_arithmetic_and_one_convolution_that_of_the_textbook(small_best):
    *rows, best = profile(random_model("compact-tiny"), (32, 32), MemoryConfig("first"), frames=6, objects=1)
    [stored] = [row for row in rows if row["part"] == "encode_memory"]
    assert (stored["seconds"], stored["gflop"]) == (0, None)
    assert best["gflop"] == pytest.approx(2 * 9 * 128 * 128 * 15 * 27 / 1e9)
