"""Laws of a batch's list: a line is a clip with its options, its paths are found from the list."""

from pathlib import Path

import pytest
from clips import write_list

from stm_core.errors import OptionError
from stm_core.runs import batch_list


def test_lines_become_jobs_with_paths_from_the_list(tmp_path):
    text = "# comment\n\na.mp4 --mask 'my masks/a.png'\nsub/a.mp4 --click 3,4 --size 120\nb --mask=m.png\n"
    jobs = batch_list.read_list(write_list(tmp_path, text), tmp_path / "out", ["--memory=first"])
    assert [job.name for job in jobs] == ["a", "a-2", "b"]
    assert jobs[0].arguments == (
        "--memory=first",
        str(tmp_path / "a.mp4"),
        "--mask",
        str(tmp_path / "my masks/a.png"),
    )
    assert jobs[1].arguments[1:] == (str(tmp_path / "sub/a.mp4"), "--click", "3,4", "--size", "120")
    assert jobs[2].arguments[-1] == f"--mask={tmp_path / 'm.png'}"
    assert jobs[0].command[-2:] == ["--out", str(tmp_path / "out" / "a")]


@pytest.mark.parametrize("between", [" ", "="])
def test_weights_of_a_line_are_found_from_the_list(tmp_path, between):
    for given, expected in (
        ("compact", "compact"),
        ("mine.pth", f"{tmp_path / 'mine.pth'}"),
        ("/there/mine.pth", "/there/mine.pth"),
        ("paper:stm.pth", f"paper:{tmp_path / 'stm.pth'}"),
        ("paper:/there/stm.pth", "paper:/there/stm.pth"),
        ("paper:", "paper:"),  # refused when it runs
    ):
        path = write_list(tmp_path, f"a.mp4 --weights{between}{given}\n")
        (job,) = batch_list.read_list(path, tmp_path / "out")
        assert between.join(job.arguments[1:]) == f"--weights{between}{expected}"


def test_no_line_writes_outside_the_folder_of_results(tmp_path):
    lines = "frames/.. --click 1,1\n.. --click 1,1\n/ --click 1,1\n"
    jobs = batch_list.read_list(write_list(tmp_path, lines), tmp_path / "out")
    assert [Path(job.out).parent for job in jobs] == [tmp_path / "out"] * 3
    assert [Path(job.out).name for job in jobs] == [job.name for job in jobs]
    assert jobs[0].name == tmp_path.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "clips.txt"),
        ("# only\n", "clips.txt"),
        ("a.mp4 --mask 'm.png", "line 1"),
        ("\na.mp4 --out x", "line 2"),
    ],
)
def test_a_bad_list_is_refused_with_its_line(tmp_path, text, said):
    with pytest.raises(OptionError, match=said):
        batch_list.read_list(write_list(tmp_path, text), tmp_path)


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(OptionError, match="none.txt"):
        batch_list.read_list(tmp_path / "none.txt", tmp_path)


def test_lines_are_read_as_they_are_meant(tmp_path, monkeypatch):
    text = "\ufeffkoi.mp4 --click 1,2 # fish\ntake#2.mp4 --click 1,2\n # none\n'my clip.mp4' --click 1,2\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    jobs = batch_list.read_list(tmp_path / "list.txt", tmp_path / "out")
    assert [Path(job.arguments[0]).name for job in jobs] == ["koi.mp4", "take#2.mp4", "my clip.mp4"]
    assert all(job.arguments[1:] == ("--click", "1,2") for job in jobs)
    for line in ("a.mp4 # don't track the ball", "a.mp4 # \\", "a.mp4 #"):
        assert batch_list._words(line) == ["a.mp4"]
    assert batch_list._words("# the dog's clips") == []
    quoted = batch_list._words("""'#1 a.mp4' --mask "#1.png" b\\ #c""")
    assert quoted == ["#1 a.mp4", "--mask", "#1.png", "b #c"]
    monkeypatch.setattr(batch_list.os, "name", "nt")
    assert batch_list._words(r"C:\clips\koi.mp4 --click 1,2") == [r"C:\clips\koi.mp4", "--click", "1,2"]


def test_prompts_of_a_line_are_a_path_or_clicks(tmp_path):
    text = "a.mp4 --prompts m.json\nb.mp4 --prompts '[[0,1,2]]'\n"
    jobs = batch_list.read_list(write_list(tmp_path, text), tmp_path / "out", [])
    assert [job.arguments[-1] for job in jobs] == [str(tmp_path / "m.json"), "[[0,1,2]]"]
