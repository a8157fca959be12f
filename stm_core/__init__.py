"""STM Live: segment objects through a clip with a space-time memory, from a mask or clicks on one frame.

A name is loaded when it is first used: the command answers, and can be interrupted, before torch is there.
"""

from __future__ import annotations

import os
from importlib import import_module

# PyTorch's threads wait for their next work in a loop: by default for milliseconds, in which they keep a core
# from OpenVINO's threads. So many turns take some 0.2 ms. GNU OpenMP reads this once, when torch loads.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

TYPE_CHECKING = False  # editors and type checkers take it for True; `typing` takes its time to load
if TYPE_CHECKING:
    from stm_core.engine.click_choices import click_choices
    from stm_core.engine.clicks import segment_frame
    from stm_core.engine.forecast import Prediction, predict
    from stm_core.engine.look import Look, gone_before, look
    from stm_core.engine.prompts import Prompt, Reference
    from stm_core.engine.propagate import FrameResult, MemoryReport, Propagator, propagate
    from stm_core.engine.result import Held
    from stm_core.errors import (
        LimitError,
        MaskError,
        OptionError,
        PromptError,
        StmError,
        VideoError,
        WeightsError,
    )
    from stm_core.masks.mask_files import encode_mask, object_ids, read_mask, write_mask
    from stm_core.masks.metrics import evaluate_masks
    from stm_core.masks.overlay import overlay
    from stm_core.media.video import VideoInfo, VideoLimits, VideoReader, probe, read_frame, read_video
    from stm_core.media.write import VideoWriter
    from stm_core.memory.bank import MemoryBank
    from stm_core.memory.policy import PRESETS, MemoryConfig
    from stm_core.networks.weights import Model, load_model, random_model
    from stm_core.runs.clip import ClipFrame, segment_clip
    from stm_core.runs.compare import Comparison, compare
    from stm_core.runs.look_run import LookedClip, look_clip

__all__ = [
    "PRESETS",
    "ClipFrame",
    "Comparison",
    "FrameResult",
    "Held",
    "LimitError",
    "Look",
    "LookedClip",
    "MaskError",
    "MemoryBank",
    "MemoryConfig",
    "MemoryReport",
    "Model",
    "OptionError",
    "Prediction",
    "Prompt",
    "PromptError",
    "Propagator",
    "Reference",
    "StmError",
    "VideoError",
    "VideoInfo",
    "VideoLimits",
    "VideoReader",
    "VideoWriter",
    "WeightsError",
    "click_choices",
    "compare",
    "encode_mask",
    "evaluate_masks",
    "gone_before",
    "load_model",
    "look",
    "look_clip",
    "object_ids",
    "overlay",
    "predict",
    "probe",
    "propagate",
    "random_model",
    "read_frame",
    "read_mask",
    "read_video",
    "segment_clip",
    "segment_frame",
    "write_mask",
]

NAMES_OF = {
    "engine.click_choices": "click_choices",
    "engine.clicks": "segment_frame",
    "memory.policy": "PRESETS MemoryConfig",
    "errors": "LimitError MaskError OptionError PromptError StmError VideoError WeightsError",
    "masks.mask_files": "encode_mask object_ids read_mask write_mask",
    "masks.overlay": "overlay",
    "engine.forecast": "Prediction predict",
    "engine.look": "Look gone_before look",
    "memory.bank": "MemoryBank",
    "masks.metrics": "evaluate_masks",
    "engine.prompts": "Prompt Reference",
    "engine.propagate": "FrameResult MemoryReport Propagator propagate",
    "engine.result": "Held",
    "runs.clip": "ClipFrame segment_clip",
    "runs.compare": "Comparison compare",
    "runs.look_run": "LookedClip look_clip",
    "media.video": "VideoInfo VideoLimits VideoReader probe read_frame read_video",
    "media.write": "VideoWriter",
    "networks.weights": "Model load_model random_model",
}
PACKAGES = {module.split(".")[0] for module in NAMES_OF}
MODULE_OF = {name: module for module, names in NAMES_OF.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name in PACKAGES:  # as `stm_core.masks`
        return import_module(f".{name}", __name__)
    if name not in MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    value = globals()[name] = getattr(import_module(f".{MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
