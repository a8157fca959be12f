"""What the words of a command name: the clip with its prompts, the network; and a progress bar."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from stm_core.commands import option_values, options
from stm_core.errors import OptionError

if TYPE_CHECKING:
    from tqdm import tqdm

    from stm_core.engine.prompts import Prompt
    from stm_core.media.video import VideoInfo, VideoLimits
    from stm_core.networks.weights import Model


def opened(args: argparse.Namespace) -> tuple[VideoInfo, list[Prompt], VideoLimits]:
    """The clip that the options name, its prompts, and the limits under which it is read.

    Raises OptionError, and what `probe`, `read_prompts` and `check_prompts` raise.
    """
    if [bool(args.mask), bool(args.click), bool(args.prompts)].count(True) != 1:
        raise OptionError(
            "give exactly one of --mask FIRST.png, --click X,Y (one or more) and --prompts FILE; see --help"
        )
    if args.prompts and args.prompt_frame is not None:
        raise OptionError(
            "--prompt-frame is the frame of --mask or --click; --prompts names its own frames, so leave "
            "--prompt-frame out"
        )
    if args.all_prompts and not args.prompts:
        raise OptionError(
            "--all-prompts is about the masks of --prompts; give --prompts FILE, or leave it out"
        )
    from stm_core.media.video import probe
    from stm_core.runs.plan import check_prompts, frames_inside
    from stm_core.runs.prompt_files import with_erased

    limits = options.video_limits(args)
    info = probe(args.clip, limits=limits)
    size, inside = (info.height, info.width), frames_inside(info.frames, getattr(args, "part", None))
    given = with_erased(_prompts(args, size, info.frames, inside), args.erased, size)
    return info, check_prompts(*size, inside, given), limits


def model(args: argparse.Namespace) -> Model:
    """The network that the options ask for."""
    from stm_core.networks.weights import load_model

    return load_model(args.weights, device=args.device, dtype=args.dtype, engine=args.engine)


def _prompts(args: argparse.Namespace, size: tuple[int, int], frames: int, inside: range) -> list[Prompt]:
    """The prompts that the options describe.

    size: (H, W) of the clip's frames.
    inside: the frames that are tracked.
    """
    clicks = [option_values.click(text) for text in args.click]
    from stm_core.engine.prompts import Prompt
    from stm_core.masks.mask_files import read_mask
    from stm_core.runs.prompt_files import read_prompts

    if clicks:
        return [Prompt.from_clicks(clicks, frame=args.prompt_frame or 0)]
    limits = options.video_limits(args)
    if args.prompts:
        found: dict[int, Prompt] = {}
        for text in args.prompts:
            given = read_prompts(text, size, frames, inside, limits, every=args.all_prompts)
            found |= {prompt.frame: prompt for prompt in given}
        return list(found.values())
    return [Prompt.from_mask(read_mask(args.mask, size=size, limits=limits), frame=args.prompt_frame or 0)]


def progress(total: int | None) -> tqdm:
    """A progress bar on stderr; silent when stderr is no terminal."""
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    return tqdm(total=total or None, unit=" frames", file=sys.stderr, disable=quiet, leave=False)
