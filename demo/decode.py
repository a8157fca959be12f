"""What the guarded process may be asked to do with a visitor's bytes.

Each job is a generator of answers: dicts fit for JSON, or (dict, uint8 array).  Jobs write pictures only
into the folder they are given, under names of their own.  They run in the process that demo.guard starts,
never in the server.
"""

import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from stm_core import masks, video

PROXY_QUALITY = 80  # scrubbing pictures only; the picture that is marked on is always a lossless PNG


def inspect(path: str, folder: str, start: int, limits: dict) -> Iterator[dict]:
    """The clip's report and frame `start` as `sharp/INDEX.png`: what a visitor sees within two seconds."""
    info = video.probe(Path(path), video.VideoLimits(**limits))
    for index, frame in _read(path, start, start + 1):
        save_png(frame, Path(folder) / "sharp" / f"{index:05d}.png")
    yield {"info": plain(info)}


def check(path: str, folder: str, start: int, stop: int, side: int) -> Iterator[dict]:
    """Decode frames start ..

    stop-1 once: how many there really are, when each is shown, and a small picture of each.
    """
    target = Path(folder) / "proxy"
    target.mkdir(parents=True, exist_ok=True)
    done = 0
    with video.read_video(
        Path(path), limits=video.VideoLimits(*[None] * 4), start=start, stop=stop
    ) as reader:
        for frame in reader:
            picture = Image.fromarray(frame)
            picture.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
            picture.save(target / f"{start + done:05d}.jpg", quality=PROXY_QUALITY)
            done += 1
            if done % 50 == 0:
                yield {"done": done}
        times = [round(float(seconds), 6) for seconds in reader.times]
        yield {"frames": done, "times": times, "warnings": list(reader.warnings)}


def sharp(path: str, folder: str, index: int) -> Iterator[dict]:
    """One frame as a lossless PNG, `sharp/INDEX.png`."""
    for at, frame in _read(path, index, index + 1):
        save_png(frame, Path(folder) / "sharp" / f"{at:05d}.png")
        yield {"index": at}


def frames(path: str, start: int, stop: int, reverse: bool) -> Iterator[tuple[dict, np.ndarray]]:
    """Upright RGB frames, one at a time; the pipe holds back the decoder until the last one was taken."""
    for index, frame in _read(path, start, stop, reverse=reverse):
        yield {"index": index}, frame


def mask(path: str, height: int, width: int) -> Iterator[tuple[dict, np.ndarray]]:
    """An uploaded mask as labels (H, W); MaskError when it is no mask of this clip."""
    yield {}, masks.read_mask(Path(path), size=(height, width))


def _read(path: str, start: int, stop: int, *, reverse: bool = False) -> Iterator[tuple[int, np.ndarray]]:
    unlimited = video.VideoLimits(*[None] * 4)  # the limits were applied when the clip came in
    with video.read_video(Path(path), limits=unlimited, start=start, stop=stop, reverse=reverse) as reader:
        for count, frame in enumerate(reader):
            yield (stop - 1 - count if reverse else start + count), frame


def save_png(frame: np.ndarray, path: Path) -> None:
    """Write RGB losslessly and fast; whole or not at all, because the page may ask for it at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    Image.fromarray(frame).save(partial, format="PNG", compress_level=1)
    partial.replace(path)


def plain(info: video.VideoInfo) -> dict:
    """A report as JSON values (paths as text, no NaN)."""
    values = dataclasses.asdict(info)
    return {key: _plain(value) for key, value in values.items()}


def _plain(value):
    if isinstance(value, (Path, Fraction)):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


JOBS = {job.__name__: job for job in (inspect, check, sharp, frames, mask)}
