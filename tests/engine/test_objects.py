"""Laws of several objects: each is encoded and decoded only where it is, and nothing is lost by that."""

import numpy as np
import pytest
import torch
from conftest import squares

from stm_core import Prompt, Propagator
from stm_core.engine.encoding import MARGIN, encoded, windows_of
from stm_core.engine.whereabouts import Whereabouts, cells_of
from stm_core.memory.apart import Apart
from stm_core.memory.bank import MemoryBank
from stm_core.memory.window import AT_ONCE, CALL, Window, together

SIZE = (12, 30)


def three_masks():
    masks = torch.zeros(3, 16 * SIZE[0], 16 * SIZE[1])
    masks[0, 40:80, 50:90], masks[1, 100:140, 300:330], masks[2, 20:50, 420:470] = 1, 1, 1
    return masks


def windows(masks):
    cells = torch.nn.functional.max_pool2d(masks, 8).numpy() > 0
    return windows_of(cells, 8, (0, 0), SIZE)


@torch.inference_mode()
def test_an_object_has_values_of_its_own_only_near_its_mask(tiny):
    random, network = torch.Generator().manual_seed(0), tiny.network
    query = network.encode_query(torch.rand(1, 3, 16 * SIZE[0], 16 * SIZE[1], generator=random))
    masks = three_masks()
    _, expected = encoded(network, None, masks, query, [])
    key, apart = encoded(network, None, masks, query, windows(masks))
    assert torch.equal(key, query.key) and isinstance(apart, Apart)
    assert apart.nbytes < 0.8 * expected.nbytes
    found = apart.common.T.unflatten(1, SIZE).repeat(3, 1, 1, 1)
    for n, own in apart.own.items():
        own.window.cut(found[n]).add_(own.differs.T.unflatten(1, own.window.shape))
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(apart.common.T.unflatten(1, SIZE), expected, atol=1e-2)
    for mask, mine in zip(masks, windows(masks), strict=True):
        covered = mine.cut(mask)
        assert covered.sum() == mask.sum()
        assert mine.shape[0] >= 2 * MARGIN or mine.shape[0] == SIZE[0]
        assert mine.inner.cut(mask).sum() == mask.sum()


def test_values_are_kept_apart_only_where_that_saves_something():
    masks = three_masks()
    assert windows(masks[:1]) == []
    wide = torch.ones_like(masks)
    assert windows(wide) == []
    assert windows(torch.cat([masks, 0 * masks[:1]]))[3] is None  # hidden


@pytest.mark.parametrize("count", [1, 3, 2 * AT_ONCE + 3])
def test_windows_in_groups_hold_the_windows_and_cost_no_more_than_calls_for_each(count):
    random = np.random.default_rng(count)
    given = {}
    for n in range(count):
        height, width = int(random.integers(2, 12)), int(random.integers(2, 30))
        top, left = int(random.integers(0, 13 - height)), int(random.integers(0, 31 - width))
        given[n] = Window((top, top + height), (left, left + width), SIZE)
    groups = together(given)
    assert sorted(n for members, _ in groups for n in members) == list(range(count))
    for members, windows in groups:
        assert len(members) <= AT_ONCE and len({one.shape for one in windows}) == 1
        for n, one in zip(members, windows, strict=True):
            assert one.rows[0] <= given[n].rows[0] and given[n].rows[1] <= one.rows[1] <= SIZE[0]
            assert one.columns[0] <= given[n].columns[0] and given[n].columns[1] <= one.columns[1] <= SIZE[1]
    cost = sum(len(windows) * windows[0].cells + CALL for _, windows in groups)
    assert cost <= sum(one.cells + CALL for one in given.values())


def test_an_object_that_was_lost_is_decoded_everywhere_the_others_in_their_windows():
    known = Whereabouts(0.3)
    for masks in (three_masks(), three_masks() * torch.tensor([1, 1, 0]).view(3, 1, 1)):
        known.update(cells_of(masks).numpy(), masks.sum((1, 2)).tolist(), masks.shape[1:])
    assert known.window(3, SIZE) == Window.whole(SIZE)
    found = known.windows(3, Window.whole(SIZE))
    assert found[2] == Window.whole(SIZE)
    assert max(one.cells for one in found[:2]) < found[2].cells


def test_objects_may_come_later_and_go_where_values_are_kept_apart(tiny, monkeypatch):
    clip, kinds = squares(8, 192, 480, objects=3), []
    write = MemoryBank.write
    spy = lambda bank, t, key, value, **rest: kinds.append(type(value)) or write(bank, t, key, value, **rest)  # noqa: E731
    monkeypatch.setattr(MemoryBank, "write", spy)
    engine = Propagator(tiny)
    for t, (frame, labels) in enumerate(clip):
        given = {0: np.where(labels < 3, labels, 0), 3: np.where(labels == 3, labels, 0)}.get(t)
        result = engine.step(t, frame, Prompt.from_mask(given) if given is not None else (), absent=[1])
        assert result.labels.shape == labels.shape
        assert engine.bank.nbytes <= len(engine.bank.frames) * engine.bank.frame_bytes
    assert Apart in kinds and result.objects == (1, 2, 3)
