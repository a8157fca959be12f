"""What the guarded process may be asked to do with a visitor's bytes.

Each job is a generator of answers: dicts fit for JSON, or (dict, uint8 array).  Jobs write pictures only
into the folder they are given, under names of their own.  They run in the process that demo.guard starts,
never in the server.

A process knows nothing of the one before it.  What a job learnt about the key frames of a clip is stored
beside the clip, so that a later job can seek instead of decoding from the start.
"""

import dataclasses
import json
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from stm_core.incoming.masks import read_masks
from stm_core.masks import mask_files as masks
from stm_core.media import video
from stm_core.media.files import Whole, write_whole
from stm_core.media.frame_index import index_of

INDEX = "index.json"  # beside the clip
LARGEST_INDEX = 8 * 2**20  # bytes: hours of video
PROXY_QUALITY = 80  # scrubbing pictures only; the picture that is marked on is always a lossless PNG


def inspect(path: str, folder: str, start: int, limits: dict) -> Iterator[dict]:
    """The clip's report and frame `start` as `sharp/INDEX.png`: what a visitor sees within two seconds."""
    info = video.probe(Path(path), video.VideoLimits(**limits))
    for index, frame in _read(path, start, start + 1):
        save_png(frame, Path(folder) / "sharp" / f"{index:05d}.png")
    remember(Path(path), Path(folder))
    yield {"info": plain(info)}


def check(path: str, folder: str, start: int, stop: int, side: int) -> Iterator[dict]:
    """Decode frames start to stop - 1 once: their real number, their times, and a small picture of each."""
    target = Path(folder) / "proxy"
    target.mkdir(parents=True, exist_ok=True)
    done = 0
    with read_again(path, start, stop) as reader:
        for frame in reader:
            picture = Image.fromarray(frame)
            picture.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
            with Whole(target / f"{start + done:05d}.jpg") as part:
                picture.save(part, format="JPEG", quality=PROXY_QUALITY)
            done += 1
            if done % 50 == 0:
                yield {"done": done}
        times = [round(float(seconds), 6) for seconds in reader.times]
        remember(Path(path), Path(folder))
        yield {"frames": done, "times": times, "warnings": list(reader.warnings)}


def sharp(path: str, folder: str, index: int) -> Iterator[dict]:
    """One frame as a lossless PNG, `sharp/INDEX.png`."""
    for at, frame in _read(path, index, index + 1):
        save_png(frame, Path(folder) / "sharp" / f"{at:05d}.png")
        yield {"index": at}


def frames(path: str, start: int, stop: int, reverse: bool) -> Iterator[tuple[dict, np.ndarray]]:
    """Upright RGB frames, one at a time; the decoder waits until the server has taken the one before."""
    for index, frame in _read(path, start, stop, reverse=reverse):
        yield {"index": index}, frame


def mask(path: str, height: int, width: int) -> Iterator[tuple[dict, np.ndarray]]:
    """An uploaded mask as labels (H, W); MaskError when it is no mask of this clip."""
    yield {}, masks.read_mask(Path(path), size=(height, width))


def brought(
    height: int, width: int, frames: int, limits: dict, extra: dict[str, str]
) -> Iterator[tuple[dict, np.ndarray]]:
    """Masks that were made elsewhere for a clip of so many frames, as labels (H, W), in order.

    extra: any names -> the files.
    """
    paths = [Path(path) for path in extra.values()]
    for index, labels in read_masks(paths, (height, width), frames, video.VideoLimits(**limits)):
        yield {"index": index}, labels


def _read(path: str, start: int, stop: int, *, reverse: bool = False) -> Iterator[tuple[int, np.ndarray]]:
    with read_again(path, start, stop, reverse=reverse) as reader:
        for count, frame in enumerate(reader):
            yield (stop - 1 - count if reverse else start + count), frame


def read_again(path: str, start: int, stop: int, *, reverse: bool = False) -> video.VideoReader:
    """A reader of frames start to stop - 1 of a clip that was accepted before, when limits were applied."""
    recall(Path(path))
    unlimited = video.VideoLimits(*[None] * 4)
    return video.read_video(Path(path), limits=unlimited, start=start, stop=stop, reverse=reverse)


def remember(clip: Path, folder: Path) -> None:
    """Write when each frame decoded so far is shown and which are key frames, if that lets a job seek."""
    index, target = index_of(clip), folder / INDEX
    if not index.seekable or not any(index.keys[1:]):
        target.unlink(missing_ok=True)
        return
    found = {"clip": _identity(clip), "frames": list(zip(index.ticks, index.keys, strict=True))}
    write_whole(target, json.dumps(found).encode())


def recall(clip: Path) -> None:
    """Read the index that an earlier job wrote beside the clip.

    That job read a stranger's bytes, so an index that is not valid is ignored: the clip is then decoded from
    its start, as it is when a seek does not land.
    """
    beside = clip.with_name(INDEX)
    try:
        if not beside.is_file() or beside.stat().st_size > LARGEST_INDEX:
            return
        known = json.loads(beside.read_bytes())
        frames = [(tick, key) for tick, key in known["frames"]]
        if known["clip"] != _identity(clip) or not all(map(_sound, frames)):
            return
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return
    index = index_of(clip)
    for n, (tick, key) in enumerate(frames):
        index.note(n, tick, key)


def _sound(frame: tuple) -> bool:
    tick, key = frame
    return type(tick) is int and abs(tick) < 2**62 and type(key) is bool  # FFmpeg counts in 64 bits


def _identity(clip: Path) -> list[int]:
    stat = clip.stat()
    return [stat.st_size, stat.st_mtime_ns]


def save_png(frame: np.ndarray, path: Path) -> None:
    """Write RGB losslessly and fast; whole or not at all, because the page may ask for it at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Whole(path) as part:
        Image.fromarray(frame).save(part, format="PNG", compress_level=1)


def plain(info: video.VideoInfo) -> dict:
    """A report as JSON values (paths as text, no NaN)."""
    values = dataclasses.asdict(info)
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: object) -> object:
    if isinstance(value, (Path, Fraction)):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


JOBS = {job.__name__: job for job in (inspect, check, sharp, frames, mask, brought)}
