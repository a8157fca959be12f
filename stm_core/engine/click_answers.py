"""A cache of answers to clicks: adding a click does not compute the earlier ones again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor

from stm_core.networks.interface import Network

MOST_BYTES = 64 * 2**20  # of one network's answers together
Key = tuple[bytes, int | None, tuple[int, ...], bytes]

_lock = Lock()
_kept: WeakKeyDictionary[Network, OrderedDict[Key, Tensor]] = WeakKeyDictionary()


def digest(image: np.ndarray) -> bytes:
    """A hash of a frame, uint8 (H, W, 3), and its shape."""
    return hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() + str(image.shape).encode()


def key_of(frame: bytes, size: int, points: Tensor) -> Key:
    """What an answer depends on, besides the network: the frame's digest, its processed size, the clicks."""
    return frame, size, tuple(points.shape), points.cpu().numpy().tobytes()


def recall(network: Network, key: Key) -> Tensor | None:
    """The logits kept under this key, or None."""
    with _lock:
        answers = _kept.get(network, OrderedDict())
        if key in answers:
            answers.move_to_end(key)
        return answers.get(key)


def keep(network: Network, key: Key, logits: Tensor) -> None:
    """Keep logits, which must not be changed later; the least recently used ones are dropped."""
    with _lock:
        answers = _kept.setdefault(network, OrderedDict())
        answers[key] = logits
        answers.move_to_end(key)
        while answers and sum(one.nbytes for one in answers.values()) > MOST_BYTES:
            answers.popitem(last=False)
