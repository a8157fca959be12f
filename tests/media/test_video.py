"""Reading and writing clips: every container, order, times, the right way up, colours, sound."""

import threading
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from PIL import Image

from stm_core.media.decode import Decoder
from stm_core.media.video import probe, read_frame, read_video
from stm_core.media.write import VideoWriter

KINDS = (*clips.CONTAINERS, "webp", "folder", "zip")


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    return clips.every_kind(tmp_path_factory.mktemp("clips"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_container_gives_all_frames_in_order_upright(every, kind):
    with read_video(every[kind]) as reader:
        frames = list(reader)
    assert [clips.number_of(f) for f in frames] == list(range(20))
    assert all(f.dtype == np.uint8 and f.shape == (*clips.SIZE, 3) and f.flags.c_contiguous for f in frames)
    assert all(clips.is_upright(f) for f in frames)
    fps = 24 if kind in ("folder", "zip") else 10
    assert reader.times == pytest.approx([n / fps for n in range(20)], abs=0.0005)
    assert reader.warnings == []


@pytest.mark.parametrize("kind", KINDS)
def test_probe_tells_the_same_before_and_after_counting(every, kind):
    early, counted = probe(every[kind]), probe(every[kind], count=True)
    assert (early.container, early.width, early.height, early.frames) == (
        kind,
        clips.SIZE[1],
        clips.SIZE[0],
        20,
    )
    assert counted.frames == 20 and counted.frames_exact
    assert early.fps == pytest.approx(24 if kind in ("folder", "zip") else 10, rel=1e-3)
    assert early.seconds == pytest.approx(20 / early.fps, abs=0.002)
    assert early.rotation == 0 and early.pixel_aspect == 1 and not early.variable_rate and early.audio is None
    assert early.warnings == ()


@pytest.mark.parametrize("kind", KINDS)
def test_backwards_is_forwards_reversed(every, kind):
    numbers, reader = clips.read(every[kind], reverse=True)
    assert numbers == list(range(19, -1, -1)) and reader.indices == numbers
    assert clips.read(every[kind], start=4, stop=17, reverse=True)[0] == list(range(16, 3, -1))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_clip_that_lost_its_frames_since_it_was_probed_yields_none(tmp_path, reverse):
    path = clips.write(tmp_path / "clip.mp4", "mp4", frames=3)
    info, data = probe(path), bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    length = int.from_bytes(data[begin - 8 : begin - 4]) - 8
    data[begin : begin + length] = bytes(length)
    path.write_bytes(data)
    assert list(read_video(info, reverse=reverse)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_parts_and_single_frames(every, kind):
    assert clips.read(every[kind], start=13, stop=16)[0] == [13, 14, 15]
    assert clips.read(every[kind], start=18, stop=99)[0] == [18, 19]
    assert clips.read(every[kind], start=5, stop=5)[0] == []
    assert [clips.number_of(read_frame(every[kind], n)) for n in (15, 3, 19, 0)] == [15, 3, 19, 0]


@pytest.mark.parametrize("kind", ["mp4", "avi", "mkv", "webm", "ts"])
def test_reading_backwards_in_small_windows_crosses_key_frames(tmp_path, kind, monkeypatch):
    path = clips.write(tmp_path / f"long.{kind}", kind, frames=100, gop=30)
    monkeypatch.setattr("stm_core.media.decode.WINDOW_BYTES", 7 * clips.SIZE[0] * clips.SIZE[1] * 3)
    assert clips.read(path, reverse=True)[0] == list(range(99, -1, -1))
    assert [clips.number_of(read_frame(path, n)) for n in (80, 31, 30, 29, 99)] == [80, 31, 30, 29, 99]


def test_a_seek_in_mpeg_ts_lands_at_the_key_frame_although_it_has_no_index(tmp_path, monkeypatch):
    path, decoded = clips.write(tmp_path / "clip.ts", "ts", frames=60, gop=12), []
    probe(path, count=True)
    monkeypatch.setattr(Decoder, "passed", staticmethod(lambda: decoded.append(0)))
    for n in (59, 36, 47, 13):
        decoded.clear()
        assert clips.number_of(read_frame(path, n)) == n and len(decoded) <= 12


@pytest.mark.parametrize("codec, aspect", [("mpeg2video", Fraction(4, 3)), ("libx264", None)])
def test_a_camcorders_packets_with_times_are_read(tmp_path, codec, aspect):
    how = {"codec": codec, "aspect": aspect, "clock": Fraction(1, 25), "options": {"bf": "2"}}
    camcorder = {"mpegts_m2ts_mode": "1"}
    path = clips.write(tmp_path / "00001.MTS", "ts", frames=30, muxer_options=camcorder, gop=12, **how)
    assert len(path.read_bytes()) % 192 == 0
    info = probe(path, count=True)
    assert (info.container, info.frames, info.start) == ("ts", 30, pytest.approx(0, abs=1e-6))
    assert info.width == round(128 * (aspect or 1)) and info.warnings == ()


def test_open_gops_are_sought_rightly(tmp_path):
    path = clips.write(
        tmp_path / "open.mp4",
        frames=60,
        options={"preset": "medium", "crf": "12", "x264-params": "open-gop=1"},
    )
    probe(path, count=True)
    assert [clips.number_of(read_frame(path, n)) for n in range(59, -1, -7)] == list(range(59, -1, -7))


@pytest.mark.parametrize("kind", ["mp4", "webm", "mkv", "mov", "gif", "apng"])
def test_variable_frame_rate_times_are_exact(tmp_path, kind):
    times = [0, 0.04, 0.1, 0.5, 0.55, 1.23, 1.9, 2.0, 3.37, 3.4]
    path = clips.write(tmp_path / f"vfr.{kind}", kind, frames=10, times=times, clock=Fraction(1, 100))
    info = probe(path)
    assert info.variable_rate and info.frames == 10
    reader, _ = clips.copy(path, tmp_path / "copy.mp4")
    assert reader.times == pytest.approx(times, abs=0.001)
    assert clips.read(tmp_path / "copy.mp4")[1].times == pytest.approx(times, abs=0.001)


def test_webp_keeps_its_own_times(tmp_path):
    path = clips.write_webp(tmp_path / "vfr.webp", 4, milliseconds=[40, 200, 70, 500])
    assert clips.read(path)[1].times == pytest.approx([0, 0.04, 0.24, 0.31])
    assert probe(path).seconds == pytest.approx(0.81) and probe(path).variable_rate


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotation_metadata_is_applied(tmp_path, rotation):
    turned = {90: 1, 180: 2, -90: -1}[rotation]
    path = clips.write(
        tmp_path / "turned.mp4",
        frames=3,
        rotation=rotation,
        size=(96, 128) if turned == 2 else (128, 96),
        pictures=lambda n: np.ascontiguousarray(np.rot90(clips.frame(n), -turned)),
    )
    with read_video(path) as reader:
        frames = list(reader)
    assert reader.info.rotation == rotation % 360
    assert (reader.info.height, reader.info.width) == frames[0].shape[:2] == (96, 128)
    assert clips.is_upright(frames[2]) and clips.number_of(frames[2]) == 2


@pytest.mark.parametrize(
    "aspect, expected", [(Fraction(2), (96, 256)), (Fraction(1, 2), (192, 128)), (Fraction(1, 90), (96, 128))]
)
def test_pixels_are_made_square(tmp_path, aspect, expected):
    path = clips.write(tmp_path / "wide.mp4", frames=2, aspect=aspect)
    info = probe(path)
    assert (info.height, info.width) == read_frame(path, 0).shape[:2] == expected


@pytest.mark.parametrize(
    "kind, pix_fmt, codec, depth",
    [
        ("mp4", "yuv420p10le", "libx265", 10),
        ("mkv", "yuv420p10le", "libx264", 10),
        ("webm", "yuv420p10le", "libsvtav1", 10),
        ("mkv", "yuv444p", "libx264", 8),
        ("mkv", "gray", "ffv1", 8),
        ("mov", "rgb24", "qtrle", 8),
        ("mkv", "yuvj420p", "mjpeg", 8),
        ("mp4", "yuv420p", "libsvtav1", 8),
        ("mov", "rgb24", "png", 8),
    ],
)
def test_pixel_formats(tmp_path, kind, pix_fmt, codec, depth):
    options = (
        {"x265-params": "log-level=none"}
        if codec == "libx265"
        else {"preset": "12"}
        if codec == "libsvtav1"
        else {}
    )
    path = clips.write(
        tmp_path / f"clip.{kind}",
        kind,
        frames=5,
        pix_fmt=pix_fmt,
        codec=codec,
        options=options,
        full_range=pix_fmt == "yuvj420p",
    )
    numbers, reader = clips.read(path)
    assert numbers == list(range(5)) and reader.info.bit_depth == depth


@pytest.mark.parametrize("full", [False, True])
def test_colours_survive_decode_and_encode(tmp_path, full):
    path = clips.write(tmp_path / "in.mp4", frames=3, full_range=full, pix_fmt="yuvj420p" if full else None)
    assert probe(path).full_range is full
    clips.copy(path, tmp_path / "out.mp4")
    for clip in (path, tmp_path / "out.mp4"):
        rgb = read_frame(clip, 1)
        assert np.abs(rgb[4:12, 4:12].astype(int) - clips.RED).max() <= 4
        assert np.abs(rgb[4:12, -12:-4].astype(int) - clips.GREY).max() <= 4
    with av.open(str(tmp_path / "out.mp4")) as out:
        picture = next(out.decode(video=0))
        assert picture.color_range == 1 and int(picture.colorspace) in (5, 6)


def test_large_untagged_video_is_taken_for_bt709_and_tagged_so(tmp_path):
    with VideoWriter(tmp_path / "hd.mp4", 1280, 720, fps=10) as writer:
        writer.write(np.full((720, 1280, 3), clips.RED, np.uint8), 0)
    with av.open(str(tmp_path / "hd.mp4")) as out:
        assert next(out.decode(video=0)).colorspace == 1
    assert np.abs(read_frame(tmp_path / "hd.mp4", 0)[9, 9].astype(int) - clips.RED).max() <= 3


def test_hdr_is_said(tmp_path):
    path = clips.write(tmp_path / "hdr.mkv", "mkv", frames=2, pix_fmt="yuv420p10le", hdr=True)
    info = probe(path)
    assert info.hdr and "tone mapping" in info.warnings[0]


def test_transparent_parts_are_shown_on_white(tmp_path):
    def picture(number):
        rgba = np.dstack([clips.frame(number), np.full(clips.SIZE, 255, np.uint8)])
        rgba[:20, -20:, 3] = 0
        return rgba

    path = clips.write(tmp_path / "alpha.apng", "apng", frames=3, pix_fmt="rgba", pictures=picture)
    assert (read_frame(path, 1)[5, -5] == 255).all() and probe(path).alpha


def test_pictures_are_sorted_by_number_and_turned_by_exif(tmp_path):
    clips.write_folder(tmp_path / "plain", 12, digits=1)
    assert clips.read(tmp_path / "plain")[0] == list(range(12))
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(clips.frame(5))))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "phone").mkdir()
    turned.save(tmp_path / "phone" / "a.jpg", exif=exif, quality=95)
    assert clips.number_of(read_frame(tmp_path / "phone", 0)) == 5


def test_sixteen_bit_pictures_are_scaled_not_clipped(tmp_path):
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.full((8, 8), 32768, np.uint16)).save(tmp_path / "deep" / "0.png")
    assert (read_frame(tmp_path / "deep", 0) == 128).all()


def test_a_name_cannot_be_taken_for_a_protocol_or_pattern(tmp_path, every):
    for name in ("http:x.mp4", "a%05d.mp4", "-i.mp4", "concat:a|b.mp4", "ünïcode 📼.mp4"):
        path = tmp_path / name
        path.write_bytes(every["mp4"].read_bytes())
        assert probe(path).frames == 20
        with VideoWriter(tmp_path / f"out-{name}", 128, 96, source=path) as writer:
            writer.write(clips.frame(0), 0)
        assert probe(tmp_path / f"out-{name}").frames == 1


def test_two_threads_read_one_file(every):
    found = []

    def run():
        found.append(clips.read(every["mkv"])[0])

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(20))] * 3


def test_a_closed_reader_yields_nothing_more(every):
    reader = read_video(every["mp4"])
    next(reader)
    reader.close()
    assert list(reader) == []


def test_live_recordings_without_an_index_are_read(tmp_path):
    """What a browser records: no duration, no cues, open-ended lengths."""
    path = clips.write(tmp_path / "live.webm", "webm", frames=60, gop=20, muxer_options={"live": "1"})
    info = probe(path)
    assert info.frames == 60 and info.seconds == pytest.approx(6, abs=0.11) and info.warnings == ()
    assert clips.read(path)[0] == list(range(60)) and clips.read(path, reverse=True)[0] == list(
        range(59, -1, -1)
    )
    assert [clips.number_of(read_frame(path, n)) for n in (50, 10)] == [50, 10]


def test_webp_is_read_backwards_in_windows(tmp_path, monkeypatch):
    monkeypatch.setattr("stm_core.media.pictures.WINDOW_BYTES", 7 * clips.SIZE[0] * clips.SIZE[1] * 3)
    path = clips.write_webp(tmp_path / "long.webp", 30)
    assert clips.read(path, reverse=True, start=2)[0] == list(range(29, 1, -1))


def test_a_turned_webp_is_as_large_as_its_frames(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    images = [Image.fromarray(np.ascontiguousarray(np.rot90(clips.frame(n)))) for n in range(3)]
    path = tmp_path / "phone.webp"
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, quality=90, exif=exif)
    info = probe(path)
    assert (info.height, info.width) == clips.SIZE
    frames = list(read_video(path))
    assert [frame.shape for frame in frames] == [(*clips.SIZE, 3)] * 3 and all(map(clips.is_upright, frames))


def test_a_clip_answers_to_the_path_by_which_it_was_asked(tmp_path, monkeypatch):
    path = clips.write(tmp_path / "clip.mp4", frames=3)
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", path, "./../" + tmp_path.name + "/clip.mp4"):
        for count in (False, True):
            assert probe(name, count=count).path == Path(name)
