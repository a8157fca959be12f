"""Laws of where an object is looked for: near its last mask, everywhere once it was lost."""

import numpy as np
import pytest
import torch
from conftest import COLOURS, check, squares

from stm_core import MemoryConfig, Prompt, Propagator
from stm_core.engine.whereabouts import (
    AHEAD,
    CELL,
    EDGE,
    GAP,
    MISSED,
    OWN_GAP,
    STEPS,
    Whereabouts,
    cells_of,
    dilated,
)
from stm_core.memory.bank import MemoryBank
from stm_core.memory.policy import PRESETS, Trust
from stm_core.memory.window import Window
from stm_core.networks.interface import LOGIT_LIMIT

SIZE = (64, 160)


def mask(left, width, size=SIZE):
    one = torch.zeros(1, *size)
    one[:, 16:32, left : left + width] = 1
    return one


def saw(whereabouts, masks):
    """Takes masks (N, H, W) as those of the frame before."""
    whereabouts.update(cells_of(masks).numpy(), masks.sum((1, 2)).tolist(), masks.shape[1:])


def found(whereabouts, count=1):
    """Which columns may hold each object, when the network says yes everywhere."""
    return whereabouts.bound(torch.full((count, *SIZE), 5.0))[:, 24] > 0


def test_an_object_is_found_within_reach_and_not_beyond():
    near = Whereabouts(0.5)  # of 64 lines: two cells
    saw(near, mask(64, 16))
    assert found(near)[0].nonzero().flatten().tolist() == list(range(32, 112))
    refused = near.bound(torch.full((1, *SIZE), 5.0))[0, 24, 0]
    assert refused == -LOGIT_LIMIT


@pytest.mark.parametrize("left_over, everywhere", [(0, True), (9, True), (11, False)])
def test_a_lost_object_is_looked_for_everywhere(left_over, everywhere):
    whereabouts = Whereabouts(0.3)
    saw(whereabouts, mask(0, 100))
    saw(whereabouts, mask(0, left_over))
    assert bool(found(whereabouts).all()) is everywhere


def test_an_object_that_goes_away_shrinks_and_is_not_lost():
    whereabouts = Whereabouts(0.3)
    for width in (160, 120, 90, 66, 48, 36, 26, 19, 14, 10, 8):
        saw(whereabouts, mask(0, width))
    assert not found(whereabouts).all()


def test_an_object_that_is_new_may_be_anywhere():
    whereabouts = Whereabouts(0.3)
    saw(whereabouts, mask(0, 16))
    old, new = found(whereabouts, 2)
    assert not old.all() and new.all()
    whereabouts.forget()
    assert found(whereabouts).all()


def test_the_window_holds_where_objects_most_likely_are_and_little_more():
    wide = Whereabouts(3.0)
    saw(wide, torch.cat([mask(0, 16), mask(32, 16)]))
    assert wide.window(2, (4, 10)) == Window((0, 4), (0, 3 + AHEAD + EDGE), (4, 10))
    saw(wide, mask(144, 16).repeat(2, 1, 1))  # both moved far
    assert wide.window(2, (4, 10)) == Window.whole((4, 10))
    saw(wide, mask(144, 16).repeat(2, 1, 1))
    assert wide.window(2, (4, 10)) == Window((0, 4), (9 - AHEAD - EDGE, 10), (4, 10))


def test_the_window_is_never_wider_than_the_reach_and_widened_it_holds_all_of_it():
    near = Whereabouts(0.5)  # two cells
    for left in (0, 128):
        saw(near, mask(left, 16))
    window = near.window(1, (4, 10))
    assert window == Window((0, 4), (8 - 2 - EDGE, 10), (4, 10))
    near.widen()
    assert near.window(1, (4, 10)) == window


@pytest.mark.parametrize(
    "parts, again", [([(64, 32)], False), ([(76, 32)], False), ([(130, 32)], True), ([(64, 8)], True)]
)
def test_who_went_further_than_usual_or_is_half_gone_is_looked_for_once_more(parts, again):
    wide = Whereabouts(3.0)
    saw(wide, mask(64, 32))
    columns(wide, *parts)
    assert wide.beyond is again


@pytest.mark.parametrize("way", [16, 48, 128, 304])
def test_an_object_that_jumps_is_found_where_it_lands_and_the_read_counts_once(colour, way):
    engine = Propagator(colour, memory=MemoryConfig(trust=Trust(reach=2.0)))
    lefts = [32, 32, 32 + way, 32 + way]
    for t, left in enumerate(lefts):
        labels = np.zeros((160, 960), np.uint8)
        labels[64:96, left : left + 32] = 1
        result = engine.step(t, COLOURS[labels], Prompt.from_mask(labels) if t == 0 else ())
        assert np.array_equal(result.labels, labels), t
        _ = engine.bank.usage
        assert [frame.reads for frame in engine.bank.stored if frame.pinned] == [t]


@pytest.mark.parametrize("left", range(0, 1600, 112))
def test_windows_have_few_sizes_and_lie_inside_the_frame(left):
    size = (64, 1600)
    whereabouts = Whereabouts(0.3)
    saw(whereabouts, mask(left, 30, size))
    first, last = whereabouts.window(1, (4, 100)).columns
    assert 0 <= first < last <= 100
    assert (last - first) % round(100 / STEPS) == 0 or (first, last) == (0, 100)
    columns = whereabouts.bound(torch.full((1, *size), 5.0))[0, 24].gt(0).nonzero().flatten() // 16
    whereabouts.widen()
    first, last = whereabouts.window(1, (4, 100)).columns
    assert first <= columns.min() and columns.max() < last


@pytest.mark.parametrize("why", ["no frame before", "no reach", "an object was lost", "an object is new"])
def test_the_window_is_the_whole_frame_where_an_object_may_be_anywhere(why):
    whereabouts = Whereabouts(None if why == "no reach" else 0.3)
    for width in {"no frame before": (), "an object was lost": (100, 0)}.get(why, (16,)):
        saw(whereabouts, mask(0, width))
    count = 2 if why == "an object is new" else 1
    assert whereabouts.window(count, (4, 10)) == Window.whole((4, 10))
    assert found(whereabouts, count)[-1].all()


def run(model, frames=8, size=None, preset="bounded"):
    """Results of following a square over wide frames, and the columns of cells seen and read for each."""
    read, encode = MemoryBank.read, model.network.encode_query
    seen, wide = [], []
    with pytest.MonkeyPatch.context() as patch:
        spy = lambda bank, key, cells: wide.append(key.shape[-1]) or read(bank, key, cells)  # noqa: E731
        patch.setattr(MemoryBank, "read", spy)
        patch.setattr(
            model.network, "encode_query", lambda frame: seen.append(frame.shape[-1] // 16) or encode(frame)
        )
        engine = Propagator(model, size=size, memory=MemoryConfig(preset, trust=Trust(reach=0.3)))
        clip = squares(frames, width=256)
        results = [engine.step(t, f, Prompt.from_mask(m) if t == 0 else ()) for t, (f, m) in enumerate(clip)]
    return results, seen, wide


@pytest.mark.parametrize("size", [None, 61])  # 61 lines: cells of features and masks do not coincide
def test_looking_only_into_the_window_changes_no_mask(colour, size, monkeypatch):
    narrow, *_ = run(colour, size=size)
    monkeypatch.setattr(Whereabouts, "window", lambda self, count, size: Window.whole(size))
    whole, *_ = run(colour, size=size)
    for one, other in zip(narrow, whole, strict=True):
        assert np.allclose(one.probs, other.probs, atol=1e-6)
        assert np.array_equal(one.labels, other.labels)


def test_objects_far_apart_are_decoded_each_in_its_own_window(colour, monkeypatch):
    clip, decode, shapes = [], colour.network.decode, []
    for t in range(6):
        labels = np.zeros((96, 512), np.uint8)
        labels[16:32, 16 * t : 16 * t + 16] = 1
        labels[64:80, 16 * t + 384 : 16 * t + 400] = 2
        clip.append((COLOURS[labels], labels))
    spy = lambda read, query: shapes.append(read.shape) or decode(read, query)  # noqa: E731
    monkeypatch.setattr(colour.network, "decode", spy)
    engine = Propagator(colour, memory=MemoryConfig(trust=Trust(reach=0.3)))
    check([engine.step(t, f, Prompt.from_mask(m) if t == 0 else ()) for t, (f, m) in enumerate(clip)], clip)
    assert {shape[0] for shape in shapes} == {2}  # together
    assert max(shape[3] for shape in shapes) < 16  # of 32 cells


@pytest.mark.parametrize("preset", PRESETS)
def test_prompted_frames_are_seen_whole_the_others_near_the_object_and_stored_so(colour, preset):
    results, seen, read = run(colour, preset=preset)
    assert seen[0] == 16 and max(seen[1:]) < 16
    assert max(read) < 16
    whole = 4 * 16 * (colour.network.key_channels + colour.network.value_channels) * 4
    for result in results:
        memory = result.memory
        part = memory.nbytes < len(memory.frames) * whole
        assert part == any(t not in memory.pinned and t > 0 for t in memory.frames)


def columns(whereabouts, *parts):
    """Columns found where the network finds these parts, (left, width) each."""
    logits = torch.full((1, *SIZE), -5.0)
    for left, width in parts:
        logits[:, 16:32, left : left + width] = 5
    return whereabouts.bound(logits)[0, 24].gt(0).nonzero().flatten().tolist()


def test_a_part_apart_from_the_mask_before_is_dropped_if_it_is_the_smaller_one():
    wide = Whereabouts(3.0)
    saw(wide, mask(0, 32))
    gap = 8 * GAP
    assert columns(wide, (0, 32), (32 + gap + 8, 16)) == list(range(32))
    beside = (32 + gap - 8, 16)  # a pole hides the middle
    assert columns(wide, (0, 32), beside) == [*range(32), *range(beside[0], sum(beside))]
    reaching = (8, 32 + gap + 16)  # it grew: one part
    assert columns(wide, reaching) == list(range(8, sum(reaching)))
    moved = (72, 32)  # all of it, or more than half
    assert columns(wide, moved) == list(range(72, 104))
    assert columns(wide, (20, 8), moved) == [*range(20, 28), *range(72, 104)]


def test_a_part_that_was_missed_for_a_moment_may_come_back():
    wide, both = Whereabouts(3.0), ((0, 32), (96, 16))
    saw(wide, mask(0, 32) + mask(96, 16))
    for _ in range(MISSED):
        assert columns(wide, *both) == [*range(32), *range(96, 112)]
        saw(wide, mask(0, 32))
    assert columns(wide, *both) == [*range(32), *range(96, 112)]
    saw(wide, mask(0, 32))
    assert columns(wide, *both) == list(range(32))


def test_parts_of_a_large_object_may_lie_further_away():
    whereabouts, size = Whereabouts(1.0), (640, 1600)
    large = torch.zeros(1, *size)
    large[:, :, :800] = 1
    saw(whereabouts, large)
    gap = 8 * round(OWN_GAP * (640 * 800) ** 0.5 / 8)
    assert gap > 8 * GAP
    for left, kept in ((800 + gap - 8, True), (800 + gap + 8, False)):
        logits = 10 * large - 5
        logits[:, :, left : left + 16] = 5
        assert bool(whereabouts.bound(logits)[0, 320, left] > 0) is kept


def test_a_lost_or_a_new_object_may_come_in_parts():
    whereabouts = Whereabouts(1.0)
    saw(whereabouts, mask(0, 100))
    saw(whereabouts, mask(0, 8))
    assert columns(whereabouts, (0, 16), (100, 8)) == [*range(16), *range(100, 108)]
    saw(whereabouts, mask(0, 100))
    parts = torch.full((2, *SIZE), -5.0)
    parts[:, 16:32, :32], parts[:, 16:32, 144:150] = 5, 5
    old, new = whereabouts.bound(parts)[:, 24] > 0
    assert not old[144:].any() and old[:32].all() and new[144:150].all()


def test_parts_of_one_object_do_not_hold_those_of_another():
    whereabouts = Whereabouts(3.0)
    saw(whereabouts, torch.cat([mask(0, 32), mask(120, 32)]))
    parts = torch.full((2, *SIZE), -5.0)
    parts[:, 16:32, :32], parts[:, 16:32, 120:144] = 5, 5
    one, two = whereabouts.bound(parts)[:, 24] > 0
    assert one[:32].all() and not one[120:].any()  # the smaller part is apart
    assert two[120:144].all() and two[:32].all()  # the larger one is


@pytest.mark.parametrize("reach", [None, 0.3])
def test_a_double_far_away_is_left_alone_within_reach(colour, reach):
    engine = Propagator(colour, memory=MemoryConfig(trust=Trust(reach=reach)))
    for t, (frame, labels) in enumerate(squares(3)):
        twins = frame.copy()
        if t:  # the same colour turns up in the far corner
            twins[-16:, -16:] = frame[labels == 1][0]
        result = engine.step(t, twins, Prompt.from_mask(labels) if t == 0 else ())
        if t:
            assert np.array_equal(result.labels, labels) == (reach is not None)


@pytest.mark.parametrize("size", [(64, 160), (61, 155), (5, 9)])
def test_cells_are_those_with_a_pixel_and_grow_by_whole_cells(size):
    masks = (torch.rand(3, *size, generator=torch.Generator().manual_seed(1)) > 0.99).float()
    found = cells_of(masks)
    assert torch.equal(found, torch.nn.functional.max_pool2d(masks, CELL, ceil_mode=True) > 0)
    for radius in (0, 1, 2, 5):
        expected = torch.nn.functional.max_pool2d(found.float(), 2 * radius + 1, 1, radius) > 0
        np.testing.assert_array_equal(dilated(found.numpy(), radius), expected.numpy())
