"""Clips made at run time, of every container that is read; each picture carries its number.

A frame is grey with a moving block; the top left quarter is red (which way is up?), and the bottom strip
shows the frame number as eight black or white fields, which survive any codec.
"""

import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import Image

from stm_core.media.video import VideoReader, read_video
from stm_core.media.write import VideoWriter

SIZE = (96, 128)  # height, width
RED, GREY = (200, 30, 30), (110, 110, 110)

# container -> (suffix, codec, pixel format, codec options)
CONTAINERS = {
    "mp4": (".mp4", "libx264", "yuv420p", {"preset": "ultrafast", "crf": "12"}),
    "mov": (".mov", "prores_ks", "yuv422p10le", {}),
    "webm": (
        ".webm",
        "libvpx-vp9",
        "yuv420p",
        {"deadline": "realtime", "cpu-used": "8", "crf": "16", "b": "0"},
    ),
    "mkv": (".mkv", "libx264", "yuv420p", {"preset": "ultrafast", "bf": "2", "crf": "12"}),
    "avi": (".avi", "mpeg4", "yuv420p", {"qmin": "2", "qmax": "4", "bf": "2"}),
    "ts": (".ts", "libx264", "yuv420p", {"preset": "ultrafast", "bf": "2", "crf": "12"}),
    "gif": (".gif", "gif", "rgb8", {}),
    "apng": (".apng", "apng", "rgb24", {}),
}


def frame(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 (H, W, 3): picture `number`, 0..255."""
    height, width = size
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = GREY
    rgb[: height // 2, : width // 2] = RED
    left = (number * 3) % max(1, width - width // 4)
    rgb[height // 4 : height // 2, left : left + width // 4] = (40, 160, 60)
    strip = rgb[height - height // 6 :]
    for bit, field in enumerate(np.array_split(np.arange(width), 8)):
        strip[:, field] = 235 if number >> bit & 1 else 20
    return rgb


def number_of(rgb: np.ndarray) -> int:
    """The number that a frame shows."""
    height, width = rgb.shape[:2]
    row = rgb[height - height // 12].mean(axis=1)
    return sum(
        int(np.median(row[field]) > 128) << bit
        for bit, field in enumerate(np.array_split(np.arange(width), 8))
    )


def is_upright(rgb: np.ndarray) -> bool:
    """True if the red quarter is at the top left."""
    height, width = rgb.shape[:2]
    patch = rgb[height // 12 : height // 6, width // 12 : width // 6].astype(int).mean((0, 1))
    return patch[0] > patch[1] + 80


def times_of(frames: int, fps: float = 10.0) -> list[float]:
    """Even times, in seconds."""
    return [n / fps for n in range(frames)]


def write(
    path: Path,
    container: str = "mp4",
    *,
    frames: int = 20,
    size: tuple[int, int] = SIZE,
    times: list[float] | None = None,
    codec: str | None = None,
    pix_fmt: str | None = None,
    options: dict | None = None,
    clock: Fraction | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    full_range: bool = False,
    audio: str | None = None,
    audio_seconds: float | None = None,
    muxer_options: dict | None = None,
    pictures=None,
    gop: int = 12,
    hdr: bool = False,
) -> Path:
    """Write a clip; `pictures(number)` may draw its own frames; rotation: what players turn it by."""
    _, usual_codec, usual_format, usual_options = CONTAINERS[container]
    height, width = size
    times = times_of(frames) if times is None else times
    with av.open(str(path), "w", format=_muxer(container), options=muxer_options or {}) as out:
        stream = out.add_stream(codec or usual_codec, rate=10)
        stream.width, stream.height = width, height
        stream.pix_fmt = pix_fmt or usual_format
        stream.options = usual_options if options is None else options
        stream.codec_context.gop_size = gop
        stream.time_base = stream.codec_context.time_base = clock or _clock(container)
        if full_range:
            stream.codec_context.color_range = ColorRange.JPEG
        if hdr:
            stream.codec_context.color_primaries, stream.codec_context.color_trc = 9, 16
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        sound = out.add_stream(audio, rate=48000, layout="stereo") if audio else None
        reformat = VideoReformatter().reformat
        for number, seconds in enumerate(times[:frames]):
            rgb = (pictures or (lambda n: frame(n, size)))(number)
            picture = av.VideoFrame.from_ndarray(rgb, format="rgba" if rgb.shape[2] == 4 else "rgb24")
            picture = reformat(
                picture,
                format=stream.pix_fmt,
                dst_colorspace=5,
                dst_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
            )
            picture.pts = round(Fraction(seconds).limit_denominator(10**6) / stream.codec_context.time_base)
            picture.time_base = stream.codec_context.time_base
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
        if sound is not None:
            write_tone(
                out,
                sound,
                audio_seconds if audio_seconds is not None else times[min(frames, len(times)) - 1] + 0.1,
            )
    return path


def write_tone(out, stream, seconds: float, rate: int = 48000) -> None:
    """A 440 Hz tone of that length."""
    wave = (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)
    for start in range(0, len(wave), 960):
        part = np.stack([wave[start : start + 960]] * 2)
        chunk = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        chunk.sample_rate, chunk.pts, chunk.time_base = rate, start, Fraction(1, rate)
        out.mux(stream.encode(chunk))
    out.mux(stream.encode(None))


def write_webp(
    path: Path, frames: int = 20, *, milliseconds: int | list[int] = 100, size: tuple[int, int] = SIZE
) -> Path:
    """An animated WebP."""
    images = [Image.fromarray(frame(n, size)) for n in range(frames)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, quality=90)
    return path


def write_folder(
    path: Path, frames: int = 20, *, suffix: str = ".png", digits: int = 5, size: tuple[int, int] = SIZE
) -> Path:
    """A folder of pictures 00000.png, 00001.png, ..."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        Image.fromarray(frame(number, size)).save(path / f"{number:0{digits}d}{suffix}")
    return path


def write_zip(path: Path, frames: int = 20, **options) -> Path:
    """A ZIP of such a folder."""
    folder = write_folder(path.with_suffix(""), frames, **options)
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"clip/{file.name}")
    return path


def every_kind(folder: Path, frames: int = 20) -> dict[str, Path]:
    """One clip of each kind that can be read, {name: path}."""
    made = {kind: write(folder / f"clip{CONTAINERS[kind][0]}", kind, frames=frames) for kind in CONTAINERS}
    made["webp"] = write_webp(folder / "clip.webp", frames)
    made["folder"] = write_folder(folder / "pictures", frames)
    made["zip"] = write_zip(folder / "clip.zip", frames)
    return made


def _muxer(container: str) -> str:
    return {"mkv": "matroska", "ts": "mpegts"}.get(container, container)


def _clock(container: str) -> Fraction:
    return {
        "avi": Fraction(1, 10),
        "ts": Fraction(1, 90_000),
        "gif": Fraction(1, 100),
        "apng": Fraction(1, 1000),
        "mov": Fraction(1, 600),
    }.get(container, Fraction(1, 1000))


def read(path: Path, **options) -> tuple[list[int], VideoReader]:
    """The numbers of all frames of a file, and the reader at its end."""
    with read_video(path, **options) as reader:
        return [number_of(frame) for frame in reader], reader


def copy(source: Path, target: Path, **options) -> tuple[VideoReader, VideoWriter]:
    """Decode and write again."""
    with (
        read_video(source) as reader,
        VideoWriter(target, reader.info.width, reader.info.height, source=source, **options) as writer,
    ):
        for frame in reader:
            writer.write(frame, reader.times[-1])
    return reader, writer


def write_list(folder: Path, text: str) -> Path:
    """The list of a batch with this text."""
    path = folder / "clips.txt"
    path.write_text(text)
    return path
