"""Small clips and pictures, hurt at random, and a process that reads them."""

import contextlib
import random
import resource
import struct
from pathlib import Path

import clips
import numpy as np

from stm_core.errors import StmError
from stm_core.media.limits import VideoLimits
from stm_core.media.video import probe, read_video


def tiny(folder: Path) -> dict[str, bytes]:
    """A very small clip of every kind that a visitor may upload, some with sound: {suffix: bytes}."""
    made = {}
    for kind, (suffix, *_) in clips.CONTAINERS.items():
        sound = "aac" if kind in ("mp4", "mkv", "ts") else None
        clips.write(folder / f"clip{suffix}", kind, frames=10, size=(48, 64), audio=sound)
        made[suffix] = (folder / f"clip{suffix}").read_bytes()
    made[".webp"] = clips.write_webp(folder / "clip.webp", 10, size=(48, 64)).read_bytes()
    made[".zip"] = clips.write_zip(folder / "clip.zip", 10, size=(48, 64)).read_bytes()
    return made


def damaged(seed: int, good: dict[str, bytes]) -> tuple[str, bytes]:
    """A suffix and the bytes of a clip with one or two kinds of damage, always the same for a seed."""
    rng = random.Random(seed)
    suffix = list(good)[seed % len(good)]
    data = bytearray(good[suffix])
    for _ in range(rng.choice((1, 1, 2))):
        harm = rng.choice(("cut", "flip", "header", "size", "zero", "repeat", "splice", "rename", "tail"))
        at = rng.randrange(len(data))
        if harm == "cut":
            del data[max(1, at) :]
        elif harm == "flip":
            for _ in range(rng.choice((1, 8, 64))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif harm == "header":
            for _ in range(rng.choice((1, 4, 16))):
                data[rng.randrange(min(len(data), 512))] = rng.randrange(256)
        elif harm == "size":  # a length, count or dimension becomes extreme
            value = rng.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000000))
            data[at : at + 4] = struct.pack(rng.choice((">I", "<I")), value)
        elif harm == "zero":
            data[at : at + rng.choice((16, 256, 4096))] = bytes(16)
        elif harm == "repeat":
            data[at:at] = data[at : at + rng.choice((8, 128, 2048))]
        elif harm == "splice":
            other = rng.choice(list(good.values()))
            data = data[:at] + bytearray(other[rng.randrange(len(other)) :])
        elif harm == "rename":
            suffix = rng.choice([*good, ".png", ""])
        else:
            data += rng.randbytes(rng.choice((1, 100, 5000)))
    return suffix, bytes(data or b"\0")


def read_all_damaged(pipe, folder: Path, good: dict[str, bytes], seeds: int) -> None:
    """Probe and read them all in this process; per seed the number of frames or the refusal goes into the
    pipe, at the end the most memory that it took, in MB.
    """
    limits = VideoLimits(max_bytes=2**24, max_pixels=2**22, max_frames=300, max_seconds=60)
    for seed in range(seeds):
        suffix, data = damaged(seed, good)
        path = folder / f"{seed}{suffix}"
        path.write_bytes(data)
        try:
            probe(path, limits)
            with read_video(path, limits) as reader:
                for frame in reader:
                    assert frame.dtype == np.uint8 and frame.ndim == 3
            assert reader.times == sorted(reader.times) and path.read_bytes() == data
            pipe.send(len(reader.times))
        except StmError as error:
            pipe.send(str(error))
        with contextlib.suppress(OSError):
            path.unlink()
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
