"""The command in a folder with a made-up clip, its first mask and small weights: `files` and `run`."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stm_core.masks.mask_files import write_mask
from stm_core.media.write import VideoWriter
from stm_core.runs.made_up import moving_clip

ROOT = Path(__file__).parents[1]
PATIENCE = 300  # seconds that a process may take to start on a busy machine
HEIGHT, WIDTH, FRAMES = 48, 64, 8
CLIP_AND_MASK = ["segment", "clip.mp4", "--mask", "mask.png"]


def unpack(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)))


@pytest.fixture(scope="module")
def files(tiny_file, tmp_path_factory):
    """A folder with clip.mp4, mask.png and tiny.safetensors."""
    folder = tmp_path_factory.mktemp("files")
    with VideoWriter(folder / "clip.mp4", WIDTH, HEIGHT, fps=10) as writer:
        for t, (image, labels) in enumerate(moving_clip(HEIGHT, WIDTH, FRAMES)):
            writer.write(image)
            if t == 0:
                write_mask(folder / "mask.png", labels)
    shutil.copy(tiny_file, folder)
    return folder


@pytest.fixture
def run(files, command, monkeypatch):
    """`command` in the folder of the files, with small weights."""
    monkeypatch.chdir(files)

    def small(*words):
        if words[:1] in (("segment",), ("evaluate",), ("look",), ("compare",)) and "--weights" not in words:
            words += ("--weights", "tiny.safetensors")
        return command(*words)

    return small
