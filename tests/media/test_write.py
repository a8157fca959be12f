"""Writing clips: what browsers play, transparency, files that are whole or not there."""

import resource

import av
import clips
import numpy as np
import pytest
from conftest import colour_model

from stm_core.engine.prompts import Prompt
from stm_core.errors import LimitError, OptionError, VideoError
from stm_core.media.kinds import KINDS
from stm_core.media.video import probe, read_frame, read_video
from stm_core.media.write import VideoWriter
from stm_core.runs.folder import run_to_folder


@pytest.mark.parametrize("size", [(97, 129), (96, 129), (97, 128), (1, 1), (35, 35)])
def test_odd_sizes_are_read_as_they_are_and_padded_when_written(tmp_path, size):
    with VideoWriter(tmp_path / "odd.mp4", size[1], size[0], fps=10) as writer:
        for n in range(3):
            writer.write(clips.frame(n, size), n / 10)
    info = probe(tmp_path / "odd.mp4")
    assert (info.height, info.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    edge = read_frame(tmp_path / "odd.mp4", 1).astype(int)
    assert np.abs(edge[:, -1] - edge[:, -2]).mean() < 12
    path = clips.write(
        tmp_path / "odd.mkv", "mkv", frames=2, size=size, codec="ffv1", pix_fmt="yuv444p", options={}
    )
    assert read_frame(path, 1).shape == (*size, 3)


def test_written_mp4_is_ready_for_browsers(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", 128, 96, fps=30) as writer:
        for n in range(100):
            writer.write(clips.frame(n), n / 30)
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    with av.open(str(tmp_path / "out.mp4")) as out:
        stream = out.streams.video[0]
        keys = [float(p.pts * p.time_base) for p in out.demux(stream) if p.is_keyframe and p.size]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert keys[:4] == pytest.approx([0, 1, 2, 3], abs=0.04)
    assert clips.read(tmp_path / "out.mp4")[0] == list(range(100))
    assert probe(tmp_path / "out.mp4").seconds == pytest.approx(100 / 30, abs=0.001)


@pytest.mark.parametrize("width", [128, 66])
def test_alpha_webm_comes_back_with_its_alpha(tmp_path, width):
    rgba = np.dstack([clips.frame(1), np.zeros(clips.SIZE, np.uint8)])[:, :width]
    rgba[:48, :64, 3] = 255
    with VideoWriter(tmp_path / "cut.webm", width, 96, kind="webm-alpha", fps=10) as writer:
        for n in range(4):
            writer.write(rgba, n / 10)
    info = probe(tmp_path / "cut.webm")
    assert info.alpha and info.frames == 4 and "white" in info.warnings[0]
    shown = read_frame(tmp_path / "cut.webm", 2).astype(int)
    assert np.abs(shown[4:12, 4:12] - clips.RED).max() <= 10 and shown[-9:, -9:].min() >= 250
    with read_video(info, alpha=True) as reader:
        for frame in reader:
            assert frame.shape == rgba.shape and np.abs(frame[..., 3].astype(int) - rgba[..., 3]).max() <= 32


def test_pictures_that_start_late_stay_late(tmp_path):
    source = clips.write(
        tmp_path / "late.mp4", frames=10, times=[0.5 + n / 10 for n in range(10)], audio="aac"
    )
    reader, _ = clips.copy(source, tmp_path / "out.mp4")
    assert reader.times[0] == pytest.approx(0.5, abs=0.001)
    assert clips.read(tmp_path / "out.mp4")[1].times == pytest.approx(reader.times, abs=0.001)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_file_leaves_the_one_before_it(tmp_path, failure):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"before")
    with pytest.raises(failure), VideoWriter(target, 128, 96, fps=10) as writer:
        for n in range(5):
            writer.write(clips.frame(n), n / 10)
        raise failure
    assert target.read_bytes() == b"before" and list(tmp_path.iterdir()) == [target]


def test_writing_badly_is_refused_in_words(tmp_path):
    with pytest.raises(VideoError), VideoWriter(tmp_path / "none.mp4", 128, 96):
        pass
    with pytest.raises(OptionError, match="webm-alpha"):
        VideoWriter(tmp_path / "out.avi", 128, 96, kind="avi")
    for kind, side in (("mp4", 16385), ("webm-alpha", 65537)):
        with pytest.raises(LimitError, match=f"{side - 1:,}"):
            VideoWriter(tmp_path / "out", 16, side, kind=kind)
    with pytest.raises(VideoError, match="float64"), VideoWriter(tmp_path / "out.mp4", 128, 96) as writer:
        writer.write(clips.frame(0).astype(float), 0)
    with pytest.raises(VideoError, match="0.5"), VideoWriter(tmp_path / "out.mp4", 128, 96) as writer:
        writer.write(clips.frame(0), 1.0)
        writer.write(clips.frame(1), 0.5)
    assert list(tmp_path.iterdir()) == []


def test_the_longest_side_that_is_let_in_can_be_encoded(tmp_path):
    side = KINDS["mp4"].longest
    with VideoWriter(tmp_path / "out.mp4", side, 2) as writer:
        writer.write(np.zeros((2, side, 3), np.uint8))
    assert probe(tmp_path / "out.mp4").width == side


@pytest.mark.parametrize("prompted", [0, 1])
def test_a_clip_too_wide_for_its_overlay_is_refused_before_the_first_frame(tmp_path, prompted):
    clip = clips.write_folder(tmp_path / "wide", 2, size=(16, 16400))
    model, labels = colour_model(), np.ones((16, 16400), np.uint8)
    with pytest.raises(LimitError, match="16400x16.*16,384"):
        run_to_folder(model, clip, Prompt.from_mask(labels, frame=prompted), tmp_path / "out")
    assert model.network.written == 0 and not (tmp_path / "out").exists()


def test_reading_and_writing_hold_no_clip_in_memory(tmp_path):
    size = (360, 640)  # 0.7 MB a frame: 240 frames would be 166 MB
    path = clips.write(tmp_path / "long.mp4", frames=240, size=size, times=clips.times_of(240, 30), gop=240)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 0
    with read_video(path) as reader, VideoWriter(tmp_path / "copy.mp4", 640, 360, source=path) as writer:
        for frame in reader:
            writer.write(frame, reader.times[-1])
            count += 1
    assert count == 240
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
