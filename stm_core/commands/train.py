"""The `train` command: `python -m stm_core train --images DIR ... --videos DIR ... --out FILE --minutes M`.

Under torchrun the same command trains on several processes.  Each makes its own clips; their gradients are
averaged.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist

from stm_core.commands.flags import add_flags, made_from
from stm_core.errors import OptionError
from stm_core.training.data.stores import Clips, Photos, load_clips, load_photos
from stm_core.training.fit.curriculum import TrainConfig
from stm_core.training.fit.export import check_out, find_checkpoint
from stm_core.training.fit.loop import Trainer


def _option(text: str, default: Any = MISSING, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": text, **metadata})


@dataclass(frozen=True)
class Sources:
    """What a run reads, where it writes and what it computes on: the options that TrainConfig lacks."""

    images: tuple[Path, ...] = _option(
        "folders with images/ and masks/ (palette PNG, 255 = ignored)", metavar="DIR"
    )
    out: Path = _option(
        "weights to write (.safetensors); the folder of the same name with .ckpt is for --resume",
        metavar="FILE",
    )
    backgrounds: tuple[Path, ...] = _option(
        "folders of pictures without masks: textures of made-up objects", (), metavar="DIR"
    )
    videos: tuple[Path, ...] = _option("folders of video in DAVIS layout", (), metavar="DIR")
    studio: tuple[Path, ...] = _option(
        "the same, filmed before a plain backdrop: only their objects are used, before other scenes",
        (),
        metavar="DIR",
    )
    resume: Path | None = _option("continue exactly where this checkpoint stopped", None, metavar="CKPT")
    init: Path | None = _option(
        "begin a new run from these weights or this .ckpt; parts that it lacks start from random numbers, "
        "the frozen trunk from the bundled file",
        None,
        metavar="FILE",
    )
    cache: Path | None = _option("keep the decoded data here for the next run", None, metavar="DIR")
    device: Literal["auto", "cpu", "cuda"] = _option("auto: the GPU if there is one", "auto")
    dtype: Literal["bf16", "fp32"] = _option("number format of the tracking step", "bf16")

    def __post_init__(self) -> None:
        if self.resume and find_checkpoint(self.resume) is None:
            raise OptionError(
                f"--resume {self.resume} does not exist; give the .ckpt folder that an earlier run wrote"
            )
        if self.out.is_dir() or self.out.suffix == ".ckpt":
            raise OptionError(f"--out {self.out} names a folder; give a file, such as weights.safetensors")
        check_out(self.out, self.resume)

    def cached(self, name: str) -> Path | None:
        """The file of this name in the cache; None without a cache."""
        return self.cache and self.cache / name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `train`."""
    add_flags(parser, Sources)
    add_flags(parser, TrainConfig)


def run(args: argparse.Namespace) -> int:
    """Train as asked and return the exit code.  An interrupted run is saved before it ends."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asked = made_from(Sources, args)
    device = _device(asked.device)
    config = made_from(TrainConfig, args, out=asked.out, device=device, bf16=asked.dtype == "bf16")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, *_data(asked, device))
    if asked.resume:
        trainer.load(asked.resume)
    else:
        trainer.begin(asked.init)
    try:
        trainer.run()
    except (KeyboardInterrupt, SystemExit):
        trainer.save()
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


def _data(asked: Sources, device: str) -> tuple[Photos, Photos, Clips | None]:
    """Photos, textures and clips on the device.  Raises OptionError when no photo shows an object."""
    photos = load_photos(list(asked.images), asked.cached("photos.pt"))
    if not len(photos.with_objects()):
        raise OptionError(
            f"no picture of {', '.join(map(str, asked.images))} has a mask with an object; "
            "put NAME.png into masks/ for each images/NAME.jpg"
        )
    textures, clips = photos, None
    if asked.backgrounds:
        textures = load_photos(list(asked.backgrounds), asked.cached("backgrounds.pt"))
    if asked.videos:
        clips = load_clips(list(asked.videos), asked.cached("clips.pt"), studio=asked.studio).to(device)
    return photos.to(device), textures.to(device), clips


def _device(asked: str) -> str:
    cuda = asked == "cuda" or (asked == "auto" and torch.cuda.is_available())
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    if not cuda:
        return "cpu"
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    torch.cuda.set_device(device)
    return device
