"""Laws of the options: how words become values."""

from dataclasses import replace

import pytest

from stm_core.commands import cli, option_values, options
from stm_core.errors import PromptError
from stm_core.media.video import VideoLimits


def test_help_of_every_command_exits_0(capsys):
    for words in ([], ["segment"], ["look"], ["compare"], ["evaluate"], ["bench"], ["batch"], ["train"]):
        assert cli.main([*words, "--help"]) == 0
    assert "--memory" in capsys.readouterr().out


def test_clicks_are_read_as_written():
    assert option_values.click("3,4") == (3, 4, 1, 1)
    assert option_values.click("3.5,4,0") == (3.5, 4, 0, 1)
    assert option_values.click("3,4,1,254") == (3, 4, 1, 254)
    for text in ("3", "a,b", "1,2,3,4,5", "1,2,0.5", "1,2,1,1.5", "1,2,1,255", ""):
        with pytest.raises(PromptError):
            option_values.click(text)


def test_click_words_are_split_apart_from_the_clip():
    words = ["--click", "1,2", "-3,4,0", "clip.mp4", "--click", "bad", "--out", "5,6"]
    assert option_values.split_clicks(words) == [
        *("--click=1,2", "--click=-3,4,0", "clip.mp4", "--click", "bad", "--out", "5,6"),
    ]


def test_limits_can_be_set_and_lifted():
    words = [
        "segment",
        "clip.mp4",
        "--mask",
        "mask.png",
        "--out",
        "o",
        "--max-frames",
        "0",
        "--max-seconds",
        "9",
    ]
    limits = options.video_limits(cli.build_parser().parse_args(words))
    assert limits == replace(VideoLimits(), max_frames=None, max_seconds=9)
