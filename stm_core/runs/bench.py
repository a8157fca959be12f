"""Speed and memory of the engine on a generated clip, as a Markdown table and as JSON.

Per-frame times are those of `FrameResult.seconds`: the whole step, from the uint8 frame to the uint8
labels.  Several cases run one after the other in processes of their own, so that one case's peak memory is
not the next one's.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from stm_core.engine.forecast import Prediction, predict
from stm_core.engine.prompts import Prompt
from stm_core.engine.propagate import propagate
from stm_core.errors import OptionError
from stm_core.faults import FAULT, told
from stm_core.media.limits import NO_LIMITS
from stm_core.media.write import VideoWriter
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model, load_model, random_model
from stm_core.runs.folder import run_to_folder
from stm_core.runs.machine import in_words, machine
from stm_core.runs.made_up import moving_clip
from stm_core.runs.report import peak_cuda_bytes, peak_rss_bytes, start_peaks

MARKS = (50, 1000)  # frames whose time is compared: the second shows whether time grows with the clip
AROUND = 10  # frames on either side of a mark that its median and p95 are taken from
WARM_UP = 5  # first frames left out of frames/s: kernels are chosen and memory is touched there
RANDOM = "random:"  # weights "random:NAME": an untrained network, for its speed


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    weights: str
    size: tuple[int, int]  # height, width
    dtype: str
    memory: MemoryConfig
    frames: int
    objects: int
    device: str = "auto"
    engine: str = "auto"
    with_files: bool = False


def combinations(
    weights: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    dtypes: Sequence[str],
    engines: Sequence[str],
    memories: Sequence[MemoryConfig],
    **same: Any,
) -> list[Case]:
    """Every network at every size and dtype on every engine with every memory."""
    every = product(weights, sizes, dtypes, engines, memories)
    return [Case(w, s, d, m, engine=e, **same) for w, s, d, e, m in every]


def bench(cases: Sequence[Case], on_frame: Callable[[int], None] | None = None) -> Iterator[dict]:
    """Measure every case, one row after the other; a row that failed carries `error` in place of figures.

    on_frame: called with the number of frames that were just done.  Raises StmError when the only case is a
    mistake.
    """
    if len(cases) == 1:
        yield measure(cases[0], on_frame)
        return
    for case in cases:
        yield _measure_apart(case)
        if on_frame is not None:
            on_frame(case.frames)


def _measure_apart(case: Case) -> dict:
    """`measure` in a process with its own peaks. A case that is too large costs only its row."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_tell, args=(theirs, case, folder), daemon=True)
        _start_deaf(process)
        theirs.close()
        try:
            wait([ours, process.sentinel])
            if ours.poll():
                return ours.recv()
        except EOFError:
            pass
        finally:
            process.kill()
            process.join()
            ours.close()
    return {**_describe(case), "error": "its process was killed, as happens when memory runs out"}


def _start_deaf(process: BaseProcess) -> None:
    """Start a process that ignores Ctrl-C, also while it loads; the caller ends it."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signals
        process.start()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(pipe: Connection, case: Case, folder: str) -> None:
    """Send the row of `measure` to the parent.  folder: for temporary files, which the parent removes."""
    tempfile.tempdir = folder
    try:
        row = measure(case)
    except Exception as error:  # an error of one case does not stop the others
        line, code = told(error)
        row = {**_describe(case), "error": line, **({"fault": True} if code == FAULT else {})}
    pipe.send(row)


def measure(case: Case, on_frame: Callable[[int], None] | None = None) -> dict:
    """One row: times in seconds, memory in bytes, `at` the median and p95 around the marked frames."""
    model = model_of(case)
    expected = _expected(model, case)  # raises for a budget that is too small, before anything runs
    height, width = case.size
    start_peaks()
    clip = moving_clip(height, width, case.frames, case.objects)
    first, labels = next(clip)

    def images() -> Iterator[np.ndarray]:
        yield first
        for image, _ in clip:
            yield image

    seconds, bank, read_peak, memory = [], 0, 0, None
    for result in propagate(model, images(), Prompt.from_mask(labels), memory=case.memory):
        memory = result.memory
        seconds.append(result.seconds)
        bank, read_peak = max(bank, memory.nbytes), max(read_peak, memory.read_peak_bytes)
        if on_frame is not None:
            on_frame(1)
    steady = seconds[WARM_UP:] or seconds
    median, p95 = np.percentile(steady, [50, 95]).tolist()
    return {
        **_describe(case),
        **machine(),
        "device": str(model.device),
        "dtype": model.dtype_name,
        "engine": model.engine.name,
        "fps": len(steady) / sum(steady),
        "seconds": {"median": median, "p95": p95},
        "at": {str(mark): around(seconds, mark) for mark in MARKS},
        "frames_held": len(memory.frames) if memory else 0,
        "bank_bytes": bank,
        "predicted_bank_bytes": expected.bank_bytes,
        "read_peak_bytes": read_peak,
        "predicted_read_peak_bytes": expected.read_peak_bytes,
        "frame_bytes": expected.frame_bytes,
        "process_peak_bytes": peak_rss_bytes(),
        "cuda_peak_bytes": peak_cuda_bytes(),
        "command_fps": _command_fps(model, case) if case.with_files else None,
    }


def _expected(model: Model, case: Case) -> Prediction:
    height, width = case.size
    clip = {"height": height, "width": width, "objects": case.objects, "frames": case.frames}
    return predict(model.network, case.memory, **clip, dtype=model.dtype, device=model.device)


def model_of(case: Case) -> Model:
    """The network of a case, loaded or with random weights."""
    name = "paper" if case.weights == "paper" else case.weights.removeprefix(RANDOM)
    if is_random(case.weights):
        if case.engine == "openvino":
            raise OptionError("random weights have no ranges for int8; choose the engine torch")
        return random_model(name, device=case.device, dtype=case.dtype)
    return load_model(name, device=case.device, dtype=case.dtype, engine=case.engine)


def is_random(weights: str) -> bool:
    """Whether these weights mean an untrained network, of which only speed and memory say something."""
    return weights == "paper" or weights.startswith(RANDOM)


def _describe(case: Case) -> dict:
    return {
        "network": case.weights,
        "random_weights": is_random(case.weights),
        "height": case.size[0],
        "width": case.size[1],
        "dtype": case.dtype,
        "engine": case.engine,
        "preset": case.memory.preset,
        "objects": case.objects,
        "frames": case.frames,
    }


def around(seconds: Sequence[float], mark: int) -> dict | None:
    """Median and p95 of the frames around `mark`; None when the clip ends before."""
    window = seconds[max(mark - AROUND, 0) : mark + AROUND]
    if len(seconds) < mark + AROUND:
        return None
    median, p95 = np.percentile(window, [50, 95]).tolist()
    return {"median": median, "p95": p95}


def _command_fps(model: Model, case: Case) -> float:
    """Frames a second of `segment` on the same clip as a file: decoding, PNG masks and overlay included."""
    height, width = case.size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        _, first = next(moving_clip(height, width, 1, case.objects))
        with VideoWriter(path, width, height, fps=30) as writer:
            for t, (image, _) in enumerate(moving_clip(height, width, case.frames, case.objects)):
                writer.write(image, t / 30)
        begin = time.perf_counter()
        out, prompt = Path(folder) / "out", Prompt.from_mask(first)
        report = run_to_folder(model, path, prompt, out, memory=case.memory, limits=NO_LIMITS)
        return report["frames_out"] / (time.perf_counter() - begin)


def markdown(rows: Sequence[dict]) -> str:
    """The table, in milliseconds and MiB, and the processor below it."""
    head = [
        "network",
        "size",
        "dtype",
        "engine",
        "memory",
        "objects",
        "frames/s",
        "ms/frame (p95)",
        *(f"at {mark:,} (p95)" for mark in MARKS),
        "held",
        "bank MiB (predicted)",
        "read MiB (predicted)",
        "process MiB",
        "CUDA MiB",
    ]
    with_files = any(row.get("command_fps") for row in rows)
    head += ["command frames/s"] if with_files else []
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cells(row, with_files)) + " |" for row in rows]
    measured = [row for row in rows if "cpu" in row]
    return "\n".join([*lines, *(["", in_words(measured[0])] if measured else [])])


def _cells(row: dict, with_files: bool) -> list[str]:
    network = row["network"] + (" (random weights)" if row["random_weights"] else "")
    cells = [network, f"{row['height']}x{row['width']}", row["dtype"], row["engine"]]
    cells += [row["preset"], str(row["objects"])]
    if "error" in row:
        return [*cells, row["error"]]
    mib = {name: f"{row[name] / 2**20:.1f}" for name in row if name.endswith("_bytes")}
    cells += [
        f"{row['fps']:.1f}",
        _milliseconds(row["seconds"]),
        *(_milliseconds(row["at"][str(m)]) for m in MARKS),
        str(row["frames_held"]),
        f"{mib['bank_bytes']} ({mib['predicted_bank_bytes']})",
        f"{mib['read_peak_bytes']} ({mib['predicted_read_peak_bytes']})",
        mib["process_peak_bytes"],
        mib["cuda_peak_bytes"] if row["device"].startswith("cuda") else "–",
    ]
    return cells + ([f"{row['command_fps']:.1f}"] if with_files else [])


def _milliseconds(times: dict | None) -> str:
    return f"{1000 * times['median']:.1f} ({1000 * times['p95']:.1f})" if times else "–"
