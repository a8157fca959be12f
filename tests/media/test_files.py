"""A written file is whole or not there, and leaves nothing else beside it."""

import errno
import os

import pytest

from stm_core.errors import VideoError
from stm_core.media.files import write_whole
from stm_core.runs.output import REPORT, clear_masks, clear_results


def test_a_file_replaces_the_one_before_it_and_leaves_nothing_else(tmp_path):
    for data in (b"first", b"second"):
        write_whole(tmp_path / "a.png", data)
        assert (tmp_path / "a.png").read_bytes() == data and os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("code, said", [(errno.ENOSPC, "disk is full"), (errno.EACCES, "cannot write")])
def test_a_refused_write_leaves_the_file_before_it_and_is_told(tmp_path, monkeypatch, code, said):
    write_whole(tmp_path / "a.png", b"before")

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(VideoError, match=said):
        write_whole(tmp_path / "a.png", b"after")
    assert (tmp_path / "a.png").read_bytes() == b"before" and os.listdir(tmp_path) == ["a.png"]


def test_a_folder_that_is_none_is_told(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("none", "file"):
        with pytest.raises(VideoError, match="check its folder"):
            write_whole(tmp_path / folder / "a.png", b"")


def test_the_next_run_removes_what_a_killed_one_left(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: None)  # neither renamed
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_: None)  # nor removed, as when the process dies
    for name in ("00003.png", REPORT):
        write_whole(tmp_path / name, b"half")
    monkeypatch.undo()
    (tmp_path / "mine.png").touch()
    assert len(os.listdir(tmp_path)) == 3
    clear_masks(tmp_path)
    clear_results(tmp_path)
    assert os.listdir(tmp_path) == ["mine.png"]
