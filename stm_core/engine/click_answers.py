"""Answers to clicks, kept for the next click: whoever adds one does not wait for those before again."""

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
    """What tells a frame, uint8 (H, W, 3), from every other one."""
    return hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() + str(image.shape).encode()


def key_of(frame: bytes, size: int | None, points: Tensor) -> Key:
    """What an answer depends on, beside the network: the frame's digest, its processed size, the clicks."""
    return frame, size, tuple(points.shape), points.cpu().numpy().tobytes()


def recall(network: Network, key: Key) -> Tensor | None:
    """The logits that were kept for it, or None."""
    with _lock:
        answers = _kept.get(network, OrderedDict())
        if key in answers:
            answers.move_to_end(key)
        return answers.get(key)


def keep(network: Network, key: Key, logits: Tensor) -> None:
    """Keeps logits, which must not change any more; those that were not asked for longest give way."""
    with _lock:
        answers = _kept.setdefault(network, OrderedDict())
        answers[key] = logits
        answers.move_to_end(key)
        while answers and sum(one.nbytes for one in answers.values()) > MOST_BYTES:
            answers.popitem(last=False)
