"""Peers beside ours: stand-in checkouts with the same entry points are timed, and what is missing is said."""

import sys
from textwrap import dedent

import numpy as np
import pytest
import torch

from assets import peers, time_peers
from stm_core.masks.mask_files import write_mask
from stm_core.networks.weights import random_model
from stm_core.runs import own_process

H, W, IDS = 32, 48, (2, 5)
RED, BLUE = (250, 20, 20), (20, 20, 250)
# Each stand-in knows its objects by their colour, and fails if it is called other than the real one.
COLOURS = """
import torch

def seen(image):  # (3, H, W) in 0 to 1 -> (3, H, W): background, object 1 (red), object 2 (blue)
    red, blue = image[0] > 0.7, image[2] > 0.7
    return torch.stack([~(red | blue), red, blue]).float()
"""
STM = """
import torch
from colours import seen

class STM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))
        self.held = []

    def forward(self, frame, *rest):
        if rest[0].dim() == 4:
            masks, count = rest
            assert masks.shape == (1, 3, *frame.shape[2:]) and count.tolist() == [2]
            return torch.zeros(1, 3, 4, 1, 2, 3), torch.zeros(1, 3, 4, 1, 2, 3)
        keys, values, count = rest
        assert self.scale == 1 and keys.shape == values.shape and count.tolist() == [2]
        self.held.append(keys.shape[3])
        t = len(self.held)
        assert keys.shape[3] == 1 + (t - 1 + 4) // 5, self.held
        return 9 * seen(frame[0])[None]
"""
XMEM = """
import torch

class XMem(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        config["hidden_dim"] = 64

    def load_weights(self, saved, init_as_zero_if_needed=False):
        assert saved["module.scale"] == 1 and init_as_zero_if_needed
"""
XMEM_CORE = """
import torch
from colours import seen

class InferenceCore:
    def __init__(self, network, config):
        assert config["hidden_dim"] == 64 and config["mem_every"] == 5
        self.first = True

    def set_all_labels(self, labels):
        self.labels = labels

    def step(self, image, mask=None, valid_labels=None):
        assert self.first == (mask is not None) and image.dim() == 4 and self.labels == [1, 2]
        assert mask is None or (mask.shape[0] == 2 and valid_labels == [1, 2])
        self.first = False
        mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
        return seen(image[0] * deviation + mean)
"""
CUTIE_CORE = """
from colours import seen

class InferenceCore:
    def __init__(self, network, cfg):
        assert cfg["model"] == "model=small" and cfg["dataset"] == "asked"
        self.first = True

    def step(self, image, mask=None, objects=None):
        assert self.first == (mask is not None) and image.dim() == 3 and objects in (None, [1, 2])
        self.first = False
        return seen(image)
"""
CUTIE = """
import torch

class CUTIE(torch.nn.Module):
    def __init__(self, cfg):
        super().__init__()

    def load_weights(self, saved):
        assert saved["module.scale"] == 1
"""
HYDRA = """
import contextlib, pathlib

@contextlib.contextmanager
def initialize_config_dir(config_dir, version_base=None):
    assert pathlib.Path(config_dir).is_absolute()
    yield

def compose(name, overrides):
    return {"model": overrides[0]}
"""
OMEGACONF = "import contextlib\nopen_dict = contextlib.nullcontext\n"
ARGS = "def get_dataset_cfg(cfg):\n    cfg['dataset'] = 'asked'\n"
CHECKOUTS = {
    "stm": {"eval_DAVIS.py": "", "model.py": STM},
    "xmem": {"model/network.py": XMEM, "inference/inference_core.py": XMEM_CORE},
    "cutie": {
        "hydra.py": HYDRA,
        "omegaconf.py": OMEGACONF,
        "cutie/model/cutie.py": CUTIE,
        "cutie/inference/inference_core.py": CUTIE_CORE,
        "cutie/inference/utils/args_utils.py": ARGS,
    },
}


@pytest.fixture
def clip(tmp_path):
    """Options of a clip of two objects that move, with its truth."""
    from PIL import Image

    (tmp_path / "clip").mkdir()
    (tmp_path / "truth").mkdir()
    for t in range(13):
        image, labels = np.full((H, W, 3), 90, np.uint8), np.zeros((H, W), np.uint8)
        for number, colour, top in zip(IDS, (RED, BLUE), (2, 18), strict=True):
            window = slice(top, top + 12), slice(2 * t, 2 * t + 16)
            image[window], labels[window] = colour, number
        Image.fromarray(image).save(tmp_path / "clip" / f"{t:05d}.png")
        write_mask(tmp_path / "truth" / f"{t:05d}.png", labels)
    return [str(tmp_path / "clip"), str(tmp_path / "truth" / "00000.png"), "--truth", str(tmp_path / "truth")]


@pytest.fixture
def checkout(tmp_path):
    """Makes the stand-in of a peer; returns its options."""

    def make(option: str) -> list[str]:
        folder = tmp_path / option
        for name, text in {**CHECKOUTS[option], "colours.py": COLOURS}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(dedent(text))
        torch.save({"module.scale": torch.ones(1)}, folder / "small.pth")
        return [f"--{option}", str(folder), str(folder / "small.pth")]

    return make


@pytest.fixture
def here(monkeypatch):
    """Rows are measured in this process, with a small network; modules of checkouts are forgotten."""
    before, path = set(sys.modules), list(sys.path)

    def alone(work, given):
        try:
            return work(given)
        except Exception as error:
            return {"error": own_process.told(error)[0]}
        finally:
            sys.path[:] = path
            for name in set(sys.modules) - before:
                if name.split(".")[0] in ("model", "inference", "cutie", "hydra", "omegaconf", "colours"):
                    del sys.modules[name]

    monkeypatch.setattr(time_peers, "in_own_process", alone)
    monkeypatch.setattr(time_peers, "load_model", lambda name, device: random_model("compact-tiny"))


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each row of the printed table, by name."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines[1:]}


def test_each_peer_is_called_as_its_own_evaluation_does_and_scored(clip, checkout, here, capsys):
    words = [word for peer in peers.PEERS for word in checkout(peer.option)]
    assert time_peers.main([*clip, *words]) == 0
    found = rows(capsys.readouterr().out)
    assert list(found) == ["ours", "STM", "XMem", "Cutie"]
    for name in ("STM", "XMem", "Cutie"):
        milliseconds, fps, mib, score = map(float, found[name])
        assert fps > 0 and mib > 50 and milliseconds >= 0 and score == 100
    assert len(found["ours"]) == 4


def test_a_peer_runs_in_a_process_of_its_own(clip, checkout, monkeypatch, capsys):
    before = set(sys.modules)
    job = time_peers.Job(*map(time_peers.Path, clip[:2]), None, (peers.PEERS[1], []))
    _, folder, weights = checkout("xmem")
    job.peer[1].extend(map(time_peers.Path, (folder, weights)))
    row = own_process.in_own_process(time_peers.follow, job)
    assert row["fps"] > 0 and row["J"] is None
    assert not {"inference", "colours"} & (set(sys.modules) - before)


def test_a_peer_that_is_not_there_or_fails_costs_its_row_only(clip, checkout, here, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    bad = checkout("cutie")
    (tmp_path / "cutie" / "hydra.py").write_text("import nothing_of_this_name")
    assert time_peers.main([*clip, "--xmem", str(tmp_path / "empty"), bad[2], *bad]) == 0
    out, err = capsys.readouterr()
    found = rows(out)
    assert "--stm CHECKOUT WEIGHTS" in found["STM"][0] and peers.PEERS[0].repository in found["STM"][0]
    assert "inference_core.py" in found["XMem"][0]
    assert "nothing_of_this_name" in found["Cutie"][0] and "fault of ours" not in out
    assert float(found["ours"][1]) > 0 and "Traceback" not in out + err


@pytest.mark.parametrize("broken", [0, 1, 3])
def test_a_mistake_in_the_clip_is_one_sentence(clip, broken, capsys):
    clip[broken] += "-not-there"
    assert time_peers.main(clip) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "not-there" in err
