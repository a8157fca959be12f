"""STM Live: segment objects through a clip with a space-time memory, from a mask or clicks on one frame.

A name is loaded when it is first used: the command answers, and can be interrupted, before torch is there.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # editors and type checkers take it for True; `typing` takes its time to load
if TYPE_CHECKING:
    from .clicks import segment_frame
    from .config import PRESETS, MemoryConfig
    from .errors import LimitError, MaskError, OptionError, PromptError, StmError, VideoError, WeightsError
    from .masks import encode_mask, object_ids, overlay, read_mask, write_mask
    from .memory import MemoryBank, Prediction, predict
    from .metrics import evaluate_masks
    from .prompts import Prompt, Reference
    from .propagation import FrameResult, MemoryReport, Propagator, propagate
    from .segment import ClipFrame, segment_clip
    from .video import VideoInfo, VideoLimits, VideoReader, probe, read_frame, read_video
    from .video_write import VideoWriter
    from .weights import Model, load_model, random_model

__all__ = [
    "PRESETS",
    "ClipFrame",
    "FrameResult",
    "LimitError",
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
    "encode_mask",
    "evaluate_masks",
    "load_model",
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
    "clicks": "segment_frame",
    "config": "PRESETS MemoryConfig",
    "errors": "LimitError MaskError OptionError PromptError StmError VideoError WeightsError",
    "masks": "encode_mask object_ids overlay read_mask write_mask",
    "memory": "MemoryBank Prediction predict",
    "metrics": "evaluate_masks",
    "prompts": "Prompt Reference",
    "propagation": "FrameResult MemoryReport Propagator propagate",
    "segment": "ClipFrame segment_clip",
    "video": "VideoInfo VideoLimits VideoReader probe read_frame read_video",
    "video_write": "VideoWriter",
    "weights": "Model load_model random_model",
}
MODULE_OF = {name: module for module, names in NAMES_OF.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name in NAMES_OF:  # a module, as `stm_core.masks`
        return import_module(f".{name}", __name__)
    if name not in MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    value = globals()[name] = getattr(import_module(f".{MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
