"""Pictures and ZIPs that lie or are too large: refused in words before they cost anything."""

import io
import struct
import zipfile
import zlib

import clips
import pytest
from hostile import put, refused
from PIL import Image

from stm_core.errors import LimitError, VideoError
from stm_core.media.video import VideoLimits, read_video


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(animated, side=60_000):
    """A PNG of 3.6 gigapixels in a few hundred bytes."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    animation = (
        png_chunk(b"acTL", struct.pack(">II", 2, 0))
        + png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, side, side, 0, 0, 1, 10, 0, 0))
        if animated
        else b""
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + animation
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 9999))
        + png_chunk(b"IEND", b"")
    )


def test_small_files_of_huge_pictures_are_refused(tmp_path):
    refused(put(tmp_path, "bomb.apng", huge_png(True)), "60000x60000", kind=LimitError)
    gif = (
        b"GIF89a"
        + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
    )
    refused(put(tmp_path, "bomb.gif", gif + b"\x02\x02\x4c\x01\0\x3b"), "65535x65535", kind=LimitError)
    (tmp_path / "frames").mkdir()
    put(tmp_path / "frames", "0.png", huge_png(False))
    refused(tmp_path / "frames", kind=LimitError)
    put(tmp_path / "frames", "0.png", huge_png(False, side=4000))
    refused(tmp_path / "frames", "4000x4000", kind=LimitError)


def make_zip(path, entries, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def picture(number=0):
    buffer = io.BytesIO()
    Image.fromarray(clips.frame(number)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\evil.png", "C:\\evil.png"]
)
def test_zip_entries_that_point_outside_are_refused(tmp_path, name):
    refused(make_zip(tmp_path / "clip.zip", {"0.png": picture(), name: picture()}), "points outside")


def test_zip_bombs_are_refused(tmp_path):
    bomb = make_zip(tmp_path / "bomb.zip", {f"{n}.png": b"\0" * 3_000_000 for n in range(4)})
    assert bomb.stat().st_size < 20_000
    refused(bomb, "unpacked", kind=LimitError, limits=VideoLimits(max_bytes=10_000_000))
    refused(
        make_zip(tmp_path / "many.zip", {f"{n}.png": b"" for n in range(2000)}),
        "limit is 1,000",
        kind=LimitError,
        limits=VideoLimits(max_frames=1000),
    )
    refused(make_zip(tmp_path / "pixels.zip", {"0.png": huge_png(False)}), kind=LimitError)


def test_a_zip_entry_that_holds_more_than_it_says_is_not_unpacked(tmp_path):
    path = make_zip(tmp_path / "lie.zip", {"0.png": b"\0" * 5_000_000})
    data = path.read_bytes().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 100))
    refused(put(tmp_path, "lie.zip", data), "0.png")


def test_other_zips_are_refused_in_words(tmp_path):
    refused(make_zip(tmp_path / "none.zip", {"readme.txt": b"hello"}), "holds no pictures")
    refused(make_zip(tmp_path / "two.zip", {"a/0.png": picture(), "b/0.png": picture()}), "2 folders")
    refused(
        make_zip(tmp_path / "nested.zip", {"0.png": (tmp_path / "two.zip").read_bytes()}), "not a picture"
    )
    whole = make_zip(tmp_path / "clip.zip", {f"{n}.png": picture(n) for n in range(9)}).read_bytes()
    refused(put(tmp_path, "cut.zip", whole[: len(whole) // 2]), "damaged ZIP")
    locked = bytearray(whole)
    for at in range(len(locked) - 4):
        if locked[at : at + 4] == b"PK\x01\x02":
            locked[at + 8] |= 1
    refused(put(tmp_path, "locked.zip", bytes(locked)), "password")


def test_mac_leftovers_in_a_zip_are_passed_over(tmp_path):
    path = make_zip(
        tmp_path / "clip.zip",
        {"c/0.png": picture(3), "__MACOSX/c/._0.png": b"x", "c/.DS_Store": b"x", "c/notes.txt": b""},
    )
    assert [clips.number_of(f) for f in read_video(path)] == [3]


def test_names_of_thousands_of_digits_are_read_in_the_order_of_their_numbers(tmp_path):
    numbers = ["9" * 4999 + "0", "1" * 5000, "2" + "0" * 4998, "0" * 4999 + "7"]
    path = make_zip(tmp_path / "c.zip", {f"{name}.png": picture(n) for n, name in enumerate(numbers)})
    assert [clips.number_of(f) for f in read_video(path)] == [3, 2, 1, 0]


def test_frames_of_two_sizes_are_refused(tmp_path):
    folder = clips.write_folder(tmp_path / "frames", 3)
    Image.fromarray(clips.frame(1, (50, 60))).save(folder / "00001.png")
    with pytest.raises(VideoError, match="'00001.png' is 60x50, the first picture is 128x96"):
        list(read_video(folder))
