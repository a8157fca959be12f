"""A written file is whole or not there, and leaves nothing else beside it."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stm_core.errors import VideoError
from stm_core.media.files import Whole, WholeFolder, alone, leftovers, set_aside, sweep, write_whole


def test_a_file_replaces_the_one_before_it_and_leaves_nothing_else(tmp_path):
    for data in (b"first", b"second"):
        write_whole(tmp_path / "a.png", data)
        assert (tmp_path / "a.png").read_bytes() == data and os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("code, said", [(errno.ENOSPC, "disk"), (errno.EACCES, "denied")])
def test_a_refused_write_leaves_the_file_before_it_and_is_told(tmp_path, monkeypatch, code, said):
    write_whole(tmp_path / "a.png", b"before")

    def refuse(*_):
        raise OSError(code, os.strerror(code).lower())

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(VideoError, match=said):
        write_whole(tmp_path / "a.png", b"after")
    assert (tmp_path / "a.png").read_bytes() == b"before" and os.listdir(tmp_path) == ["a.png"]


def test_a_folder_that_is_none_is_told(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("none", "file"):
        with pytest.raises(VideoError, match="a.png"):
            write_whole(tmp_path / folder / "a.png", b"")


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), OSError(errno.EIO, "I/O error")])
def test_an_error_while_a_file_is_written_leaves_the_one_before_and_nothing_else(tmp_path, error):
    write_whole(tmp_path / "a.png", b"before")
    seen = VideoError if isinstance(error, OSError) else type(error)
    with pytest.raises(seen), Whole(tmp_path / "a.png") as part:
        part.write_bytes(b"half")
        raise error
    assert (tmp_path / "a.png").read_bytes() == b"before" and os.listdir(tmp_path) == ["a.png"]


def test_what_a_killed_writer_left_is_found_by_its_name_and_nothing_else_is(tmp_path):
    for name in ("a.png", "b.png"):
        Whole(tmp_path / name).part.write_bytes(b"half")
    for name in (".a.png.part", ".a.png.0123.part", "a.png"):
        (tmp_path / name).touch()
    assert {path.name for _, path in leftovers(tmp_path)} == {"a.png", "b.png"}
    sweep(tmp_path / "a.png")
    assert {path.name for _, path in leftovers(tmp_path)} == {"b.png"}
    assert len(os.listdir(tmp_path)) == 4


def test_a_folder_is_replaced_whole_and_what_somebody_put_into_it_stays(tmp_path):
    folder = tmp_path / "run.ckpt"
    for text in ("first", "second"):
        with WholeFolder(folder) as part:
            (part / "a.pt").write_text(text)
        (folder / "notes.txt").write_text("mine")
    assert (folder / "a.pt").read_text() == "second" and (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(ZeroDivisionError), WholeFolder(folder) as part:
        (part / "a.pt").write_text("third")
        raise ZeroDivisionError
    assert (folder / "a.pt").read_text() == "second" and os.listdir(tmp_path) == ["run.ckpt"]
    folder.rename(set_aside(folder))  # killed between the two renames
    with WholeFolder(folder) as part:
        (part / "a.pt").write_text("fourth")
    assert sorted(os.listdir(folder)) == ["a.pt", "notes.txt"] and os.listdir(tmp_path) == ["run.ckpt"]


def test_two_that_make_one_file_make_it_once(tmp_path):
    path, made, inside = tmp_path / "film.mp4", [], threading.Barrier(2)

    def make():
        inside.wait(30)
        with alone(path):
            if not path.exists():
                made.append(1)
                write_whole(path, b"film")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(make), pool.submit(make)]:
            done.result(30)
    assert made == [1]
