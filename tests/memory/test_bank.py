import re
import weakref

import pytest
import torch

from stm_core.engine.forecast import predict
from stm_core.errors import LimitError, PromptError
from stm_core.memory.bank import MemoryBank
from stm_core.memory.footprint import Layout
from stm_core.memory.policy import PRESETS, PUBLISHED, MemoryConfig, Trust
from stm_core.networks.interface import Network

CK, CV, H, W = 4, 6, 2, 3


def entry(t, objects=1, keys=1, height=H, width=W, dtype=torch.float32):
    random = torch.Generator().manual_seed(t)
    key = torch.randn(keys, CK, height, width, generator=random)
    return key.to(dtype), torch.randn(objects, CV, height, width, generator=random).to(dtype)


def bank_of(preset="bounded", shared_keys=True, **options):
    return MemoryBank(MemoryConfig(preset=preset, **options), scale=1.0, shared_keys=shared_keys)


def run(bank, frames, read=True, **options):
    for t in range(frames):
        if t and read:
            bank.read(entry(1000 + t)[0])
        bank.write(t, *entry(t, **options), pinned=t == 0)
    return bank


class OneToOne(Network):
    """A network's numbers, for `predict`."""

    key_channels, value_channels, stride = CK, CV, 16

    def __init__(self, shared_keys=True):
        super().__init__()
        self.shared_keys = shared_keys


@pytest.mark.parametrize(
    "preset, frames",
    [
        ("first", [0]),
        ("previous", [12]),
        ("first+previous", [0, 12]),
        ("every-5", [0, 5, 10, 12]),
        ("bounded", [0, 5, 10, 12]),
    ],
)
def test_presets_keep_what_they_say(preset, frames):
    assert run(bank_of(preset), 13).frames == frames


def test_the_least_used_frame_goes_first():
    bank = bank_of(every=1, capacity=4)
    keys = [torch.nn.functional.one_hot(torch.tensor(t), CK).float().view(1, CK, 1, 1) * 9 for t in range(4)]
    values = torch.zeros(1, CV, 1, 1)
    for t in range(4):
        bank.write(t, keys[t], values, pinned=t == 0)
    for seen in (1, 3, 3):
        bank.read(keys[seen])
    bank.write(4, keys[0], values)
    assert bank.frames == [0, 1, 3, 4]


def test_usage_tells_where_the_last_read_looked():
    bank = run(bank_of(), 8)
    bank.read(entry(5)[0] * 50)
    assert set(bank.usage) == {0, 5, 7}
    assert sum(bank.usage.values()) == pytest.approx(1) and max(bank.usage, key=bank.usage.get) == 5


@pytest.mark.parametrize("trust, counts", [(PUBLISHED, [1, 1, 1]), (Trust(4, 0.5), [4, 1, 0.5])])
def test_prompted_and_latest_frames_count_as_often_as_they_should(trust, counts):
    bank = run(MemoryBank(MemoryConfig(), scale=1.0, trust=trust), 8, read=False)
    key = torch.zeros(1, CK, H, W)  # matches everything alike
    bank.read(key)
    shares = [count / sum(counts) for count in counts]
    assert list(bank.usage) == [0, 5, 7] and list(bank.usage.values()) == pytest.approx(shares)
    looks = bank.look(key, 0, 0)
    assert [float(looks[t].sum()) for t in (0, 5, 7)] == pytest.approx(shares)


def test_a_frame_prompted_last_counts_as_prompted():
    bank = MemoryBank(MemoryConfig(), scale=1.0, trust=Trust(prompted=4, latest=0.5))
    for t in (0, 5, 7):
        bank.write(t, *entry(t), pinned=t == 7)
    bank.read(torch.zeros(1, CK, H, W))
    assert bank.usage == pytest.approx({0: 1 / 6, 5: 1 / 6, 7: 4 / 6})


def test_later_prompts_are_pinned_too_and_writing_a_frame_again_replaces_it():
    bank = bank_of(every=5, capacity=3)
    for t in range(30):
        bank.write(t, *entry(t), pinned=t in (0, 12))
    bank.write(29, *entry(5), pinned=True)
    assert bank.pinned == [0, 12, 29] and bank.frames == [0, 12, 29]
    bank.write(30, *entry(30))
    assert bank.frames == [0, 12, 29, 30]  # pinned frames and the previous one stay, even past the capacity


def test_frames_may_count_backwards():
    bank = bank_of("every-5")
    for t in range(40, 27, -1):
        bank.write(t, *entry(t), pinned=t == 40)
    assert bank.frames == [28, 30, 35, 40]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("objects, shared", [(1, True), (3, True), (3, False)])
def test_predicted_bytes_are_the_measured_ones(preset, objects, shared):
    bank = bank_of(preset, shared_keys=shared, capacity=4)
    peak = read_peak = 0
    for t in range(23):
        if t:
            bank.read(entry(t)[0])
        bank.write(t, *entry(t, objects=objects, keys=1 if shared else objects), pinned=t == 0)
        peak, read_peak = max(peak, bank.nbytes), max(read_peak, bank.read_peak_bytes)
    expected = predict(OneToOne(shared), bank.config, H * 16 - 3, W * 16, objects, 23, torch.float32)
    assert bank.nbytes == len(bank.frames) * bank.frame_bytes
    assert (
        bank.frame_bytes
        == expected.frame_bytes
        == H * W * ((1 if shared else objects) * CK + objects * CV) * 4
    )
    assert (peak, read_peak) == (expected.bank_bytes, expected.read_peak_bytes)
    assert bank.unbounded_bytes(22) == expected.unbounded_bytes == 6 * bank.frame_bytes


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("prompted", [(0, 1, 2), (0, 3, 7), (0, 22), (31, 0), (0, 3, 5, 6, 8, 11)], ids=str)
def test_predicted_bytes_bound_those_of_several_prompted_frames(preset, prompted):
    bank = bank_of(preset, capacity=4)
    before = [t for t in prompted if t > 22]  # known, but not on the way
    for t in (*before, *range(23)):
        bank.write(t, *entry(t), pinned=t in prompted)
        options = {"frames": t + 1 if t < 23 else 1, "pinned": len(prompted)}
        expected = predict(OneToOne(), bank.config, H * 16, W * 16, 1, dtype=torch.float32, **options)
        assert bank.nbytes <= expected.bank_bytes
        assert bank.read_peak_bytes <= expected.read_peak_bytes
        assert expected.bank_bytes <= (len(prompted) + 6) * bank.frame_bytes
    if preset == "first":
        assert bank.nbytes == expected.bank_bytes


def test_the_predicted_read_peak_covers_every_number_of_frames_on_the_way():
    """Chunks are even, so that fewer frames may need more for a read; frames hidden from an object, never."""
    network = OneToOne(True)
    config = MemoryConfig(every=1, capacity=9)
    expected = predict(network, config, 480, 854, 3, 60, torch.bfloat16)
    shorter = [predict(network, config, 480, 854, 3, frames, torch.bfloat16) for frames in range(1, 10)]
    assert [one.frames_held for one in shorter] == list(range(1, 10))
    layout = Layout(1, 3, 30 * 54, (CK, CV), torch.bfloat16, "cpu")
    assert expected.read_peak_bytes == max(layout.read_peak_bytes(n, config) for n in range(1, 10))
    assert expected.read_peak_bytes == max(one.read_peak_bytes for one in shorter)
    for megabytes in range(4, 64):
        config = MemoryConfig(every=1, capacity=99, budget_bytes=megabytes * 2**20)
        fitting = predict(network, config, 480, 854, 3, 60, torch.bfloat16)
        assert fitting.bank_bytes + fitting.read_peak_bytes <= config.budget_bytes


def test_the_budget_is_obeyed_by_bank_and_read_together():
    config = MemoryConfig(every=1, capacity=1000, budget_bytes=200_000)
    bank = MemoryBank(config, scale=1.0)
    for t in range(60):
        bank.write(t, *entry(t, height=8, width=8), pinned=t == 0)
        bank.read(entry(t, height=8, width=8)[0])
        assert bank.nbytes + bank.read_peak_bytes <= config.budget_bytes
    assert 3 < len(bank.frames) < 60


def test_a_budget_too_small_is_refused_and_nothing_is_lost():
    bank = bank_of(budget_bytes=50_000)
    bank.write(0, *entry(0, height=8, width=8), pinned=True)
    with pytest.raises(LimitError, match="MB"):
        bank.write(1, *entry(1, objects=9, height=8, width=8), pinned=True)
    assert bank.frames == [0]
    with pytest.raises(LimitError, match="9.537e-05 MB"):
        predict(OneToOne(), MemoryConfig(budget_bytes=100), 64, 64, 1, 9, torch.float32)
    config = MemoryConfig(budget_bytes=7000)
    predict(OneToOne(), config, 64, 64, 1, 9, torch.float32)
    with pytest.raises(LimitError, match="5"):
        predict(OneToOne(), config, 64, 64, 1, 9, torch.float32, pinned=5)


@pytest.mark.parametrize("pinned", [1, 4, 10])
def test_the_limit_that_a_refusal_names_is_enough(pinned):
    layout = Layout(1, 1, 30 * 54, (64, 128), torch.float32, "cpu")
    with pytest.raises(LimitError) as refused:
        layout.most_frames(MemoryConfig(budget_bytes=2**20), pinned)
    enough = int(re.search(r"at least (\d+) MB", str(refused.value))[1])
    assert layout.most_frames(MemoryConfig(budget_bytes=enough * 2**20), pinned) > pinned


def test_storage_does_not_grow_with_the_clip_and_holds_nothing_of_what_was_given():
    bank, given = bank_of(every=2, capacity=5), []
    for t in range(400):
        key, value = entry(t)
        given += [weakref.ref(key.untyped_storage()), weakref.ref(value.untyped_storage())]
        bank.write(t, key, value, pinned=t == 0)
        del key, value
        assert bank.nbytes == min(len(bank.frames), 5) * bank.frame_bytes
    assert not any(storage() for storage in given)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_storage_holds_the_frames_it_should(preset, shared):
    """After any sequence of writes a read equals one over the frames held, written afresh."""
    bank = bank_of(preset, shared_keys=shared, every=2, capacity=4)
    for t in range(17):
        bank.write(t, *entry(t, 2, 1 if shared else 2), pinned=t in (0, 6))
        fresh = bank_of("every-5", shared_keys=shared, every=1)
        for held in bank.frames:
            fresh.write(held, *entry(held, 2, 1 if shared else 2))
        query = entry(99)[0]
        torch.testing.assert_close(bank.read(query), fresh.read(query))


@pytest.mark.parametrize("shared", [True, False])
def test_an_object_added_later_reads_only_frames_that_know_it(shared):
    bank = bank_of("every-5", shared_keys=shared, every=1)
    both = [entry(t, 2, 1 if shared else 2) for t in range(5)]
    for t in range(5):
        key, value = both[t]
        objects = 1 if t < 3 else 2
        bank.write(t, key if shared else key[:objects], value[:objects], pinned=t == 0)
    first, second = bank_of("every-5", every=1), bank_of("every-5", every=1)
    for t in range(5):
        key, value = both[t]
        first.write(t, key[:1], value[:1])
        if t >= 3:
            second.write(t, key[-1:], value[1:])
    query = entry(77)[0]
    result = bank.read(query)
    torch.testing.assert_close(result[:1], first.read(query))
    torch.testing.assert_close(result[1:], second.read(query))
    assert bank.nbytes == 5 * bank.frame_bytes


def test_an_object_never_loses_its_last_memory():
    bank = bank_of("previous")
    bank.write(0, *entry(0, 2), pinned=True)
    bank.write(1, *entry(1, 2), present=(True, False))
    bank.write(2, *entry(2, 2), present=(True, False))
    assert bank.frames == [0, 2] and bank.known == (True, True)
    bank.write(3, *entry(3, 2))
    assert bank.frames == [3]


def test_a_frame_that_knows_no_object_is_not_written():
    bank = run(bank_of(), 3)
    bank.write(3, *entry(3), present=(False,))
    assert bank.frames == [0, 2]


@pytest.mark.parametrize("present", [(), (True,), (True, False, True)])
def test_a_frame_said_to_know_another_number_of_objects_is_a_mistake(present):
    bank, fresh = run(bank_of(), 3, objects=2), bank_of()
    for one in (bank, fresh):
        frames, nbytes = one.frames, one.nbytes
        with pytest.raises(ValueError, match="2"):
            one.write(3, *entry(3, 2), present=present)
        assert (one.frames, one.nbytes) == (frames, nbytes)
    fresh.write(0, *entry(0), pinned=True)  # of one object: nothing was laid out
    assert bank.known == (True, True)


def test_clear_frees_everything_and_another_size_may_follow():
    bank = run(bank_of(), 7, objects=3)
    bank.clear()
    assert bank.frames == [] and bank.nbytes == bank.read_peak_bytes == 0
    bank.write(0, *entry(0, height=5, width=4, dtype=torch.bfloat16), pinned=True)
    assert bank.nbytes == bank.frame_bytes == 5 * 4 * (CK + CV) * 2


def test_another_size_or_fewer_objects_without_clear_is_a_mistake():
    bank = run(bank_of(), 2, objects=2)
    for wrong in (entry(2, 2, height=5), entry(2, 1)):
        with pytest.raises(ValueError, match="clear"):
            bank.write(2, *wrong)


@pytest.mark.parametrize("shared", [True, False])
def test_positions_that_are_read_by_themselves_get_what_a_read_of_all_gives_them(shared):
    bank = run(bank_of(shared_keys=shared), 6, objects=2, keys=1 if shared else 2)
    key, cells = entry(99)[0], torch.tensor([1, 2, 5])
    whole, some = bank.read(key).flatten(2), bank.read(key, cells).flatten(2)
    assert torch.allclose(some[..., cells], whole[..., cells], atol=1e-6)
    assert (some[..., [0, 3, 4]] == 0).all() and sum(bank.usage.values()) == pytest.approx(1)


def test_reading_an_empty_memory_is_refused():
    with pytest.raises(PromptError, match="empty"):
        bank_of().read(entry(0)[0])
