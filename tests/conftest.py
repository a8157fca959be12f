"""What tests share: networks that answer in microseconds, and clips whose masks are known.

Many small networks share two cores here: one thread each beats waiting for one another.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch loads, also in processes that tests start

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from stm_core.network import Network, QueryFeatures  # noqa: E402
from stm_core.weights import Model, random_model  # noqa: E402

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

    def encode_memory(self, frame, masks, query, clicks=None):
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


@pytest.fixture(scope="session")
def tiny() -> Model:
    """The compact network with few channels and random weights."""
    return random_model("compact-tiny", seed=0)


@pytest.fixture
def colour() -> Model:
    """A network that segments `squares` without a mistake."""
    return colour_model()
