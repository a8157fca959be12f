"""Laws of where an object is looked for: near its last mask, everywhere once it was lost."""

import numpy as np
import pytest
import torch
from conftest import squares

from stm_core import Prompt, Propagator
from stm_core.network import LOGIT_LIMIT
from stm_core.whereabouts import Whereabouts

SIZE = (64, 160)


def mask(left, width, size=SIZE):
    one = torch.zeros(1, *size)
    one[:, 16:32, left : left + width] = 1
    return one


def found(whereabouts, count=1):
    """Which columns may hold each object, when the network says yes everywhere."""
    return whereabouts.bound(torch.full((count, *SIZE), 5.0))[:, 24] > 0


def test_nothing_is_bound_before_the_first_frame_or_without_a_reach():
    assert found(Whereabouts(0.3)).all()
    free = Whereabouts(None)
    free.update(mask(0, 16))
    assert found(free).all()


def test_an_object_is_found_within_reach_and_not_beyond():
    near = Whereabouts(0.5)  # of 64 lines: two cells
    near.update(mask(64, 16))
    assert found(near)[0].nonzero().flatten().tolist() == list(range(32, 112))
    refused = near.bound(torch.full((1, *SIZE), 5.0))[0, 24, 0]
    assert refused == -LOGIT_LIMIT


@pytest.mark.parametrize("left_over, everywhere", [(0, True), (9, True), (11, False)])
def test_a_lost_object_is_looked_for_everywhere(left_over, everywhere):
    whereabouts = Whereabouts(0.3)
    whereabouts.update(mask(0, 100))
    whereabouts.update(mask(0, left_over))
    assert bool(found(whereabouts).all()) is everywhere


def test_an_object_that_is_new_may_be_anywhere():
    whereabouts = Whereabouts(0.3)
    whereabouts.update(mask(0, 16))
    old, new = found(whereabouts, 2)
    assert not old.all() and new.all()
    whereabouts.forget()
    assert found(whereabouts).all()


@pytest.mark.parametrize("reach", [None, 0.3])
def test_a_double_far_away_is_left_alone_within_reach(colour, reach):
    colour.network.reach = reach
    engine = Propagator(colour)
    for t, (frame, labels) in enumerate(squares(3)):
        twins = frame.copy()
        if t:  # the same colour turns up in the far corner
            twins[-16:, -16:] = frame[labels == 1][0]
        result = engine.step(t, twins, Prompt.from_mask(labels) if t == 0 else ())
        if t:
            assert np.array_equal(result.labels, labels) == (reach is not None)
