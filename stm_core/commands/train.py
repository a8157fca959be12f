"""The `train` command: `python -m stm_core train --images DIR ... --videos DIR ... --out FILE --minutes M`.

Under torchrun the same command trains on all processes: each makes its own clips, gradients are averaged.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import torch
import torch.distributed as dist

from stm_core.errors import OptionError
from stm_core.training.data.stores import load_clips, load_photos
from stm_core.training.fit.curriculum import TrainConfig
from stm_core.training.fit.export import check_out, find_checkpoint
from stm_core.training.fit.loop import Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `train`."""
    parser.add_argument(
        "--images",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="folders with images/ and masks/ (palette PNG, 255 = ignored)",
    )
    parser.add_argument(
        "--backgrounds",
        type=Path,
        nargs="*",
        default=[],
        metavar="DIR",
        help="folders of pictures without masks: textures of made-up objects",
    )
    parser.add_argument(
        "--videos", type=Path, nargs="*", default=[], metavar="DIR", help="roots in DAVIS layout"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="weights to write (.safetensors); FILE with .ckpt is the resumable checkpoint, a folder",
    )
    parser.add_argument("--minutes", type=float, help="length of the whole run, resumed pieces included")
    parser.add_argument("--steps", type=int, help="the same in steps")
    parser.add_argument(
        "--resume", type=Path, metavar="CKPT", help="continue exactly where this checkpoint stopped"
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="FILE",
        help="begin a new run from these weights or this .ckpt; what it lacks starts afresh, the frozen "
        "trunk as bundled",
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep the decoded data here for the next run"
    )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--dtype", default="bf16", choices=("bf16", "fp32"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates (1)")
    parser.add_argument(
        "--batch", type=float, default=1.0, help="factor on the clips of a batch (1); try 8 on a large GPU"
    )
    parser.add_argument("--begin", type=float, default=0.0, help="skip this share of the curriculum (0)")
    parser.add_argument("--compile", action="store_true", help="torch.compile the tracking step")


def run(args: argparse.Namespace) -> int:
    """Trains as asked; returns the exit code.  Interrupted: saves first."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if args.resume and find_checkpoint(args.resume) is None:
        raise OptionError(
            f"--resume {args.resume} does not exist; give the .ckpt folder that an earlier run wrote"
        )
    if args.out.is_dir() or args.out.suffix == ".ckpt":
        raise OptionError(f"--out {args.out} names a folder; give a file, such as weights.safetensors")
    check_out(args.out, args.resume)
    device = _device(args.device)
    config = TrainConfig(
        out=args.out,
        minutes=args.minutes,
        steps=args.steps,
        seed=args.seed,
        device=device,
        bf16=args.dtype == "bf16",
        rate=args.rate,
        batch=args.batch,
        begin=args.begin,
        compile=args.compile,
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cache = args.cache
    photos = load_photos(args.images, cache and cache / "photos.pt")
    if not len(photos.with_objects()):
        raise OptionError(
            f"no picture of {', '.join(map(str, args.images))} has a mask with an object; "
            "put NAME.png into masks/ for each images/NAME.jpg"
        )
    textures = (
        load_photos(args.backgrounds, cache and cache / "backgrounds.pt") if args.backgrounds else photos
    )
    clips = load_clips(args.videos, cache and cache / "clips.pt").to(device) if args.videos else None
    photos, textures = photos.to(device), textures.to(device)
    trainer = Trainer(config, photos, textures, clips)
    if args.resume:
        trainer.load(args.resume)
    else:
        trainer.begin(args.init)
    try:
        trainer.run()
    except (KeyboardInterrupt, SystemExit):
        trainer.save()
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


def _device(asked: str) -> str:
    cuda = asked == "cuda" or asked == "auto" and torch.cuda.is_available()
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    if not cuda:
        return "cpu"
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    torch.cuda.set_device(device)
    return device
