"""What may be opened as a clip: only real containers, known by their first bytes and never by their name.

A file that names other files or addresses (playlist, concat script, SDP, DASH, a QuickTime reference movie)
is refused before FFmpeg sees it; FFmpeg is then told the one format to use, may use no protocol but `file`,
and knows a short list of codecs only.  No path reaches it as a protocol string: every name becomes an
absolute path behind `file:`.
"""

import os
import struct
from pathlib import Path

import av
import av.error

from stm_core.errors import VideoError
from stm_core.media.limits import SAFE_LIMITS, VideoLimits, decoder_pixels
from stm_core.media.signatures import kind_of, stated_size

# our name of the container -> FFmpeg's name of its demuxer
FORMATS = {
    "mp4": "mov",
    "mov": "mov",
    "webm": "matroska",
    "mkv": "matroska",
    "avi": "avi",
    "gif": "gif",
    "apng": "apng",
}
VIDEO_CODECS = (
    "h264",
    "hevc",
    "vp8",
    "vp9",
    "libvpx",
    "libvpx-vp9",
    "libdav1d",
    "av1",
    "mpeg4",
    "mpeg2video",
    "mpeg1video",
    "h263",
    "msmpeg4",
    "msmpeg4v2",
    "mjpeg",
    "prores",
    "dnxhd",
    "cfhd",
    "ffv1",
    "huffyuv",
    "ffvhuff",
    "utvideo",
    "qtrle",
    "rawvideo",
    "v210",
    "dvvideo",
    "theora",
    "gif",
    "apng",
    "png",
)
AUDIO_CODECS = (
    "aac",
    "mp3",
    "mp3float",
    "mp2",
    "mp2float",
    "opus",
    "libopus",
    "vorbis",
    "flac",
    "alac",
    "ac3",
    "eac3",
    "dca",
    "amrnb",
    "amrwb",
    "wmav2",
    "adpcm_ms",
    "adpcm_ima_wav",
    "adpcm_ima_qt",
    "pcm_u8",
    "pcm_s8",
    "pcm_s16le",
    "pcm_s16be",
    "pcm_s24le",
    "pcm_s24be",
    "pcm_s32le",
    "pcm_s32be",
    "pcm_f32le",
    "pcm_f32be",
    "pcm_f64le",
    "pcm_alaw",
    "pcm_mulaw",
)
STILL_NAMES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def container_of(path: str | os.PathLike, limits: VideoLimits = SAFE_LIMITS) -> str:
    """The kind of clip that `path` is: a key of FORMATS, or "webp", "zip", "folder".

    Decided by the first bytes.  Raises VideoError for everything that is not a clip, LimitError for too
    large a file.
    """
    path = Path(path)
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
        with path.open("rb") as file:
            kind = kind_of(file, path.name)
            if kind in ("gif", "apng"):
                limits.check_pixels(*stated_size(file, kind), path.name)
    except (OSError, ValueError, struct.error) as error:  # ValueError: a path with a null byte
        raise VideoError(f"cannot read {path.name!r}: {getattr(error, 'strerror', None) or error}") from error
    if kind in FORMATS and kind != "apng" and path.suffix.lower() in STILL_NAMES:
        raise VideoError(
            f"{path.name!r} has the name of a picture but is {kind.upper()} video; rename it to .{kind}"
        )
    return kind


def open_container(path: Path, kind: str, limits: VideoLimits) -> av.container.InputContainer:
    """Open a file that container_of() called `kind`, with everything switched off that could reach another
    file.
    """
    options = {
        "format_whitelist": FORMATS[kind],
        "protocol_whitelist": "file",
        "codec_whitelist": ",".join(VIDEO_CODECS + AUDIO_CODECS),
    }
    if FORMATS[kind] == "mov":
        options |= {"enable_drefs": "0", "use_absolute_path": "0"}
    options["max_pixels"] = str(decoder_pixels(limits))
    try:
        return av.open(file_url(path), format=FORMATS[kind], options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        if isinstance(error, av.error.InvalidDataError) and kind in ("mp4", "mov"):
            raise VideoError(
                f"{path.name!r} is {kind.upper()} but cannot be read: its index is missing or damaged, "
                "as when an upload or recording stops early; export or upload it again"
            ) from error
        raise VideoError(
            f"{path.name!r} looks like {kind.upper()} but cannot be read; convert it to MP4 (H.264)"
        ) from error


def file_url(path: Path) -> str:
    """An absolute `file:` name: the path can hold colons, percent signs or dashes and still means only
    itself.
    """
    return "file:" + os.path.abspath(path)
