"""Files that lie, point elsewhere, are broken or too large: refused in words, or read as far as they go."""

import io
import os
import random
import struct
import zipfile
import zlib

import av
import clips
import numpy as np
import pytest
from PIL import Image

from stm_core.containers import container_of
from stm_core.errors import LimitError, StmError, VideoError
from stm_core.video import VideoLimits, probe, read_video

SECRET = b"\x89PNG of a secret"


def refused(path, *words, kind=VideoError, **options):
    """The sentence with which probe and read_video refuse `path`."""
    sentences = []
    for attempt in (lambda: probe(path, **options), lambda: list(read_video(path, **options))):
        with pytest.raises(kind) as caught:
            attempt()
        sentences.append(str(caught.value))
        assert "\n" not in sentences[-1] and len(sentences[-1]) < 300
        for word in words:
            assert word in sentences[-1]
    return sentences[-1]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return clips.every_kind(tmp_path_factory.mktemp("good"), frames=40)


def put(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".png", ".txt", ""])
@pytest.mark.parametrize(
    "text, what",
    [
        ("#EXTM3U\n#EXTINF:1,\nhttp://example.org/a.ts\n", "playlist"),
        ("\ufeff#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "playlist"),
        ("ffconcat version 1.0\nfile '/etc/passwd'\n", "concat"),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "SDP"),
        ("<?xml version='1.0'?><MPD><BaseURL>http://example.org</BaseURL></MPD>", "DASH"),
        ("<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>", "DASH"),
        ("[playlist]\nFile1=http://example.org/a.mp4\n", "playlist"),
        ("http://example.org/a.mp4\n", "address"),
    ],
)
def test_texts_that_point_elsewhere_are_refused(tmp_path, suffix, text, what):
    refused(put(tmp_path, "clip" + suffix, text.encode()), what, "never opened")


@pytest.mark.parametrize(
    "data",
    [
        b"file '/etc/passwd'\n",
        b"hello",
        b"\0" * 5000,
        os.urandom(3000),
        b"ID3\x04" + b"\0" * 500,
        b"OggS" + b"\0" * 500,
        b"FLV\x01\x05" + b"\0" * 100,
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\x1a\x45\xdf\xa3" + b"\0" * 99,
    ],
)
def test_what_is_no_clip_is_refused_with_the_list_of_what_is(tmp_path, data):
    refused(put(tmp_path, "clip.mp4", data), "MP4, MOV, WebM, MKV, AVI, GIF")


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x18ftypisom" + b"\0" * 400,
        b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska" + b"\0" * 400,
        b"GIF89a" + b"\0" * 7,
        b"RIFF\xff\xff\0\0AVI LIST" + b"\0" * 300,
        b"PK\x03\x04" + b"\0" * 100,
        b"PK\x05\x06" + b"\0" * 18,
        b"RIFF\x60\0\0\0WEBPVP8X\x0a\0\0\0\x02" + b"\0" * 80,
        b"\0\0\0\x08moov",
        b"\0\0\0\0ftypisom",
    ],
)
def test_a_good_beginning_is_not_enough(tmp_path, data):
    refused(put(tmp_path, "clip.mp4", data))


def test_missing_empty_and_strange_paths(tmp_path):
    refused(tmp_path / "none.mp4", "there is no file")
    refused(put(tmp_path, "empty.mp4", b""), "empty (0 bytes)")
    refused("/dev/zero", "not an ordinary file")
    refused("a\0b.mp4")
    refused(None, "by its path")
    refused("http://127.0.0.1:9/clip.mp4", "there is no file")
    refused("concat:/etc/passwd|/etc/hosts", "there is no file")
    (tmp_path / "bare").mkdir()
    refused(tmp_path / "bare", "holds no pictures")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_a_single_picture_is_no_clip(tmp_path, form):
    Image.fromarray(clips.frame(0)).save(tmp_path / "photo.mp4", form)
    refused(tmp_path / "photo.mp4", "single", "picture")


def test_a_phone_photo_is_no_clip(tmp_path):
    refused(
        put(tmp_path, "photo.mp4", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99), "single HEIC picture"
    )


def test_video_under_a_pictures_name_is_refused(tmp_path, good):
    for kind in ("mkv", "mp4", "avi", "gif"):
        refused(put(tmp_path, f"{kind}.png", good[kind].read_bytes()), "name of a picture")
    folder = clips.write_folder(tmp_path / "frames", 3)
    (folder / "00001.png").write_bytes(good["mkv"].read_bytes())
    with pytest.raises(VideoError, match="'00001.png' is not a picture"):
        list(read_video(folder))


def test_extensions_do_not_matter_otherwise(tmp_path, good):
    for kind in ("webm", "avi", "gif", "mov"):
        assert container_of(put(tmp_path, f"{kind}.mp4", good[kind].read_bytes())) == kind


def boxes(data, *path):
    """Offset of the MP4 box at that path of types, and those of its parents."""
    at, stop, found = 0, len(data), []
    for wanted in path:
        while at < stop:
            size, kind = struct.unpack(">I4s", data[at : at + 8])
            if kind == wanted:
                break
            at += size
        found.append(at)
        stop, at = at + size, at + (16 if wanted == b"dref" else 8)
    return found


def with_reference(data, entry):
    """The movie with its data reference replaced by `entry`; works while moov stands at the end."""
    places = boxes(data, b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    start = places[-1] + 16
    old = struct.unpack(">I", data[start : start + 4])[0]
    data = bytearray(data[:start] + entry + data[start + old :])
    for place in places:
        size = struct.unpack(">I", data[place : place + 4])[0]
        data[place : place + 4] = struct.pack(">I", size + len(entry) - old)
    return bytes(data)


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize(
    "entry",
    [
        box(b"url ", b"\0\0\0\0http://example.org/pictures.mov\0"),
        box(b"alis", b"\0\0\0\0" + b"\0" * 150),
        box(b"urn ", b"\0\0\0\0secret\0file:///etc/passwd\0"),
    ],
)
def test_movies_whose_pictures_lie_elsewhere_are_refused(tmp_path, good, entry):
    data = good["mp4"].read_bytes()
    assert container_of(put(tmp_path, "same.mp4", with_reference(data, box(b"url ", b"\0\0\0\1")))) == "mp4"
    refused(put(tmp_path, "clip.mp4", with_reference(data, entry)), "reference movie", "never opened")


def test_lists_of_movies_are_refused(tmp_path):
    target = box(b"rdrf", b"\0\0\0\0url " + struct.pack(">I", 20) + b"http://example.org/\0")
    data = box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"rmra", box(b"rmda", target)))
    refused(put(tmp_path, "clip.mov", data), "reference movie")


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        clips.write_tone(out, out.add_stream("aac", rate=48000, layout="stereo"), 1)
    refused(path, "only sound")


@pytest.mark.parametrize("kind", [*clips.CONTAINERS, "webp", "folder", "zip"])
def test_every_limit_is_kept_and_stated(good, kind):
    path = good[kind]
    refused(path, "2,000", kind=LimitError, limits=VideoLimits(max_pixels=2000))
    refused(path, "limit is 30", kind=LimitError, limits=VideoLimits(max_frames=30))
    refused(path, "limit is 1.0 s", kind=LimitError, limits=VideoLimits(max_seconds=1))
    refused(path, "limit is 0.0 MB", kind=LimitError, limits=VideoLimits(max_bytes=500))


def test_frames_are_counted_while_decoding_too(good):
    limits = VideoLimits(max_frames=40)
    assert len(list(read_video(good["mkv"], limits))) == 40


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


def test_frames_of_two_sizes_are_refused(tmp_path):
    folder = clips.write_folder(tmp_path / "frames", 3)
    Image.fromarray(clips.frame(1, (50, 60))).save(folder / "00001.png")
    with pytest.raises(VideoError, match="'00001.png' is 60x50, the first picture is 128x96"):
        list(read_video(folder))


def test_a_truncated_mp4_without_its_index_is_refused(tmp_path, good):
    data = good["mp4"].read_bytes()
    refused(put(tmp_path, "cut.mp4", data[: len(data) // 2]), "index is missing", "upload it again")


@pytest.mark.parametrize("kind", [*clips.CONTAINERS, "webp"])
def test_a_truncated_clip_gives_what_decodes_and_says_so(tmp_path, good, kind):
    source = good[kind]
    if kind in ("mp4", "mov"):
        source = clips.write(
            tmp_path / f"fast.{kind}", kind, frames=40, muxer_options={"movflags": "+faststart"}
        )
    data = source.read_bytes()
    path = put(tmp_path, f"cut.{kind}", data[: len(data) * 6 // 10])
    with read_video(path) as reader:
        numbers = [clips.number_of(frame) for frame in reader]
    assert 5 <= len(numbers) < 40
    whole = numbers[:-2]  # the last ones may be half a picture
    assert whole == list(range(len(whole)))
    assert any("cut short" in warning for warning in reader.warnings), reader.warnings
    assert probe(path, count=True).frames == len(numbers)
    assert len(list(read_video(path, reverse=True))) == len(numbers)


@pytest.mark.parametrize("kind", ["mp4", "webm", "mkv", "avi"])
def test_damage_in_the_middle_does_not_end_the_clip(tmp_path, good, kind):
    data = bytearray(good[kind].read_bytes())
    middle = len(data) * 6 // 10  # in the pictures, not in the head or index
    data[middle : middle + 40] = bytes(range(40))
    with read_video(put(tmp_path, f"hurt.{kind}", bytes(data))) as reader:
        assert len(list(reader)) >= 10


@pytest.mark.parametrize("kind", [*clips.CONTAINERS, "webp", "zip"])
def test_random_damage_never_escapes_as_another_error(tmp_path, good, kind):
    data = good[kind].read_bytes()
    rng = random.Random(kind)
    for n in range(12):
        hurt = bytearray(data)
        for _ in range(rng.choice((1, 4, 40))):
            hurt[rng.randrange(min(len(hurt), rng.choice((64, 1024, len(hurt)))))] = rng.randrange(256)
        path = put(tmp_path, f"{n}.bin", bytes(hurt))
        try:
            with read_video(path, VideoLimits(max_pixels=10**6, max_frames=1000, max_seconds=100)) as reader:
                for frame in reader:
                    assert frame.dtype == np.uint8 and frame.ndim == 3
        except StmError as error:
            assert "\n" not in str(error)


def test_nothing_but_the_file_itself_is_opened(tmp_path, good):
    """A reader that follows no reference opens only the clip: watched through Python's audit and /proc."""
    with read_video(good["mkv"]) as reader:
        next(reader)
        open_files = {
            os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        }
    assert str(good["mkv"]) in open_files
    assert not any("socket:" in name and "inet" in name for name in open_files)
