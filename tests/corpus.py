"""Bad files and odd ones, by name: what each is made of, and what must come of it at every door."""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import clips
from PIL import Image

from stm_core.errors import LimitError, StmError, VideoError
from stm_core.media.limits import SAFE_LIMITS, VideoLimits

Content = bytes | dict[str, bytes]  # of a file, or of each file in a folder


@dataclass(frozen=True)
class Case:
    """One file or folder, and what is expected of it."""

    name: str
    content: Content | Callable[[dict[str, Path]], Content]  # may be made from a good clip of every kind
    refused: type[StmError] | None = VideoError
    frames: int = 1  # at least, when it is read
    says: str = ""  # a number or name that the refusal must hold
    warns: str = ""
    limits: VideoLimits = SAFE_LIMITS
    late: bool = False  # only a frame after the first shows what is wrong

    def put(self, folder: Path, good: dict[str, Path]) -> Path:
        """The path of the file or folder, written into `folder`."""
        content = self.content(good) if callable(self.content) else self.content
        path = folder / self.name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.mkdir()
            for name, data in content.items():
                (path / name).write_bytes(data)
        return path


# texts that point elsewhere ---------------------------------------------------------------------------------

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
POINTERS = {  # name: text about a {file} or {address}
    "playlist.mp4": PLAYLIST.format("file://{file}"),
    "playlist.ts": PLAYLIST.format("{address}"),
    "marked.m3u8": "\ufeff" + PLAYLIST.format("{file}"),
    "concat.mkv": "ffconcat version 1.0\nfile '{file}'\n",
    "bare.txt": "file '{file}'\n",
    "session.mov": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
    "dash.mp4": "<?xml version='1.0'?><MPD><BaseURL>{address}</BaseURL></MPD>",
    "bare.mpd": "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>{address}</BaseURL></MPD>",
    "list.avi": "[playlist]\nFile1={file}\n",
    "address.m2ts": "{address}\n",
    "drawing.gif": "<svg xmlns='http://www.w3.org/2000/svg'><image href='file://{file}'/></svg>",
}
SUFFIXES = (".mp4", ".m3u8", ".ts", ".m2ts", ".png", ".txt", "")


# pictures, archives, movies ---------------------------------------------------------------------------------


def still(form: str = "PNG", number: int = 0, size: tuple[int, int] = clips.SIZE) -> bytes:
    """One picture, which shows `number`."""
    data = io.BytesIO()
    Image.fromarray(clips.frame(number, size)).save(data, form)
    return data.getvalue()


def bomb(side: int = 60_000, animated: bool = False) -> bytes:
    """A PNG of `side` x `side` pixels in a few hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    if animated:
        head += chunk(b"acTL", struct.pack(">II", 2, 0))
        head += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, side, side, 0, 0, 1, 10, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 9999)) + chunk(b"IEND", b"")


GIF_BOMB = b"GIF89a" + 4 * b"\xff" + b"\0\0\0\x2c\0\0\0\0" + 4 * b"\xff" + b"\0\2\2\x4c\1\0\x3b"


def zipped(entries: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return data.getvalue()


FRAMES = zipped({f"{n}.png": still(number=n) for n in range(9)})
TWO_FOLDERS = zipped({"a/0.png": still(), "b/0.png": still()})
LEFTOVERS = {"c/0.png": still(), "__MACOSX/c/._0.png": b"x", "c/.DS_Store": b"x", "c/notes.txt": b""}
LIAR = zipped({"0.png": b"\0" * 5_000_000}).replace(struct.pack("<I", 5_000_000), struct.pack("<I", 100))
LOCKED = bytearray(FRAMES)
LOCKED[LOCKED.index(b"PK\1\2") + 8] |= 1


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def referring(entry: bytes) -> Callable[[dict[str, Path]], bytes]:
    """An MP4 whose one data reference is `entry`; its index stands at the end, so that nothing else moves."""

    def made(good: dict[str, Path]) -> bytes:
        data, at, places = good["mp4"].read_bytes(), 0, []
        for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
            at = data.index(kind, at)
            places.append(at - 4)
        start = places[-1] + 16
        old = int.from_bytes(data[start : start + 4])
        hurt = bytearray(data[:start] + entry + data[start + old :])
        for place in places:
            size = int.from_bytes(hurt[place : place + 4]) + len(entry) - old
            hurt[place : place + 4] = size.to_bytes(4)
        return bytes(hurt)

    return made


MOVIES = box(b"rmra", box(b"rmda", box(b"rdrf", b"\0\0\0\0url \0\0\0\x14http://example.org/\0")))
# boxes that claim more than their parent: a walk that enters each again doubles its work forty times
NESTED = 40 * struct.pack(">I4sI4s", 16, b"moov", 2**31 - 1, b"moov")


def song(good: dict[str, Path]) -> bytes:
    """A file of sound only."""
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as out:
        clips.write_tone(out, out.add_stream("aac", rate=48000, layout="stereo"), 1)
    return data.getvalue()


# good clips, cut or hurt ------------------------------------------------------------------------------------

PACKET = 188  # bytes of an MPEG-TS


def whole(kind: str) -> Callable[[dict[str, Path]], bytes]:
    return lambda good: good[kind].read_bytes()


def cut(kind: str, share: float = 0.6) -> Callable[[dict[str, Path]], bytes]:
    """The first part of a clip; of an MPEG-TS, up to the middle of a packet."""

    def made(good: dict[str, Path]) -> bytes:
        data = good[kind].read_bytes()
        end = int(len(data) * share)
        return data[: end // PACKET * PACKET + 77 if kind == "ts" else end]

    return made


def hurt(kind: str) -> Callable[[dict[str, Path]], bytes]:
    """A clip with 40 wrong bytes in the middle of its pictures."""

    def made(good: dict[str, Path]) -> bytes:
        data = bytearray(good[kind].read_bytes())
        middle = len(data) * 6 // 10
        data[middle : middle + 40] = bytes(range(40))
        return bytes(data)

    return made


def tail(skipped: int) -> Callable[[dict[str, Path]], bytes]:
    """An MPEG-TS that begins between two key frames, `skipped` bytes into a packet."""

    def made(good: dict[str, Path]) -> bytes:
        data = good["ts"].read_bytes()
        return data[len(data) // 3 // PACKET * PACKET + skipped :]

    return made


def fast(kind: str, folder: Path) -> Path:
    """A clip whose index stands in front, so that its beginning can be read without its end."""
    return clips.write(folder / f"fast.{kind}", kind, frames=40, muxer_options={"movflags": "+faststart"})


CUTTABLE = ("fast mp4", "fast mov", "webp", *sorted({*clips.CONTAINERS} - {"mp4", "mov"}))
EXTERNAL = (
    box(b"url ", b"\0\0\0\0http://example.org/pictures.mov\0"),
    box(b"alis", b"\0\0\0\0" + b"\0" * 150),
    box(b"urn ", b"\0\0\0\0secret\0file:///etc/passwd\0"),
)
NO_CLIP = {
    "text": b"hello",
    "zeros": b"\0" * 5000,
    "noise": os.urandom(3000),
    "mp3": b"ID3\x04" + b"\0" * 500,
    "ogg": b"OggS" + b"\0" * 500,
    "flv": b"FLV\x01\x05" + b"\0" * 100,
    "pdf": b"%PDF-1.7\n",
    "page": b"<!doctype html><title>Not found</title>",
    "ebml": b"\x1a\x45\xdf\xa3" + b"\0" * 99,
    "sync": b"G" * 5000,
}
BEGINNINGS = {
    "mp4": b"\0\0\0\x18ftypisom" + b"\0" * 400,
    "mkv": b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska" + b"\0" * 400,
    "gif": b"GIF89a" + b"\0" * 7,
    "avi": b"RIFF\xff\xff\0\0AVI LIST" + b"\0" * 300,
    "zip": b"PK\x03\x04" + b"\0" * 100,
    "end of zip": b"PK\x05\x06" + b"\0" * 18,
    "webp": b"RIFF\x60\0\0\0WEBPVP8X\x0a\0\0\0\x02" + b"\0" * 80,
    "moov": b"\0\0\0\x08moov",
    "endless": b"\0\0\0\0ftypisom",
    "ts": (b"G\x40\0\x10" + b"\0" * 184) * 40,
}
OUTSIDE = ("../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\evil.png", "C:\\evil.png")
LARGE, MANY = VideoLimits(max_bytes=10_000_000), VideoLimits(max_frames=1000)

CASES = (
    Case("empty.mp4", b"", says="0 bytes"),
    *(Case(f"{what}.mp4", data, says="MP4, MOV, WebM, MKV, AVI") for what, data in NO_CLIP.items()),
    *(Case(f"{what} begun.mp4", data) for what, data in BEGINNINGS.items()),
    *(Case(f"{form}.mp4", still(form), says="single") for form in ("PNG", "JPEG", "WEBP", "BMP", "TIFF")),
    Case("heic.mp4", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99, says="single HEIC"),
    *(Case(f"{kind}.png", whole(kind)) for kind in ("mkv", "mp4", "avi", "gif", "ts")),
    *(Case(f"{kind} named.mp4", whole(kind), None, 40) for kind in ("webm", "avi", "gif", "mov", "ts")),
    Case("frames", lambda good: {"0.png": still(), "1.png": whole("mkv")(good)}, says="1.png", late=True),
    Case("sizes", {"0.png": still(), "1.png": still(size=(50, 60))}, says="60x50", late=True),
    Case("bare", {}, says="no pictures"),
    *(Case(f"reference {n}.mp4", referring(entry), says="reference") for n, entry in enumerate(EXTERNAL)),
    Case("hidden.mp4", lambda good: b"\0\0\0\x08what" + referring(EXTERNAL[0])(good), says="reference"),
    Case("own.mp4", referring(box(b"url ", b"\0\0\0\1")), None, 40),
    Case("movies.mov", box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", MOVIES), says="reference"),
    Case("nested.mp4", box(b"ftyp", b"isom\0\0\0\0") + NESTED),
    Case("song.mp4", song, says="sound"),
    Case("bomb.apng", bomb(animated=True), LimitError, says="60000x60000"),
    Case("bomb.gif", GIF_BOMB, LimitError, says="65535x65535"),
    Case("bomb", {"0.png": bomb()}, LimitError),
    Case("smaller bomb", {"0.png": bomb(4000)}, LimitError, says="4000x4000"),
    Case("bomb.zip", zipped({"0.png": bomb()}), LimitError),
    Case("large.zip", zipped({f"{n}.png": b"\0" * 3_000_000 for n in range(4)}), LimitError, limits=LARGE),
    Case("many.zip", zipped({f"{n}.png": b"" for n in range(2000)}), LimitError, says="1,000", limits=MANY),
    *(Case("out.zip", zipped({"0.png": still(), name: still()}), says="outside") for name in OUTSIDE),
    Case("liar.zip", LIAR, says="0.png"),
    Case("none.zip", zipped({"readme.txt": b"hello"}), says="no pictures"),
    Case("two.zip", TWO_FOLDERS, says="2 folders"),
    Case("nest.zip", zipped({"0.png": TWO_FOLDERS}), says="0.png"),
    Case("cut.zip", FRAMES[: len(FRAMES) // 2], says="ZIP"),
    Case("locked.zip", bytes(LOCKED), says="password"),
    Case("leftovers.zip", zipped(LEFTOVERS), None),
    Case("cut.mp4", cut("mp4", 0.5), says="index"),
    *(Case(f"hurt {kind}", hurt(kind), None, 10) for kind in ("mp4", "webm", "mkv", "avi", "ts")),
    *(Case(f"tail {n}.ts", tail(n), None, 10, warns="before the first key frame") for n in (0, 50)),
)


# random damage ----------------------------------------------------------------------------------------------
