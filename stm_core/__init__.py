"""STM Live: segment objects through a clip with a space-time memory, from a mask or clicks on one frame."""

from .clicks import segment_frame
from .config import PRESETS, MemoryConfig
from .errors import LimitError, MaskError, OptionError, PromptError, StmError, VideoError, WeightsError
from .masks import encode_mask, object_ids, overlay, read_mask, write_mask
from .memory import MemoryBank, Prediction, predict
from .metrics import evaluate_masks
from .prompts import Prompt, Reference
from .propagate import FrameResult, MemoryReport, Propagator, propagate
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
