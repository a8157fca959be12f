"""The numbers of one run, as `report.json` states them."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch

from stm_core.engine.forecast import predict
from stm_core.memory.policy import MemoryConfig

if TYPE_CHECKING:
    from stm_core.engine.propagate import FrameResult, MemoryReport
    from stm_core.networks.weights import Model


def peak_rss_bytes() -> int:
    """Most resident memory that this process has ever had, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def peak_cuda_bytes() -> int:
    """Most memory that tensors have taken on the GPU since `start_peaks`, in bytes; 0 without CUDA."""
    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0


def start_peaks() -> None:
    """Begin a new measurement of the GPU's peak."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


class Report:
    """Collects per-frame figures; `as_dict` gives the content of `report.json`."""

    def __init__(self, model: Model, memory: MemoryConfig, warnings: list[str]):
        self.model, self.memory, self.warnings = model, memory, warnings
        self._begin = time.perf_counter()
        start_peaks()
        self.frames = 0
        self.objects: set[int] = set()
        self.shape = (0, 0)
        self._seconds: list[float] = []
        self._preview: float | None = None  # seconds to the first frame
        self._first: int | None = None
        self._longest, self._pinned = 0, 1
        self._last: MemoryReport | None = None
        self._peak, self._read_peak = 0, 0

    def add(self, result: FrameResult) -> None:
        """Count one frame."""
        if self._preview is None:
            self._preview = time.perf_counter() - self._begin
        self.frames += 1
        self._first = result.index if self._first is None else self._first
        self._longest = max(self._longest, abs(result.index - self._first) + 1)
        self._pinned = max(self._pinned, len(result.memory.pinned))
        self.shape = result.labels.shape[0], result.labels.shape[1]
        self.objects.update(result.objects)
        self._seconds.append(result.seconds)
        self._last = result.memory
        self._peak = max(self._peak, result.memory.nbytes)
        self._read_peak = max(self._read_peak, result.memory.read_peak_bytes)

    def as_dict(self, written: int, size: int | None) -> dict:
        """The report in bytes and seconds; `fps` counts the whole run.

        written: masks on disk.
        size: most pixels of the short side that the network was to see; None: any.
        """
        total = time.perf_counter() - self._begin
        median, p95 = np.percentile(self._seconds, [50, 95]).tolist() if self._seconds else (None, None)
        return {
            "frames_in": self.frames,
            "frames_out": written,
            "width": self.shape[1],
            "height": self.shape[0],
            "objects": len(self.objects),
            "seconds": {
                "total": total,
                "per_frame_median": median,
                "per_frame_p95": p95,
                "first_preview": self._preview,
            },
            "fps": self.frames / total,
            "device": str(self.model.device),
            "dtype": self.model.dtype_name,
            "engine": asdict(self.model.engine),
            "weights": {"name": self.model.name, "sha256": self.model.sha256},
            "memory": {
                "preset": self.memory.preset,
                "budget_bytes": self.memory.bound_bytes,
                "frames_held": len(self._last.frames) if self._last else 0,
                "bytes": self._last.nbytes if self._last else 0,
                "peak_bytes": self._peak,
                "read_peak_bytes": self._read_peak,
                "predicted_peak_bytes": self._predicted_bytes(size),
            },
            "process": {"peak_rss_bytes": peak_rss_bytes(), "peak_cuda_bytes": peak_cuda_bytes()},
            "warnings": list(self.warnings),
        }

    def _predicted_bytes(self, size: int | None) -> int:
        """The predicted bytes of the bank at its fullest, for the longer direction from the first frame."""
        height, width = self.shape
        expected = predict(
            self.model.network,
            self.memory,
            height=height,
            width=width,
            objects=len(self.objects),
            frames=self._longest,
            dtype=self.model.dtype,
            pinned=self._pinned,
            size=size,
            device=self.model.device,
        )
        return expected.bank_bytes
