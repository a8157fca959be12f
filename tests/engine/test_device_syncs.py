"""How often a step waits for the device: a few times, whatever it finds.

Nothing here needs a GPU. What would wait for one is counted: copies to the host, and operators whose result
decides what comes next.
"""

import numpy as np
import pytest
import torch
from conftest import squares
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from stm_core import Prompt, Propagator

COPIES = {torch.Tensor.cpu, torch.Tensor.tolist}
WAITING = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "is_nonzero"}
MOST = 5  # where objects may be, their pixels, the labels, what memory used, the masks


class Copies(TorchFunctionMode):
    """Counts copies to the host."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func in COPIES or (func is torch.Tensor.to and "cpu" in args)
        return func(*args, **(kwargs or {}))


class Waits(TorchDispatchMode):
    """Counts operators that wait for numbers."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = [
            one for one in (args[1] if name.startswith("index") else ()) if isinstance(one, torch.Tensor)
        ]
        self.count += name in WAITING or any(mask.dtype == torch.bool for mask in masks)
        return func(*args, **(kwargs or {}))


def waits(step) -> int:
    with Copies() as copies, Waits() as others:
        step()
    return copies.count + others.count


@pytest.mark.parametrize("objects", [1, 3])
def test_a_step_waits_for_the_device_a_few_times_however_many_objects_and_frames(colour, objects):
    clip, engine = squares(8, 96, 160, objects=objects), Propagator(colour)
    engine.step(0, clip[0][0], Prompt.from_mask(clip[0][1]))
    for t in range(1, 8):
        found = waits(lambda t=t: engine.step(t, clip[t][0]))
        assert 0 < found <= MOST, t


def test_growing_a_region_over_many_cells_waits_once(tiny):
    engine, snake = Propagator(tiny), np.zeros((160, 160), np.uint8)
    snake[::16], snake[:, :8] = 1, 1
    engine.step(0, np.zeros((160, 160, 3), np.uint8), Prompt.from_mask(snake))
    known = engine._whereabouts
    known._beside = [np.pad(np.ones((1, 1, 1), bool), ((0, 0), (0, 19), (0, 19)))]
    logits = torch.from_numpy(10.0 * snake[None] - 5)
    assert waits(lambda: known.bound(logits)) == 1
    assert (logits > 0).sum() == snake.sum()
