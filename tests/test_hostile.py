"""Files that lie, point elsewhere, are broken or too large: refused in words, or read as far as they go."""

import contextlib
import io
import os
import select
import socket
import struct
import threading

import av
import av.error
import clips
import pytest
from hostile import put, refused
from PIL import Image

from stm_core.errors import LimitError, VideoError
from stm_core.media.containers import FORMATS, container_of, open_container
from stm_core.media.limits import SAFE_LIMITS
from stm_core.media.signatures import kind_of
from stm_core.media.video import VideoLimits, read_video


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


def test_boxes_that_claim_more_than_their_parent_are_walked_once():
    pair = struct.pack(">I4sI4s", 16, b"moov", 0x7FFFFFFF, b"moov")
    data = struct.pack(">I4s8s", 16, b"ftyp", b"isom") + 40 * pair  # twice the work for each pair, once
    reads = ReadCounter(data)
    assert kind_of(reads, "clip.mp4") == "mp4"
    assert reads.count < 200


class ReadCounter(io.BytesIO):
    """A file that counts how often it is read, and gives up instead of being read for years."""

    count = 0

    def read(self, size=-1):
        self.count += 1
        assert self.count < 10_000
        return super().read(size)


def test_a_limit_above_what_ffmpeg_counts_refuses_nothing(good):
    assert len(list(read_video(good["mkv"], VideoLimits(max_pixels=99_999_999_999)))) > 0


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


def open_files() -> set[str]:
    """What this process holds open: names of files, `socket:[number]`, `pipe:[number]`."""
    links = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed them is closed again
            links.add(os.readlink(f"/proc/self/fd/{number}"))
    return links


def test_nothing_but_the_file_itself_is_held_open(good):
    before = open_files()
    with read_video(good["mkv"]) as reader:
        next(reader)
        assert open_files() - before == {str(good["mkv"])}
    assert open_files() <= before


def test_no_address_in_a_file_is_asked(tmp_path):
    """Neither by our reader nor by FFmpeg as we open it; opened without care, the same file asks at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        path = put(tmp_path, "clip.m3u8", text.encode())
        refused(path, "never opened")
        for kind in FORMATS:
            with pytest.raises(VideoError, match="cannot be read"):
                open_container(path, kind, SAFE_LIMITS)
        assert not select.select([server], [], [], 0.1)[0]
        careless = threading.Thread(target=opens_carelessly, args=[path])
        careless.start()
        with server.accept()[0] as connection:
            assert connection.recv(100).startswith(b"GET /a.ts")
        careless.join(20)


def opens_carelessly(path):
    with contextlib.suppress(av.error.FFmpegError):
        av.open(str(path), options={"protocol_whitelist": "file,http,tcp"}).close()
