"""Laws of several objects: each is encoded and decoded only where it is, and nothing is lost by that."""

import numpy as np
import pytest
import torch
from conftest import COLOURS, ColourNetwork, squares

from stm_core import MemoryConfig, Prompt, Propagator, Reference, look
from stm_core.engine.decoding import decoded
from stm_core.engine.encoding import MARGIN, encoded, windows_of
from stm_core.engine.whereabouts import Whereabouts, cells_of
from stm_core.memory.apart import Apart
from stm_core.memory.bank import MemoryBank
from stm_core.memory.policy import TUNED
from stm_core.memory.window import AT_ONCE, CALL, Window, cells_within, together
from stm_core.networks.weights import Model

SIZE = (12, 30)


def three_masks():
    masks = torch.zeros(3, 16 * SIZE[0], 16 * SIZE[1])
    masks[0, 40:80, 50:90], masks[1, 100:140, 300:330], masks[2, 20:50, 420:470] = 1, 1, 1
    return masks


@torch.inference_mode()
def test_an_object_has_values_of_its_own_only_near_its_mask(tiny):
    random, network = torch.Generator().manual_seed(0), tiny.network
    query = network.encode_query(torch.rand(1, 3, 16 * SIZE[0], 16 * SIZE[1], generator=random))
    masks = three_masks()
    _, expected = encoded(network, None, masks, query, [])
    key, apart = encoded(network, None, masks, query, windows_of(masks))
    assert torch.equal(key, query.key) and isinstance(apart, Apart)
    assert apart.nbytes < 0.8 * expected.nbytes
    found = apart.common.T.unflatten(1, SIZE).repeat(3, 1, 1, 1)
    for n, own in apart.own.items():
        own.window.cut(found[n]).add_(own.differs.T.unflatten(1, own.window.shape))
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(apart.common.T.unflatten(1, SIZE), expected, atol=1e-2)
    for mask, mine in zip(masks, windows_of(masks), strict=True):
        covered = mine.cut(mask)
        assert covered.sum() == mask.sum()
        assert mine.shape[0] >= 2 * MARGIN or mine.shape[0] == SIZE[0]
        assert mine.inner.cut(mask).sum() == mask.sum()


def test_values_are_kept_apart_only_where_that_saves_something():
    masks = three_masks()
    assert windows_of(masks[:1]) == []
    wide = torch.ones_like(masks)
    assert windows_of(wide) == []
    assert windows_of(torch.cat([masks, 0 * masks[:1]]))[3] is None  # hidden


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


@torch.inference_mode()
def test_only_what_is_decoded_is_read_and_gives_the_same_where_windows_are_enlarged(tiny):
    network, bank = tiny.network, MemoryBank(MemoryConfig(), scale=1.0, bounded=True)
    query = network.encode_query(torch.rand(1, 3, 16 * SIZE[0], 16 * SIZE[1]))
    bank.write(0, *network.encode_memory(None, three_masks(), query), pinned=True)
    windows = [Window((0, 5), (0, 7), SIZE), Window((3, 9), (10, 14), SIZE), Window((2, 6), (5, 10), SIZE)]
    groups = together(dict(enumerate(windows)))
    assert any(one not in windows for _, group in groups for one in group)  # enlarged, to be decoded together
    cells = cells_within(groups)
    assert cells is not None and len(cells) < SIZE[0] * SIZE[1] / 2
    some, every = (decoded(network, bank.read(query.key, at), query, groups) for at in (cells, None))
    assert torch.allclose(some, every, atol=1e-4)


def test_all_is_read_where_that_is_little_more():
    assert cells_within([]) is None
    assert cells_within([([0, 1], [Window.whole(SIZE), Window((0, 2), (0, 2), SIZE)])]) is None


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


def stored(engine):
    """The values of the frames that an engine's bank holds, frames sorted."""
    held = [one.t for one in engine.bank._frames]
    return [values for _, values in sorted(zip(held, engine.bank._storage.values, strict=True))]


def test_a_small_object_that_was_given_has_values_of_its_own_though_no_pixel_is_half_covered(tiny):
    labels = np.zeros((384, 960), np.uint8)
    labels[10:60, 10:60], labels[300:350, 700:760], labels[200, 480] = 1, 2, 3
    engine = Propagator(tiny, size=192)
    engine.step(0, np.zeros((384, 960, 3), np.uint8), Prompt.from_mask(labels))
    [values] = stored(engine)
    assert isinstance(values, Apart) and set(values.own) == {0, 1, 2}


def test_no_frame_takes_more_bytes_than_one_that_is_stored_whole(tiny):
    random, kinds = np.random.default_rng(0), set()
    frame = np.zeros((192, 240, 3), np.uint8)
    for _ in range(20):
        labels = np.zeros(frame.shape[:2], np.uint8)
        for n in range(1, random.integers(3, 7)):
            height, width = random.permutation([random.integers(4, 20), random.integers(4, 100)])
            top, left = random.integers(0, 192 - height), random.integers(0, 240 - width)
            labels[top : top + height, left : left + width] = n
        engine = Propagator(tiny)
        engine.step(0, frame, Prompt.from_mask(labels))
        kinds |= {type(one) for one in stored(engine)}
        assert engine.bank.nbytes <= engine.bank.frame_bytes
    assert kinds == {Apart, torch.Tensor}


class LocalColour(ColourNetwork):
    """The same, whose memory may keep objects apart."""

    local = bounded = True
    scale = 50.0


def comes_and_goes():
    """A clip of three squares of which the second is hidden for a while, and what is given for it."""
    clip = squares(26, 256, 480, objects=3)
    for t in range(8, 12):
        frame, labels = clip[t]
        frame[labels == 2], labels[labels == 2] = COLOURS[0], 0
    given = {
        0: [Prompt.from_mask(np.where(clip[0][1] == 1, 1, 0).astype(np.uint8))],
        3: [Prompt.from_mask(np.where(clip[3][1] == 2, 2, 0).astype(np.uint8))],
        6: [Prompt.from_clicks([(8 + 16 * ((6 + 2) % 30), 40, 1, 3)])],
        15: [Prompt.from_mask(clip[15][1])],
    }
    return clip, given


def test_values_are_apart_only_where_such_values_can_be_read():
    key = torch.zeros(1, 3, 2, 2)
    banks = {
        (top_k, bounded, shared): MemoryBank(
            MemoryConfig(top_k=top_k), scale=1.0, bounded=bounded, shared_keys=shared
        )
        for top_k in (None, 4)
        for bounded in (True, False)
        for shared in (True, False)
    }
    assert [options for options, bank in banks.items() if bank.reads_apart(key)] == [(None, True, True)]
    assert not any(bank.reads_apart(key.half()) for bank in banks.values())


def test_objects_that_come_go_and_return_are_found_with_values_apart_as_without(monkeypatch):
    clip, given = comes_and_goes()
    model = Model(LocalColour().for_inference(), "colour", torch.device("cpu"), torch.float32)
    memory = MemoryConfig(every=2, capacity=4, trust=TUNED)
    runs = []
    for apart in (True, False):
        if not apart:
            monkeypatch.setattr(MemoryBank, "reads_apart", lambda *_: False)
        engine, results, kinds, held = Propagator(model, memory=memory), [], set(), set()
        engine.remember(Reference(100, *clip[0]))
        for t, (frame, labels) in enumerate(clip):
            results.append(engine.step(t, frame, given.get(t, ()), absent=[1] if 18 <= t < 20 else []))
            kinds |= {type(one) for one in stored(engine)}
            held |= set(engine.bank.frames)
            assert engine.bank.nbytes <= len(engine.bank.frames) * engine.bank.frame_bytes
            expected = np.where((labels == 1) & (18 <= t < 20), 0, labels)
            np.testing.assert_array_equal(results[-1].labels, expected, f"frame {t}")
        assert (Apart in kinds) is apart
        assert len(held) > len(engine.bank.frames) + 4  # frames were evicted
        runs.append(results)
    for one, other in zip(*runs, strict=True):
        np.testing.assert_allclose(one.probs, other.probs, atol=1e-4)
        assert one.memory.usage == pytest.approx(other.memory.usage, abs=1e-4)


def test_a_look_at_a_run_of_several_objects_gives_the_weights_of_the_run_and_its_votes(tiny):
    noise, clip = np.random.default_rng(0), squares(8, 192, 480, objects=3)
    clip = [(np.uint8(0.7 * f + noise.integers(0, 60, f.shape)), labels) for f, labels in clip]
    memory = MemoryConfig(every=3, capacity=4)
    engine, masks = Propagator(tiny, memory=memory), {}
    for t in range(7):
        given = Prompt.from_mask(clip[t][1]) if t in (0, 4) else ()
        masks[t] = engine.step(t, clip[t][0], given).labels
    assert any(isinstance(one, Apart) for one in stored(engine))
    expected = engine.look(clip[7][0], 50, 41)
    held = engine.step(7, clip[7][0]).memory.read
    found = look(
        tiny, {t: frame for t, (frame, _) in enumerate(clip)}, held, masks, 7, (50, 41), memory=memory
    )
    for one in found.stored:
        np.testing.assert_allclose(one.weights, expected[one.t], atol=1e-3 * expected[one.t].max() + 1e-9)
    for n in (1, 2, 3):
        if all(one.present[n - 1] for one in held):
            vote = sum((one.weights * (masks[one.t] == n)).sum() for one in found.stored)
            assert found.votes[n] == pytest.approx(vote, abs=2e-3)
