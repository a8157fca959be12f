"""The files that are pushed to a Space: small enough, and a server starts from them and does its work."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from demo.limits import Limits, variable
from stm_core.masks.metrics import evaluate_masks

ROOT = Path(__file__).resolve().parents[2]
LARGEST, WHOLE = 10 * 2**20, 100 * 2**20  # bytes: a plain git push of a larger file is refused
READY_SECONDS = 120  # a busy machine; the page itself takes a few


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Path:
    """A folder with the files that git would push, and nothing else."""
    folder = tmp_path_factory.mktemp("space")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of the files of a Space")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a Space gives to the app, and little else; settings of our own app pass through."""
    own = {key: value for key, value in os.environ.items() if key.startswith("STM_LIVE_")}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SYSTEM": "spaces",
        "SPACE_ID": "someone/stm-live",
        "SPACE_HOST": "someone-stm-live.hf.space",
        "SPACE_AUTHOR_NAME": "someone",
        "SPACE_REPO_NAME": "stm-live",
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONUNBUFFERED": "1",
        "BROWSER": "false",
        **own,
        **more,
    }


@pytest.fixture(scope="module")
def server(space, tmp_path_factory):
    """The address of `python app.py`, started in the Space's folder."""
    cache = tmp_path_factory.mktemp("cache")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = environment(
        cache,
        GRADIO_SERVER_PORT=str(port),
        STM_LIVE_CACHE=str(cache / "clips"),
        GRADIO_TEMP_DIR=str(cache / "gradio"),
    )
    log = (cache / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=space, env=env, stdout=log, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_until_ready(process, address, cache / "log")
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def wait_until_ready(process: subprocess.Popen, address: str, log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address + "config", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no page after {READY_SECONDS} s: {log.read_text()}")


def test_files_fit_a_plain_push(space):
    sizes = {path.relative_to(space): path.stat().st_size for path in space.rglob("*") if path.is_file()}
    assert {str(name): size for name, size in sizes.items() if size > LARGEST} == {}
    assert sum(sizes.values()) < WHOLE
    assert {Path("app.py"), Path("README.md"), Path("requirements.txt")} <= set(sizes)


def test_help_tells_every_option_and_variable(space):
    done = subprocess.run(
        [sys.executable, "app.py", "--help"],
        cwd=space,
        env=environment(space),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and not done.stderr
    for word in ("--host", "--port", "--weights", "--share", "--auth"):
        assert word in done.stdout
    for limit in Limits.__dataclass_fields__:
        assert "--" + limit.replace("_", "-") in done.stdout
    assert variable("") in done.stdout


@pytest.mark.parametrize("value", ["many", "-3", "0"])
def test_a_wrong_limit_in_the_environment_is_one_sentence(space, value):
    env = environment(space, STM_LIVE_MAX_FRAMES=value)
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=space, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "STM_LIVE_MAX_FRAMES" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_an_example_is_segmented_over_http(space, server):
    example = space / "assets" / "examples" / "balloon"
    about = json.loads(example.with_suffix(".json").read_text())
    client = Client(server, verbose=False)
    overlay, archive, report = client.predict(
        video=handle_file(example.with_suffix(".mp4")), clicks=about["clicks"], size=128, api_name="/segment"
    )
    assert report["frames_in"] == report["frames_out"] == about["frames"]
    assert Path(overlay).stat().st_size > 10_000
    with zipfile.ZipFile(archive) as pack:
        names = [name for name in pack.namelist() if name.startswith("masks/")]
        assert names == [f"masks/{t:05d}.png" for t in range(about["frames"])]
        assert {"overlay.mp4", "report.json"} <= set(pack.namelist())
        found = [np.asarray(Image.open(io.BytesIO(pack.read(name)))) for name in names]
    assert {mask.shape for mask in found} == {(about["height"], about["width"])}
    if "STM_LIVE_WEIGHTS" not in os.environ:  # the bundled network, not one that was put in its place
        with zipfile.ZipFile(f"{example}_masks.zip") as pack:
            truth = [np.asarray(Image.open(io.BytesIO(pack.read(name)))) for name in sorted(pack.namelist())]
        assert evaluate_masks(found[:60], truth[:60])["J"]["mean"] > 0.6  # until it goes behind the rock


def test_a_refused_request_says_the_sentence_a_visitor_would_read(server, tmp_path):
    wrong = tmp_path / "clip.mp4"
    wrong.write_bytes(b"#EXTM3U\nfile:///etc/passwd\n")
    with pytest.raises(Exception, match="playlist") as caught:
        Client(server, verbose=False).predict(
            video=handle_file(wrong), clicks=[[0, 1, 1, 1, 1]], api_name="/segment"
        )
    assert "Traceback" not in str(caught.value)


def test_files_of_the_server_cannot_be_asked_for(server, space):
    for path in (
        space / "app.py",
        space / "requirements.txt",
        "/etc/passwd",
        space / "stm_core" / "config.py",
    ):
        for route in ("gradio_api/file=", "file="):
            with pytest.raises(OSError):
                urllib.request.urlopen(f"{server}{route}{path}", timeout=20)
