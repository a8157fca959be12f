"""The README: its Spaces block is valid, what it links to exists, and its commands are commands we have."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "stm_core"
README = (ROOT / "README.md").read_text(encoding="utf-8")
_, BLOCK, TEXT = README.split("---\n", 2)
# https://huggingface.co/docs/hub/spaces-config-reference
FIELDS = set(
    "title emoji colorFrom colorTo sdk sdk_version python_version app_file app_port base_path fullWidth "
    "header short_description models datasets tags license thumbnail pinned suggested_hardware "
    "suggested_storage hf_oauth disable_embedding startup_duration_timeout custom_headers "
    "preload_from_hub".split()
)
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
HARDWARE = {
    "cpu-basic",
    "cpu-upgrade",
    "zero-a10g",
    "t4-small",
    "t4-medium",
    "l4x1",
    "a10g-small",
    "a10g-large",
}


def code(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_spaces_block_has_only_documented_fields_with_valid_values():
    block = yaml.safe_load(BLOCK)
    assert set(block) <= FIELDS
    assert block["sdk"] == "gradio" and block["python_version"] == "3.12" and block["license"] == "mit"
    assert {block["colorFrom"], block["colorTo"]} <= COLOURS
    assert block["suggested_hardware"] in HARDWARE
    assert 0 < len(block["short_description"]) <= 60 and len(block["title"]) <= 40
    assert (ROOT / block["app_file"]).is_file()
    assert all(isinstance(tag, str) for tag in block["tags"])


def test_the_spaces_gradio_is_one_that_requirements_allow():
    version = tuple(int(part) for part in yaml.safe_load(BLOCK)["sdk_version"].split("."))
    low, high = re.search(
        r"^gradio>=([\d.]+),<([\d.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE
    ).groups()
    assert tuple(map(int, low.split("."))) <= version < tuple(map(int, high.split(".")))


def test_links_and_pictures_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert any(target.endswith((".gif", ".webp")) for target in targets), (
        "no moving picture on the first screen"
    )
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_files_named_in_backticks_exist():
    named = re.findall(r"`((?:stm_core|demo|assets|tests)/[\w./-]+|app\.py|requirements[\w-]*\.txt)`", TEXT)
    assert named and [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("line", [x for block in code("bash") for x in block.splitlines() if "stm_core" in x])
def test_command_lines_parse(line):
    from stm_core.commands import cli, option_values

    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "stm_core"]
    words = [word.replace("X,Y", "1,2") for word in words[3:]]
    arguments = cli.build_parser().parse_args(option_values.split_clicks(words))
    assert callable(arguments.run)
    clip = getattr(arguments, "clip", None)
    assert clip is None or str(clip) == "CLIP" or (ROOT / clip).is_file()


def test_both_set_up_commands_install_a_file_of_requirements_that_exists():
    lines = [line for block in code("bash") for line in block.splitlines() if "pip install" in line]
    assert [line.rsplit(" && ", 1)[1] for line in lines] == ["python app.py", "python -m pytest"]
    assert all((ROOT / re.search(r"-r (\S+)", line)[1]).is_file() for line in lines)


@pytest.mark.parametrize("block", code("python"))
def test_python_blocks_compile_and_use_public_names(block):
    compile(block, "README.md", "exec")
    import stm_core

    used = set(re.findall(r"stm_core\.(\w+)", block))
    assert used <= set(stm_core.__all__)


def test_files_named_in_contributing_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:\w+/)+\w*(?:\.py)?)`", text)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists() and not (CORE / name).exists()] == []


def test_contributing_stays_short():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 90
