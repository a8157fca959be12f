"""The network as the page uses it: answer a click, measure its speed, track a clip.

Everything that goes in or comes out is small and can be pickled, because on a ZeroGPU Space these
functions run in a forked process: paths, labels and numbers, never tensors.  Frames come from the guarded
decoder, masks go to the clip's folder.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Lock

import gradio as gr
import numpy as np

try:
    import spaces  # only on ZeroGPU Spaces; must come before torch touches CUDA
except ImportError:
    spaces = None

import torch

from demo.engine.in_turn import InTurn
from demo.engine.tracking import Tracker
from demo.guard.process import Guard
from demo.work.glance import Glance
from demo.work.job import Again, Job, Step
from stm_core.engine.boxes import segment_box
from stm_core.engine.click_choices import click_choices
from stm_core.engine.clicks import segment_frame
from stm_core.engine.forecast import Prediction, predict
from stm_core.engine.geometry import LEAST_SIZE, processed_side, processed_size
from stm_core.engine.look import Look, look
from stm_core.engine.prompts import Click, Prompt
from stm_core.engine.propagate import propagate
from stm_core.errors import LimitError
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import Model

MEASURED_SIDE = 480  # pixels: the largest short side at which speed is measured, while others may compute


class Engine:
    """One model for all visitors; keeps no data of any visitor."""

    def __init__(self, model: Model, guard: Guard):
        self.model = model
        self.rates: dict[tuple, float] = {}
        self.measuring = Lock()  # two at once would measure each other
        self.looking = InTurn()  # one look at a time, in the order in which they came
        self.zero = spaces is not None and bool(os.environ.get("SPACES_ZERO_GPU"))
        self.track, self.click, self.box = Tracker(model, guard).run, self._click, self._box
        self.choices, self.look = self._choices, self._look
        if self.zero:
            lent = spaces.GPU(duration=lambda job: min(int(job.seconds * 1.5) + 20, 300))(self.track)
            self.track = _streamed(lent)
            self.click = _worded()(spaces.GPU(duration=10)(self._click))
            self.box = _worded()(spaces.GPU(duration=10)(self._box))
            self.choices = _worded()(spaces.GPU(duration=10)(self._choices))
            self.look = _worded()(spaces.GPU(duration=20)(self._look))

    @property
    def device(self) -> str:
        """ "cpu" or "cuda"."""
        return "cuda" if "cuda" in str(self.model.device) else "cpu"

    @property
    def words(self) -> str:
        """What computes, as a phrase: this CPU (openvino-int8)."""
        return f"this {self.device.upper()} ({self.model.engine.name})"

    def _click(
        self, image: np.ndarray, clicks: Iterable[Click], mask: np.ndarray | None, size: int | None
    ) -> np.ndarray:
        """Labels (H, W) of one frame from its clicks, refining `mask` where there is one."""
        return segment_frame(self.model, image, list(clicks), mask=mask, size=size)

    def _box(self, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
        """Mask bool (H, W) of the object in a box, x, y, x, y of two corners.  Raises PromptError."""
        return segment_box(self.model, image, box)

    def _choices(self, image: np.ndarray, click: Click, size: int | None) -> list[np.ndarray]:
        """Masks bool (H, W) that a first click may mean, the smallest first."""
        return click_choices(self.model, image, click, size=size)

    def _look(
        self,
        images: dict[int, np.ndarray],
        masks: dict[int, np.ndarray],
        glance: Glance,
        frame: int,
        at: tuple[int, int],
        gone: dict[int, int],
    ) -> Look:
        """Where a pixel of a tracked frame looked.  images, masks: of it and of the frames held then."""
        return look(
            *(self.model, images, glance.read, masks, frame, at),
            memory=glance.memory,
            size=glance.size,
            gone=gone,
        )

    def predict(
        self, memory: MemoryConfig, height: int, width: int, objects: int, frames: int, pinned: int
    ) -> Prediction:
        """Bytes that a run will take at most, before it runs.

        height, width: as the network sees them (`seen`).
        pinned: how many frames are marked.
        Raises LimitError when the memory limit is too small for them.
        """
        return predict(
            self.model.network,
            memory,
            height=height,
            width=width,
            objects=objects,
            frames=frames,
            dtype=self.model.dtype,
            pinned=max(pinned, 1),
            size=_side(height, width),
            device=self.model.device,
        )

    def seen(self, height: int, width: int, size: int | None) -> tuple[int, int]:
        """(height, width) that the network sees of such a frame.  size: most pixels of its short side."""
        return processed_size(height, width, processed_side(self.model.network, height, width, size))

    def rate(self, height: int, width: int, objects: int) -> float:
        """Seconds per frame on this machine: from real runs, or else from a few frames, measured once."""
        key = (height, width, objects)
        if self.zero:
            return self.rates.get(key, 0.05)
        with self.measuring:
            if key not in self.rates:
                small = self.seen(height, width, min(MEASURED_SIDE, height, width))
                area = height * width / (small[0] * small[1])
                try:
                    self.rates[key] = area * self._calibrate(*small, objects)
                except torch.OutOfMemoryError:
                    torch.cuda.empty_cache()  # the run itself will find what fits
            return self.rates.get(key, 0.05)

    def _calibrate(self, height: int, width: int, objects: int) -> float:
        noise = np.random.default_rng(0)
        image = noise.integers(0, 256, (height, width, 3), np.uint8)
        labels = np.zeros((height, width), np.uint8)
        for number in range(1, objects + 1):
            labels[height // 4 : height // 2, (number - 1) * width // objects : number * width // objects] = (
                number
            )
        memory, size = MemoryConfig(every=1), _side(height, width)
        steps = propagate(self.model, iter([image] * 5), Prompt.from_mask(labels), memory=memory, size=size)
        with closing(steps):
            seconds = [step.seconds for step in steps]
        return float(np.median(seconds[2:]))


def _side(height: int, width: int) -> int:
    """The short side of frames of the size that the network sees, as an option of a run."""
    return max(LEAST_SIZE, min(height, width))


@contextmanager
def _worded() -> Iterator[None]:
    """Show the visitor ZeroGPU's own text when it refuses (no quota left, no GPU free)."""
    try:
        yield
    except gr.Error as error:
        raise LimitError(str(error.message)) from error


def _streamed(track: Callable) -> Callable:
    def worded(job: Job) -> Generator[Step | Again | dict | None, None, None]:
        with _worded():
            yield from track(job)

    return worded
