"""What may be opened as a clip, and how: FFmpeg's own probe decides, out of a short list of real containers.

Only the first bytes count, never the name.  FFmpeg may use these containers, no protocol but `file`, and a
short list of codecs; no path reaches it as a protocol string.  A text that names other files or addresses
(playlist, concat script, SDP, DASH) is refused before FFmpeg sees it, and so is a movie that says its
pictures lie elsewhere.
"""

import io
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import av.error

from stm_core.errors import FOLDER, VideoError
from stm_core.media.limits import VideoLimits, decoder_pixels

ACCEPTED = (
    "MP4, MOV, WebM, MKV, AVI, MPEG-TS (.ts, .mts, .m2ts), GIF, APNG, animated WebP, "
    f"{FOLDER}a ZIP of pictures"
)
FORMATS = "mov,matroska,avi,mpegts,gif,apng"  # FFmpeg's names of what it may open
VIDEO_CODECS = (
    "h264 hevc vp8 vp9 libvpx libvpx-vp9 libdav1d av1 mpeg4 mpeg2video mpeg1video h263 msmpeg4 msmpeg4v2 "
    "mjpeg prores dnxhd cfhd ffv1 huffyuv ffvhuff utvideo qtrle rawvideo v210 dvvideo theora gif apng png"
).split()
AUDIO_CODECS = (
    "aac aac_latm mp3 mp3float mp2 mp2float opus libopus vorbis flac alac ac3 eac3 dca amrnb amrwb wmav2 "
    "adpcm_ms adpcm_ima_wav adpcm_ima_qt pcm_u8 pcm_s8 pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le "
    "pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_alaw pcm_mulaw pcm_bluray"
).split()
STILL_NAMES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
POINTERS = (  # beginnings of texts that name other files or addresses
    (rb"#EXTM3U|\[playlist\]|\[Reference\]", "a playlist"),
    (rb"ffconcat", "a concat script"),
    (rb"v=0", "a session description (SDP)"),
    (rb"<\?xml|<MPD|<smil", "an XML text (a DASH manifest?)"),
    (rb"RTSPtext|http", "an address"),
)
HEIC = rb".{4}ftyp(hei[cxms]|hev[cx]|mif1|msf1|avi[fs])"
HINTS = (  # beginnings of files that people mistake for clips
    (HEIC, "a single HEIC or AVIF picture"),
    (rb".{4}(ftyp|moov|mdat|wide|free|skip|pnot)", "MP4 or MOV without its index: its end is missing"),
    (rb"\x89PNG", "a single PNG picture"),
    (rb"\xff\xd8\xff", "a single JPEG picture"),
    (rb"RIFF.{4}WEBP", "a single WebP picture"),
    (rb"BM.{4}\0{4}", "a single BMP picture"),
    (rb"II\*\0|MM\0\*", "a single TIFF picture"),
    (rb"%PDF", "a PDF document"),
    (rb"Rar!|7z\xbc\xaf|\x1f\x8b", "an archive, but not a ZIP"),
    (rb"ID3|fLaC|RIFF.{4}WAVE|\xff[\xf2-\xfb]", "a file with sound only"),
    (rb"OggS|FLV\x01|\x30\x26\xb2\x75|\0\0\x01\xba", "in a format that is not read (Ogg, FLV, WMV, MPEG-PS)"),
    (rb"\s*<|[\t\r\n -~]{3,}\Z", "a web page or another text"),
)
MOST_INDEX = 2**26  # bytes of an MP4's index that are looked through
TS_PACKETS = (188, 192, 204)  # bytes: broadcast, camcorder (.m2ts), with error correction


def kind_of_pictures(path: Path, limits: VideoLimits) -> str | None:
    """The kind of a clip of pictures ("folder", "zip" or "webp"); None for a file that FFmpeg opens.

    Raises VideoError when the file is missing or cannot be a clip, LimitError when it is too large.
    """
    try:
        if path.is_dir():
            return "folder"
        if not path.exists():
            raise VideoError(f"there is no file or folder {path.name!r}; check the path")
        if not path.is_file():
            raise VideoError(
                f"{path.name!r} is not an ordinary file; give a video file or a folder of pictures"
            )
        size = path.stat().st_size
        if size == 0:
            raise VideoError(f"{path.name!r} is empty (0 bytes); upload or copy it again")
        limits.check_bytes(size, path.name)
        head = _head(path)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise VideoError(f"cannot read {path.name!r}: {getattr(error, 'strerror', None) or error}") from error
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & 0x02:
        return "webp"
    return None


def open_container(path: Path, limits: VideoLimits) -> tuple[av.container.InputContainer, str]:
    """(container, kind) of a file, with everything switched off that could reach another file.

    kind: mp4, mov, webm, mkv, avi, ts, gif or apng.  Raises VideoError for everything else.
    """
    head = b""
    options = {
        "format_whitelist": FORMATS,
        "protocol_whitelist": "file",
        "codec_whitelist": ",".join(VIDEO_CODECS + AUDIO_CODECS),
        "max_pixels": str(decoder_pixels(limits)),
        "enable_drefs": "0",  # of MP4 and MOV: references to other files
        "use_absolute_path": "0",
    }
    try:
        head = _head(path)
        _refuse_unopened(path, head)
        limits.check_pixels(*_stated_size(head), path.name)
        container = av.open(file_url(path), options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _no_clip(path, head) from error
    kind = _kind(container.format.name, head)
    if kind != "apng" and path.suffix.lower() in STILL_NAMES:
        container.close()
        raise VideoError(
            f"{path.name!r} has the name of a picture but is {kind.upper()} video; rename it to .{kind}"
        )
    return container, kind


def zero_of(container: av.container.InputContainer) -> float:
    """Seconds of the container's own clock that count as 0: an MPEG-TS begins at any time of the day."""
    return (container.start_time or 0) / av.time_base if container.format.name == "mpegts" else 0.0


def file_url(path: Path) -> str:
    """An absolute `file:` name: colons, percent signs and dashes in it mean only themselves."""
    return "file:" + os.path.abspath(path)


def cut_short(path: Path, kind: str) -> bool:
    """True if the container's own lengths reach past the end of the file: the end of the clip is missing."""
    if not path.exists():
        return False  # it was removed meanwhile; all frames that were wanted have been decoded
    size, head = path.stat().st_size, _head(path)
    with path.open("rb") as file:
        if kind in ("mp4", "mov"):
            return any(end > size for _, _, end in _boxes(file, 0, size))
        if kind == "avi":
            return int.from_bytes(head[4:8], "little") + 8 > size
        if kind in ("mkv", "webm"):
            return _matroska_end(head) > size
        if kind == "ts":
            return _torn(head, size)
        file.seek(max(0, size - 64))
        return b"\x3b" not in file.read()[-4:] if kind == "gif" else b"IEND" not in file.read()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _kind(format_name: str, head: bytes) -> str:
    """Our name of a container; FFmpeg has one for MP4 and MOV, and one for MKV and WebM."""
    if format_name.startswith("mov"):
        return "mp4" if head[4:8] == b"ftyp" and head[8:12] != b"qt  " else "mov"
    if format_name.startswith("matroska"):
        return "webm" if b"webm" in head[:64] else "mkv"
    return {"mpegts": "ts"}.get(format_name, format_name)


def _stated_size(head: bytes) -> tuple[int, int]:
    """(width, height) in the head of a GIF or APNG; FFmpeg refuses huge ones without saying why."""
    if head[:4] == b"GIF8" and len(head) > 9:
        return struct.unpack("<HH", head[6:10])
    if head[:4] == b"\x89PNG" and b"acTL" in head:
        return struct.unpack(">II", head[16:24])
    return 0, 0


def _refuse_unopened(path: Path, head: bytes) -> None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for beginning, what in POINTERS:
        if re.match(beginning, text, re.IGNORECASE):
            raise VideoError(
                f"{path.name!r} is {what}, which names other files or addresses and is never opened; "
                "give the video file itself"
            )
    if re.match(HEIC, head, re.DOTALL):
        raise _no_clip(path, head)
    if _names_other_files(path):  # every file is checked: what FFmpeg takes for MP4 may begin with anything
        raise VideoError(
            f"{path.name!r} is a reference movie: its pictures lie in another file, which is never opened; "
            "export it as a self-contained movie"
        )


def _no_clip(path: Path, head: bytes) -> VideoError:
    """The error for a file that FFmpeg could not open, with the reason if its first bytes show it."""
    if not path.exists():
        return VideoError(f"{path.name!r} is no longer there; give it again")
    hints = (what for beginning, what in HINTS if re.match(beginning, head, re.DOTALL))
    what = next(hints, "damaged, or of an unknown kind")
    return VideoError(f"can't read {path.name!r} as a clip: it is {what}; try {ACCEPTED}")


def _names_other_files(path: Path) -> bool:
    """True for an MP4 with a track whose data is not "in this file", or that is only a list of movies."""
    with path.open("rb") as file:
        for kind, start, end in _boxes(file, 0, path.stat().st_size):
            if kind == b"moov":
                file.seek(start)
                index = file.read(min(end - start, MOST_INDEX))
                if _points_away(index):
                    return True
    return False


def _points_away(index: bytes) -> bool:
    file = io.BytesIO(index)
    if any(kind == b"rmra" for kind, _, _ in _boxes(file, 0, len(index))):
        return True
    for found in re.finditer(rb"(.{4})dref", index, re.DOTALL):
        stop = min(found.start() + int.from_bytes(found[1]), len(index))
        for _, at, end in _boxes(file, found.end() + 8, stop):
            if end - at > 5 and index[at + 3 : at + 4] and not index[at + 3] & 1:  # flag 1: in this file
                return True
    return False


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
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


def _matroska_end(head: bytes) -> int:
    """Where the Matroska segment should end; 0 when it does not say (a live recording)."""
    at = head.find(b"\x18\x53\x80\x67") + 4
    if at < 4 or not head[at : at + 1] or not head[at]:
        return 0
    width = 9 - head[at].bit_length()  # of a number whose first byte says how long it is
    unknown = (1 << 7 * width) - 1
    length = int.from_bytes(head[at : at + width]) & unknown
    return 0 if length == unknown else at + width + length


def _torn(head: bytes, size: int) -> bool:
    """True if an MPEG-TS ends in the middle of a packet."""
    for start in range(max(TS_PACKETS)):
        for length in TS_PACKETS:
            if head[start : start + 3 * length + 1 : length] == b"\x47" * 4:
                first = start - 4 if length == 192 else start  # a camcorder writes a time before each
                return (size - first) % length != 0
    return False
