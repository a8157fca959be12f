"""What a file is and how long it says it is, from its own bytes: magic numbers, boxes, chunks."""

import os
import struct
from pathlib import Path
from typing import BinaryIO

from stm_core.errors import VideoError

ACCEPTED = "MP4, MOV, WebM, MKV, AVI, GIF, APNG, animated WebP, a folder of pictures or a ZIP of pictures"
STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
# first bytes of a text that points elsewhere -> what it is
POINTERS = (
    (b"#EXTM3U", "a playlist (M3U8)"),
    (b"[playlist]", "a playlist (PLS)"),
    (b"ffconcat", "a concat script"),
    (b"v=0", "a session description (SDP)"),
    (b"<?xml", "an XML text (a DASH manifest?)"),
    (b"<MPD", "a DASH manifest"),
    (b"<smil", "a SMIL playlist"),
    (b"RTSPtext", "a stream address"),
    (b"http", "an address"),
    (b"[Reference]", "a playlist"),
)


def cut_short(path: Path, kind: str) -> bool:
    """True if the container's own lengths reach past the end of the file: the end of the clip is missing."""
    if not path.exists():
        return False  # it went away while it was read: nothing is known, and all that was asked for has come
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            if kind in ("mp4", "mov"):
                return any(end > size for _, _, end in _boxes(file, 0, size))
            if kind == "avi":
                file.seek(4)
                return struct.unpack("<I", file.read(4))[0] + 8 > size
            if kind in ("gif", "apng"):
                file.seek(max(0, size - 64))
                return not (b"\x3b" in file.read()[-4:] if kind == "gif" else b"IEND" in file.read())
            if kind in ("mkv", "webm"):
                return _ebml_segment_end(file) > size
        except struct.error:
            return True
    return False


def kind_of(file: BinaryIO, name: str) -> str:
    """The kind of clip that an open file is, by its first bytes.  Raises VideoError when it is none."""
    head = file.read(4096)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return _sniff_mov(file, head, name)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        if b"webm" in head[:64]:
            return "webm"
        if b"matroska" in head[:64]:
            return "mkv"
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "avi"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        if _png_has_animation(file):
            return "apng"
        raise _still(name, "PNG")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        if head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 0x02:
            return "webp"
        raise _still(name, "WebP")
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    for magic, what in ((b"\xff\xd8\xff", "JPEG"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF")):
        if head.startswith(magic):
            raise _still(name, what)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, what in POINTERS:
        if text.startswith(magic.lower()):
            raise VideoError(
                f"{name!r} is {what}, which names other files or addresses and is never opened; "
                "give the video file itself"
            )
    raise VideoError(f"{name!r} is not a clip that can be read; expected {ACCEPTED}")


def _still(name: str, what: str) -> VideoError:
    return VideoError(
        f"{name!r} is a single {what} picture, not a clip; give a video, or a folder or ZIP of pictures"
    )


def _sniff_mov(file: BinaryIO, head: bytes, name: str) -> str:
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "
    if brand in STILL_BRANDS:
        raise _still(name, brand.decode().upper())
    if _names_other_files(file):
        raise VideoError(
            f"{name!r} is a reference movie: its pictures lie in another file, which is never opened; "
            "export it as a self-contained movie"
        )
    return "mov" if brand == b"qt  " else "mp4"


def _boxes(file: BinaryIO, start: int, stop: int):
    """(type, start of content, end) of the MP4 boxes between two offsets; stops at the first wrong one."""
    while start + 8 <= stop:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header[:8])
        content = start + 8
        if size == 1 and len(header) == 16:
            size, content = struct.unpack(">Q", header[8:])[0], start + 16
        elif size == 0:
            size = stop - start  # "until the end of the file"
        if size < content - start:
            return
        yield kind, content, start + size
        start += size


def _names_other_files(file: BinaryIO) -> bool:
    """True if a track's data reference is not 'in this file', or the movie is only a list of other movies."""
    pending = [(0, file.seek(0, os.SEEK_END))]
    while pending:
        first, stop = pending.pop()
        for kind, start, end in _boxes(file, first, stop):
            end = min(end, stop)  # a child that claims more than its parent would be walked again after it
            if kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
                pending.append((start, end))
            elif kind in (b"rmra", b"rmda", b"rdrf"):
                return True
            elif kind == b"dref":
                for _, entry, entry_end in _boxes(file, start + 8, end):
                    file.seek(entry)
                    flags = file.read(4)
                    if len(flags) == 4 and not flags[3] & 1 and entry_end - entry > 5:
                        return True
    return False


def _png_has_animation(file: BinaryIO) -> bool:
    """True if an acTL chunk comes before the first image data."""
    file.seek(8)
    for _ in range(64):
        header = file.read(8)
        if len(header) < 8 or header[4:] == b"IDAT":
            return False
        if header[4:] == b"acTL":
            return True
        file.seek(struct.unpack(">I", header[:4])[0] + 4, os.SEEK_CUR)
    return False


def stated_size(file: BinaryIO, kind: str) -> tuple[int, int]:
    """(width, height) in the header of a GIF or PNG; FFmpeg would refuse a huge one without saying why."""
    file.seek(6 if kind == "gif" else 16)
    data = file.read(8)
    return struct.unpack("<HH", data[:4]) if kind == "gif" else struct.unpack(">II", data)


def _ebml_segment_end(file: BinaryIO) -> int:
    """Where the Matroska segment should end; 0 when it does not say (a live recording)."""
    file.seek(0)
    head, at = file.read(4096), 4
    header_size, width = _ebml_number(head, at)
    at += width + header_size
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    segment_size, width = _ebml_number(head, at + 4)
    unknown = segment_size == (1 << 7 * width) - 1
    return 0 if unknown else at + 4 + width + segment_size


def _ebml_number(data: bytes, at: int) -> tuple[int, int]:
    """(value, bytes used) of a variable-length EBML number."""
    if at >= len(data) or data[at] == 0:
        raise struct.error("not an EBML number")
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return value, width
