"""The kinds of video that are written: H.264 MP4 that every browser plays, VP9 WebM and ProRes with alpha."""

from typing import NamedTuple

from stm_core.errors import LimitError


class Kind(NamedTuple):
    """How a kind of video is written; longest: pixels of a side that its codec takes."""

    muxer: str
    codec: str
    format: str
    channels: int
    options: dict[str, str]
    longest: int
    sound: bool = True


KINDS = {
    # superfast: 9 ms of one core for a busy 854x480 frame, half of veryfast at the same PSNR and file size
    "mp4": Kind(
        *("mp4", "libx264", "yuv420p", 3),
        {"preset": "superfast", "crf": "22", "forced-idr": "1"},
        longest=16384,
    ),
    # so fine that black and white come back at every pixel
    "matte": Kind(
        *("mp4", "libx264", "yuv420p", 3),
        {"preset": "superfast", "crf": "4", "forced-idr": "1"},
        longest=16384,
        sound=False,
    ),
    "webm-alpha": Kind(
        *("webm", "libvpx-vp9", "yuva420p", 4),
        {
            "deadline": "realtime",
            "cpu-used": "7",
            "row-mt": "1",
            "crf": "24",
            "b": "0",
            "auto-alt-ref": "0",
        },
        longest=65536,
    ),
    "prores4444": Kind(
        *("mov", "prores_ks", "yuva444p10le", 4),
        {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"},
        longest=65535,
    ),
}


def check_sides(name: str, width: int, height: int, kind: str = "mp4") -> None:
    """Raises LimitError when frames of this size are too wide or high for this kind.  name: of the file."""
    most = KINDS[kind].longest
    if max(width, height) > most:
        raise LimitError(
            f"{name!r} cannot have frames of {width}x{height}: its codec takes at most {most:,} pixels "
            "per side; scale the clip down first"
        )
