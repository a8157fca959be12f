"""Hostile uploads: real clips, damaged in hundreds of ways, go through the wall that guards the server.

Each costs at most one clear sentence, in bounded time; the server, its memory, and other files stay as they
were.
"""

import io
import os
import random
import socket
import struct
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from fractions import Fraction

import av
import numpy as np
import psutil
import pytest
from PIL import Image

from demo.guard import Guard
from demo.limits import Limits
from stm_core.errors import StmError
from stm_core.media.video import VideoLimits

SEEDS = int(os.environ.get("STM_FUZZ_SEEDS", "320"))
MOST_SECONDS = 20
FRAMES, HEIGHT, WIDTH = 10, 48, 64
KINDS = {  # name of the file: codec, pixel format
    "a.mp4": ("libx264", "yuv420p"),
    "b.mov": ("mpeg4", "yuv420p"),
    "c.webm": ("libvpx-vp9", "yuv420p"),
    "d.mkv": ("ffv1", "yuv420p"),
    "e.avi": ("mjpeg", "yuvj420p"),
    "f.gif": ("gif", "rgb8"),
}
NAMES = (
    "clip.mp4",
    "clip.mov",
    "clip.webm",
    "clip.mkv",
    "clip.avi",
    "clip.gif",
    "clip.webp",
    "clip.zip",
    "clip.png",
    "clip",
)


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    return [np.roll(still, 3 * t, 1) for t in range(FRAMES)]


def encoded(name: str, codec: str, pixels: str) -> bytes:
    """A small clip with sound where the container takes it."""
    target = io.BytesIO()
    with av.open(target, "w", format={"mkv": "matroska"}.get(name[2:], name[2:])) as container:
        stream = container.add_stream(codec, 10, options={"strict": "unofficial"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        sound = (
            container.add_stream("aac", 16000, layout="mono") if name[2:] in ("mp4", "mkv") else None
        )
        for t, picture in enumerate(pictures()):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = t, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            wave.sample_rate = 16000
            container.mux(sound.encode(wave))
            container.mux(sound.encode(None))
    return target.getvalue()


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """One whole clip of every kind that a visitor may upload."""
    stills = [Image.fromarray(picture) for picture in pictures()]
    webp, archive = io.BytesIO(), io.BytesIO()
    stills[0].save(webp, "WEBP", save_all=True, append_images=stills[1:], duration=100)
    with zipfile.ZipFile(archive, "w") as file:
        for t, still in enumerate(stills):
            data = io.BytesIO()
            still.save(data, "PNG")
            file.writestr(f"{t:03d}.png", data.getvalue())
    return [encoded(name, *how) for name, how in KINDS.items()] + [webp.getvalue(), archive.getvalue()]


def damaged(seed: int, clips: list[bytes]) -> tuple[str, bytes]:
    """A file name and the bytes of a clip with one or two kinds of damage, always the same for a seed."""
    rng = random.Random(seed)
    which = seed % len(clips)
    data = bytearray(clips[which])
    name = "clip" + (".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif", ".webp", ".zip")[which]
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
            other = clips[rng.randrange(len(clips))]
            data = data[:at] + bytearray(other[rng.randrange(len(other)) :])
        elif harm == "rename":
            name = rng.choice(NAMES)
        elif harm == "tail":
            data += rng.randbytes(rng.choice((1, 100, 5000)))
        if not data:
            data = bytearray(b"\0")
    return name, bytes(data)


def pointing_elsewhere(secret: str, port: int) -> dict[str, bytes]:
    """Files that ask the reader to open another file or address."""
    url = f"http://127.0.0.1:{port}/x.mp4"
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    dash = f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>'
    texts = {
        "playlist.mp4": playlist.format(f"file://{secret}"),
        "playlist.webm": playlist.format(url),
        "concat.mkv": f"ffconcat version 1.0\nfile '{secret}'\n",
        "session.mov": f"v=0\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
        "dash.mp4": dash,
        "picture.gif": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{secret}"/></svg>',
        "list.avi": f"[playlist]\nFile1={secret}\n",
        "address.mp4": url,
    }
    return {name: text.encode() for name, text in texts.items()}


@pytest.fixture(scope="module")
def guard() -> Guard:
    return Guard(Limits(decode_seconds=10, decode_mb=1024, stall_seconds=10))


def upload(guard: Guard, path, folder) -> dict | StmError:
    """What an upload goes through: the report and the first frame, then every frame once."""
    folder.mkdir()
    limits = asdict(VideoLimits(max_bytes=2**24, max_pixels=2**22, max_frames=300, max_seconds=60))
    started = time.monotonic()
    try:
        guard.call("inspect", path=str(path), folder=str(folder), start=0, limits=limits)
        result = guard.call("check", path=str(path), folder=str(folder), start=0, stop=300, side=64)
    except StmError as error:
        result = error
    assert time.monotonic() - started < MOST_SECONDS
    return result


def children() -> int:
    return len(psutil.Process().children(recursive=True))


@pytest.mark.slow
def test_damaged_clips_give_a_sentence_or_a_valid_part(guard, clips, tmp_path):
    (tmp_path / "whole.mp4").write_bytes(clips[0])
    assert upload(guard, tmp_path / "whole.mp4", tmp_path / "warm")["frames"] == FRAMES
    before, alive = psutil.Process().memory_info().rss, children()

    def one(seed: int) -> str:
        place = tmp_path / f"seed{seed}"
        place.mkdir()
        name, data = damaged(seed, clips)
        path = place / name
        path.write_bytes(data)
        result = upload(guard, path, place / "out")
        if isinstance(result, StmError):
            text = str(result)
            assert 20 < len(text) < 500 and "\n" not in text and "Traceback" not in text, (
                f"seed {seed}: {text}"
            )
            assert str(tmp_path) not in text, f"seed {seed} tells a path of the server: {text}"
            return "refused"
        assert result["frames"] == len(result["times"]) > 0, f"seed {seed}"
        assert all(a <= b for a, b in zip(result["times"], result["times"][1:], strict=False)), f"seed {seed}"
        assert len(list((place / "out" / "proxy").iterdir())) == result["frames"], f"seed {seed}"
        assert path.read_bytes() == data, "the upload itself was changed"
        return "read"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(one, range(SEEDS)))
    assert outcomes.count("read") > SEEDS // 10 and outcomes.count("refused") > SEEDS // 10
    assert upload(guard, tmp_path / "whole.mp4", tmp_path / "after")["frames"] == FRAMES
    assert children() <= alive
    assert psutil.Process().memory_info().rss - before < 64 * 2**20


def test_files_that_name_other_files_or_addresses_are_refused_unopened(guard, clips, tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clips[0])
    os.utime(secret, (1, 2))  # read long before it was written: the first reading moves the access time
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    for name, data in pointing_elsewhere(str(secret), listener.getsockname()[1]).items():
        place = tmp_path / name.replace(".", "_")
        place.mkdir()
        (place / name).write_bytes(data)
        result = upload(guard, place / name, place / "out")
        assert isinstance(result, StmError), f"{name} was read"
        assert not list((place / "out").rglob("*.*"))
    with pytest.raises(TimeoutError):
        listener.accept()
    assert secret.stat().st_atime == 1
