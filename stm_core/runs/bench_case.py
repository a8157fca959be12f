"""One case of a benchmark: what it is made of, and its figures.

Per-frame times are those of `FrameResult.seconds`: the whole step, from the uint8 frame to the uint8
labels.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm_core.engine.forecast import Prediction, predict
from stm_core.engine.prompts import Prompt
from stm_core.engine.propagate import propagate
from stm_core.errors import OptionError
from stm_core.media.limits import NO_LIMITS
from stm_core.media.write import VideoWriter
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model, load_model, random_model
from stm_core.runs.folder import run_to_folder
from stm_core.runs.machine import machine
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
    marks: tuple[int, ...] = MARKS  # frames around which times are reported separately


def measure(case: Case, on_frame: Callable[[int], None] | None = None) -> dict:
    """One row: times in seconds, memory in bytes; `at` has median and p95 around the frames of `marks`."""
    model = model_of(case)
    needed = expected(model, case)  # raises for a budget that is too small, before anything runs
    height, width = case.size
    start_peaks()
    clip = moving_clip(height, width, case.frames, case.objects)
    first, labels = next(clip)

    def images() -> Iterator[np.ndarray]:
        yield first
        for image, _ in clip:
            yield image

    seconds, bank, read_peak, memory = [], 0, 0, None
    for result in propagate(
        model, images(), Prompt.from_mask(labels), memory=case.memory, size=min(case.size)
    ):
        memory = result.memory
        seconds.append(result.seconds)
        bank, read_peak = max(bank, memory.nbytes), max(read_peak, memory.read_peak_bytes)
        if on_frame is not None:
            on_frame(1)
    steady = seconds[WARM_UP:] or seconds
    median, p95 = np.percentile(steady, [50, 95]).tolist()
    return {
        **describe(case),
        **machine(),
        "device": str(model.device),
        "dtype": model.dtype_name,
        "engine": model.engine.name,
        "fps": len(steady) / sum(steady),
        "seconds": {"median": median, "p95": p95},
        "at": {str(mark): around(seconds, mark) for mark in case.marks},
        "frames_held": len(memory.frames) if memory else 0,
        "bank_bytes": bank,
        "predicted_bank_bytes": needed.bank_bytes,
        "read_peak_bytes": read_peak,
        "predicted_read_peak_bytes": needed.read_peak_bytes,
        "frame_bytes": needed.frame_bytes,
        "process_peak_bytes": peak_rss_bytes(),
        "cuda_peak_bytes": peak_cuda_bytes(),
        "command_fps": _command_fps(model, case) if case.with_files else None,
    }


def expected(model: Model, case: Case) -> Prediction:
    """What the case will need, before it runs.  Raises LimitError when the budget is too small."""
    height, width = case.size
    clip = {"height": height, "width": width, "objects": case.objects, "frames": case.frames}
    return predict(
        model.network, case.memory, **clip, dtype=model.dtype, device=model.device, size=min(case.size)
    )


def model_of(case: Case) -> Model:
    """The network of a case, loaded or with random weights."""
    name = "paper" if case.weights == "paper" else case.weights.removeprefix(RANDOM)
    if is_random(case.weights):
        if case.engine == "openvino":
            raise OptionError("random weights have no ranges for int8; choose --engine torch")
        return random_model(name, device=case.device, dtype=case.dtype)
    return load_model(name, device=case.device, dtype=case.dtype, engine=case.engine)


def is_random(weights: str) -> bool:
    """Whether these weights mean an untrained network, which serves to measure speed and memory only."""
    return weights == "paper" or weights.startswith(RANDOM)


def describe(case: Case) -> dict:
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
        report = run_to_folder(
            model, path, prompt, out, memory=case.memory, size=min(case.size), limits=NO_LIMITS
        )
        return report["frames_out"] / (time.perf_counter() - begin)
