"""What may be opened as a clip: only real containers, known by their first bytes and never by their name.

A file that names other files or addresses (playlist, concat script, SDP, DASH, a QuickTime reference movie) is refused
before FFmpeg sees it; FFmpeg is then told the one format to use, may use no protocol but `file`, and knows a short list
of codecs only.  No path reaches it as a protocol string: every name becomes an absolute path behind `file:`.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import av.error

from stm_core.errors import LimitError, OptionError, VideoError

# our name of the container -> FFmpeg's name of its demuxer
FORMATS = {
    "mp4": "mov", "mov": "mov", "webm": "matroska", "mkv": "matroska", "avi": "avi", "gif": "gif", "apng": "apng",
}
ACCEPTED = "MP4, MOV, WebM, MKV, AVI, GIF, APNG, animated WebP, a folder of pictures or a ZIP of pictures"
VIDEO_CODECS = (
    "h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "libdav1d", "av1", "mpeg4", "mpeg2video", "mpeg1video", "h263",
    "msmpeg4", "msmpeg4v2", "mjpeg", "prores", "dnxhd", "cfhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "qtrle", "rawvideo",
    "v210", "dvvideo", "theora", "gif", "apng", "png",
)
AUDIO_CODECS = (
    "aac", "mp3", "mp3float", "mp2", "mp2float", "opus", "libopus", "vorbis", "flac", "alac", "ac3", "eac3", "dca",
    "amrnb", "amrwb", "wmav2", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be",
    "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_alaw", "pcm_mulaw",
)
STILL_NAMES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
STILL_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
# first bytes of a text that points elsewhere -> what it is
POINTERS = (
    (b"#EXTM3U", "a playlist (M3U8)"), (b"[playlist]", "a playlist (PLS)"), (b"ffconcat", "a concat script"),
    (b"v=0", "a session description (SDP)"), (b"<?xml", "an XML text (a DASH manifest?)"), (b"<MPD", "a DASH manifest"),
    (b"<smil", "a SMIL playlist"), (b"RTSPtext", "a stream address"), (b"http", "an address"), (b"[Reference]", "a playlist"),
)


@dataclass(frozen=True)
class VideoLimits:
    """The largest clip that is accepted; None = no limit.  Safe for strangers' files on an ordinary machine."""

    max_bytes: int | None = 2 * 2**30       # size of the file, or of all pictures of a folder or ZIP, unpacked
    max_pixels: int | None = 4096 * 2304    # width x height of a frame
    max_frames: int | None = 108_000        # an hour at 30 frames a second
    max_seconds: float | None = 3600.0

    def __post_init__(self):
        for name in ("max_bytes", "max_pixels", "max_frames", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise OptionError(f"VideoLimits.{name} is {value!r}; give a number above 0, or None for no limit")

    def check_bytes(self, size: int, name: str) -> None:
        """Raises LimitError when `size` bytes are too many."""
        if self.max_bytes is not None and size > self.max_bytes:
            raise LimitError(f"{name} is {size / 2**20:,.1f} MB, the limit is {self.max_bytes / 2**20:,.1f} MB; "
                             "cut it shorter or compress it")

    def check_pixels(self, width: int, height: int, name: str) -> None:
        """Raises LimitError when a frame of this size has too many pixels."""
        if self.max_pixels is not None and width * height > self.max_pixels:
            raise LimitError(f"{name} has frames of {width}x{height} = {width * height:,} pixels, the limit is "
                             f"{self.max_pixels:,}; scale it down first")

    def check_frames(self, frames: int, name: str) -> None:
        """Raises LimitError when there are too many frames."""
        if self.max_frames is not None and frames > self.max_frames:
            raise LimitError(f"{name} has {frames:,} frames or more, the limit is {self.max_frames:,}; cut it shorter")

    def check_seconds(self, seconds: float, name: str) -> None:
        """Raises LimitError when the clip lasts too long."""
        if self.max_seconds is not None and seconds > self.max_seconds:
            raise LimitError(f"{name} lasts {seconds:,.1f} s, the limit is {self.max_seconds:,.1f} s; cut it shorter")


def container_of(path: str | os.PathLike, limits: VideoLimits = VideoLimits()) -> str:
    """The kind of clip that `path` is: a key of FORMATS, or "webp", "zip", "folder".

    Decided by the first bytes.  Raises VideoError for everything that is not a clip, LimitError for too large a file.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return "folder"
        if not path.exists():
            raise VideoError(f"there is no file or folder {path.name!r}; check the path")
        if not path.is_file():
            raise VideoError(f"{path.name!r} is not an ordinary file; give a video file or a folder of pictures")
        size = path.stat().st_size
        if size == 0:
            raise VideoError(f"{path.name!r} is empty (0 bytes); upload or copy it again")
        limits.check_bytes(size, path.name)
        with path.open("rb") as file:
            kind = _sniff(file, path.name)
    except (OSError, ValueError) as error:      # ValueError: a path with a null byte
        raise VideoError(f"cannot read {path.name!r}: {getattr(error, 'strerror', None) or error}") from error
    if kind in FORMATS and kind != "apng" and path.suffix.lower() in STILL_NAMES:
        raise VideoError(f"{path.name!r} has the name of a picture but is {kind.upper()} video; rename it to .{kind}")
    return kind


def open_container(path: Path, kind: str, limits: VideoLimits) -> av.container.InputContainer:
    """Open a file that container_of() called `kind`, with everything switched off that could reach another file."""
    options = {
        "format_whitelist": FORMATS[kind],
        "protocol_whitelist": "file",
        "codec_whitelist": ",".join(VIDEO_CODECS + AUDIO_CODECS),
    }
    if FORMATS[kind] == "mov":
        options |= {"enable_drefs": "0", "use_absolute_path": "0"}
    if limits.max_pixels is not None:
        options["max_pixels"] = str(limits.max_pixels)
    try:
        return av.open(file_url(path), format=FORMATS[kind], options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        if isinstance(error, av.error.InvalidDataError) and kind in ("mp4", "mov"):
            raise VideoError(f"{path.name!r} is a {kind.upper()} file that cannot be read: its index is missing or damaged, "
                             "as when an upload or recording stops early; export or upload it again") from error
        raise VideoError(f"{path.name!r} looks like {kind.upper()} but cannot be read; convert it to MP4 (H.264)") from error


def file_url(path: Path) -> str:
    """An absolute `file:` name: the path can hold colons, percent signs or dashes and still means only itself."""
    return "file:" + os.path.abspath(path)


def cut_short(path: Path, kind: str) -> bool:
    """True if the container's own lengths reach past the end of the file: the end of the clip is missing."""
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


def _sniff(file: BinaryIO, name: str) -> str:
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
        if head[12:16] == b"VP8X" and head[20] & 0x02:
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
            raise VideoError(f"{name!r} is {what}, which names other files or addresses and is never opened; "
                             "give the video file itself")
    raise VideoError(f"{name!r} is not a clip that can be read; expected {ACCEPTED}")


def _still(name: str, what: str) -> VideoError:
    return VideoError(f"{name!r} is a single {what} picture, not a clip; give a video, or a folder or ZIP of pictures")


def _sniff_mov(file: BinaryIO, head: bytes, name: str) -> str:
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "
    if brand in STILL_BRANDS:
        raise _still(name, brand.decode().upper())
    if _names_other_files(file):
        raise VideoError(f"{name!r} is a reference movie: its pictures lie in another file, which is never opened; "
                         "export it as a self-contained movie")
    return "mov" if brand == b"qt  " else "mp4"


def _boxes(file: BinaryIO, start: int, stop: int):
    """(type, start of content, end) of the MP4 boxes between two offsets; stops at the first that makes no sense."""
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
            size = stop - start         # "until the end of the file"
        if size < content - start:
            return
        yield kind, content, start + size
        start += size


def _names_other_files(file: BinaryIO) -> bool:
    """True if a track's data reference is not 'in this file', or the movie is only a list of other movies."""
    pending = [(0, file.seek(0, os.SEEK_END))]
    while pending:
        for kind, start, end in _boxes(file, *pending.pop()):
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


def _ebml_segment_end(file: BinaryIO) -> int:
    """Where the Matroska segment should end; 0 when it does not say (a live recording)."""
    file.seek(0)
    head, at = file.read(4096), 4
    header_size, width = _ebml_number(head, at)
    at += width + header_size
    if head[at:at + 4] != b"\x18\x53\x80\x67":
        return 0
    segment_size, width = _ebml_number(head, at + 4)
    unknown = segment_size == (1 << 7 * width) - 1
    return 0 if unknown else at + 4 + width + segment_size


def _ebml_number(data: bytes, at: int) -> tuple[int, int]:
    """(value, bytes used) of a variable-length EBML number."""
    if at >= len(data) or data[at] == 0:
        raise struct.error("not an EBML number")
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at:at + width], "big") & ((1 << 7 * width) - 1)
    return value, width
