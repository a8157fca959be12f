"""What tests share: networks that answer in microseconds, and clips whose masks are known.

Many small networks share two cores here: one thread each beats waiting for one another.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch loads, also in processes that tests start

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from stm_core.networks.interface import Network, QueryFeatures
from stm_core.networks.weights import Model, random_model

pytest_plugins = ["clip_command"]
TRAINING_SIZE = 64
COLOURS = np.array([(96, 96, 96), (230, 30, 30), (30, 200, 40), (40, 60, 240), (240, 220, 20)], np.uint8)


class ColourNetwork(Network):
    """Follows objects by their colour: the key is the mean colour of a 16x16 cell, the value its mask."""

    key_channels, value_channels = 3, 2
    takes_clicks = True
    scale = 200.0

    def __init__(self, shared_keys: bool = True, takes_clicks: bool = True):
        super().__init__()
        self.shared_keys, self.takes_clicks = shared_keys, takes_clicks
        self.written = 0

    def encode_query(self, frame):
        key = F.normalize(F.avg_pool2d(frame, 16) - 0.4, dim=1)
        return QueryFeatures(key, (), ())

    def encode_memory(self, frame, masks, query, clicks=None, others=None):
        self.written += 1
        value = F.avg_pool2d(masks.unsqueeze(1), 16)
        value = torch.cat([value, 1 - value], dim=1)
        if clicks is not None:
            value = (value * 0.1 + F.max_pool2d(clicks, 16)).clamp(0, 1)
        return query.key if self.shared_keys else query.key.expand(len(masks), -1, -1, -1), value

    def decode(self, read, query):
        return F.interpolate(8 * (read[:, :1] - read[:, 1:]), scale_factor=16, mode="nearest")[:, 0]


def colour_model(shared_keys: bool = True, takes_clicks: bool = True) -> Model:
    network = ColourNetwork(shared_keys, takes_clicks).for_inference()
    return Model(network, "colour", torch.device("cpu"), torch.float32)


def squares(
    frames: int, height: int = 64, width: int = 96, objects: int = 1, ids: tuple[int, ...] | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames and labels of coloured squares on the 16-pixel grid, each in its own row, moving right and
    around.
    """
    ids = ids or tuple(range(1, objects + 1))
    clip = []
    for t in range(frames):
        labels = np.zeros((height, width), np.uint8)
        for n, i in enumerate(ids):
            left = (t + n) % (width // 16) * 16
            labels[16 * n : 16 * n + 16, left : left + 16] = i
        colours = np.zeros((256, 3), np.uint8) + COLOURS[0]
        colours[list(ids)] = COLOURS[1 : len(ids) + 1]
        clip.append((colours[labels], labels))
    return clip


def frames_of(clip):
    """The frames of `squares`, without their labels."""
    return [frame for frame, _ in clip]


def check(results, clip, start=0, step=1):
    """Every result is the true labels of its frame."""
    results = list(results)
    for n, result in enumerate(results):
        assert result.index == start + step * n
        np.testing.assert_array_equal(result.labels, clip[result.index][1])
    return results


@pytest.fixture(scope="session")
def tiny() -> Model:
    """The compact network with few channels and random weights."""
    return random_model("compact-tiny", seed=0)


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory):
    """Weights of such a network as a file of its own, as training writes them."""
    from stm_core.networks.compact import CompactSTM
    from stm_core.networks.weights import TINY
    from stm_core.training.fit.export import write_weights

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        write_weights(path, TINY, CompactSTM(TINY).state_dict())
    return path


@pytest.fixture
def colour() -> Model:
    """A network that segments `squares` without a mistake."""
    return colour_model()


# clips on disk ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """A clip of every kind that is read: {kind: path}."""
    import clips

    return clips.every_kind(tmp_path_factory.mktemp("good"), frames=40)


@pytest.fixture(scope="session", autouse=True)
def uploads(tmp_path_factory):
    """Where Gradio puts uploads.  By itself it shares one folder, so a page that closes would remove the file
    that a page of another test process was just given: the same clip has the same place.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        yield


# the page without a browser ---------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path):
    """The panels of a page of its own."""
    from pages import Bench

    return Bench(tmp_path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, request):
    """(path, masks) of a clip of coloured squares, of the sizes in the module's `CLIP` if it has one."""
    from pages import write_clip

    path = tmp_path_factory.mktemp("clip") / "squares.mp4"
    return path, write_clip(path, **getattr(request.module, "CLIP", {}))


@pytest.fixture
def user(bench, clip):
    """A visitor who has opened that clip."""
    return bench.opened(clip[0])


# the page in a browser --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    from visitor import CHROMIUM, FLAGS

    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium is installed; the browser tests need one")
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture(scope="module")
def network():
    from visitor import GatedNetwork

    return GatedNetwork().for_inference()


@pytest.fixture(scope="module")
def site(tmp_path_factory, clip, network):
    """A page with that clip as its example, over a network that can be held."""
    from pages import serve

    root = tmp_path_factory.mktemp("site")
    (root / "examples").mkdir()
    shutil.copy(clip[0], root / "examples" / "squares.mp4")
    with serve(root, Model(network, "colour", torch.device("cpu"), torch.float32)) as found:
        yield found


@pytest.fixture
def visitor(browser, site):
    """Somebody at a desk, with the page open; no script of it may fail."""
    from visitor import DESK, Visitor

    found = Visitor(browser, site, DESK)
    yield found
    assert not found.errors
    found.close()


# the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def command(capfd):
    """Runs the command in this process: exit code, stdout, stderr."""
    from stm_core.commands import cli

    def run(*words):
        code = cli.main([str(word) for word in words])
        return code, *capfd.readouterr()

    return run


def is_one_line(err: str) -> bool:
    """Whether a program of ours told a mistake as it should: its name, then one sentence."""
    return err.startswith(("stm_core: ", "training_tools: ")) and err.count("\n") == 1 and len(err) > 30


# training data ----------------------------------------------------------------------------------------------


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def photos():
    """Eight pictures whose object is pure red on blue, with a band of ignored green."""
    from stm_core.training.data.stores import IGNORE, MAX_OBJECTS, Photos

    labels = torch.zeros(8, 96, 96, dtype=torch.uint8)
    for n in range(8):
        labels[n, 20 + n : 60, 25 : 70 - n] = 1
        labels[n, :6] = IGNORE
    images = torch.stack([labels == 1, labels == IGNORE, labels == 0], dim=1) * 255
    share = torch.zeros(8, MAX_OBJECTS + 1)
    share[:, 1] = (labels == 1).float().mean((1, 2))
    return Photos(images.to(torch.uint8), labels, torch.ones(8), share)


@pytest.fixture
def clips(photos):
    """Two annotated clips made of them."""
    from stm_core.training.data.stores import Clips

    frames = torch.cat([photos.images, photos.images.flip(0)])
    labels = torch.cat([photos.labels, photos.labels.flip(0)])
    share = torch.cat([photos.share, photos.share.flip(0)])
    first, length, yes = torch.tensor([0, 8]), torch.tensor([8, 8]), torch.ones(2, dtype=bool)
    return Clips(frames, labels, share, first, length, torch.ones(2), yes)


@pytest.fixture
def maker(photos, clips):
    from stm_core.training.data.synth import ClipMaker

    return ClipMaker(photos, photos, clips, generator())


@pytest.fixture
def batch(maker):
    return maker.batch(4, 3, TRAINING_SIZE, video=False)


def numbers(folder: Path) -> list[int]:
    """The numbers of the masks in a folder; each must open, and nothing half-written lie beside them."""
    found = sorted(folder.iterdir())
    for path in found:
        with Image.open(path) as picture:
            picture.load()
    return [int(path.stem) for path in found]
