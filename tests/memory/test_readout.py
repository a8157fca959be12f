import itertools

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from stm_core.memory.footprint import read_peak_bytes
from stm_core.memory.readout import CHUNK_BYTES, chunk_rows, maps, read, rows, where


def some(batch=1, frames=3, positions=5, objects=2, key=4, value=6, queries=7, seed=0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    keys = torch.randn(batch, frames, positions, key, generator=random, dtype=dtype)
    values = torch.randn(batch, frames, positions, objects, value, generator=random, dtype=dtype)
    return keys, values, torch.randn(1, queries, key, generator=random, dtype=dtype)


def plainly(keys, values, query, scale):
    """The read as the paper writes it, affinity and all."""
    affinity = torch.einsum("bqc,bmc->bqm", query.expand(len(keys), -1, -1), keys.flatten(1, 2)) * scale
    return torch.einsum("bqm,bmnc->bnqc", affinity.softmax(-1), values.flatten(1, 2))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("chunk", [None, 1])
def test_read_is_softmax_attention_in_any_chunks(batch, chunk):
    keys, values, query = some(batch, queries=40)
    result = read([keys], [values], query, scale=0.5, chunk_bytes=chunk)
    torch.testing.assert_close(result.value, plainly(keys, values, query, 0.5))


def test_readout_of_one_memory_cell_returns_its_value():
    keys, values, query = some(frames=1, positions=1)
    expected = values[0, 0, 0].unsqueeze(1).expand(-1, 7, -1)
    torch.testing.assert_close(read([keys], [values], query, scale=1.0).value[0], expected)


def test_order_and_blocks_of_frames_do_not_matter():
    keys, values, query = some()
    whole = read([keys], [values], query, scale=1.0)
    split = read([keys[:, 2:], keys[:, :2]], [values[:, 2:], values[:, :2]], query, scale=1.0)
    torch.testing.assert_close(split.value, whole.value)
    torch.testing.assert_close(split.usage, whole.usage[[2, 0, 1]])


def test_top_k_of_all_positions_is_the_full_read():
    keys, values, query = some()
    full = read([keys], [values], query, scale=1.0)
    for k in (15, 99):
        torch.testing.assert_close(read([keys], [values], query, scale=1.0, top_k=k).value, full.value)


def test_top_1_returns_the_value_of_the_best_match():
    keys, values, query = some(objects=1)
    best = (query @ keys.flatten(1, 2).transpose(1, 2)).argmax(-1)[0]
    result = read([keys], [values], query, scale=1.0, top_k=1)
    torch.testing.assert_close(result.value[0, 0], values.flatten(1, 2)[0, best, 0])


def test_a_margin_of_nothing_reads_the_best_match_and_a_wide_one_everything():
    keys, values, query = some(objects=1)
    best = read([keys], [values], query, scale=1.0, top_k=1)
    torch.testing.assert_close(read([keys], [values], query, scale=1.0, margin=1e-6).value, best.value)
    full = read([keys], [values], query, scale=1.0)
    torch.testing.assert_close(read([keys], [values], query, scale=1.0, margin=1e3).value, full.value)


def test_a_margin_leaves_out_what_lies_further_below_the_best():
    keys, values, query = some(objects=2)
    affinity = query @ keys.flatten(1, 2).transpose(1, 2)
    affinity[affinity < affinity.amax(-1, keepdim=True) - 0.7] = float("-inf")
    expected = torch.einsum("bqm,bmnc->bnqc", affinity.softmax(-1), values.flatten(1, 2))
    torch.testing.assert_close(read([keys], [values], query, scale=1.0, margin=0.7).value, expected)


@pytest.mark.parametrize("options", [{}, {"margin": 0.7}, {"top_k": 99}, {"top_k": 99, "margin": 1}], ids=str)
def test_a_frame_trusted_twice_counts_as_one_stored_twice(options):
    keys, values, query = some()
    twice = [0, 1, 1, 2]
    expected = read([keys[:, twice]], [values[:, twice]], query, scale=1.0, **options)
    result = read([keys], [values], query, scale=1.0, trust=[1, 2, 1], **options)
    torch.testing.assert_close(result.value, expected.value)
    together = torch.zeros(3).index_add(0, torch.tensor(twice), expected.usage)
    torch.testing.assert_close(result.usage, together)
    looks = where([keys], query[:, :1], scale=1.0, trust=[1, 2, 1], **options)
    alone = read([keys], [values], query[:, :1], scale=1.0, trust=[1, 2, 1], **options)
    torch.testing.assert_close(looks.sum(1), alone.usage)


def test_trust_counts_among_the_k_best_too():
    keys, values, query = some(frames=2, positions=1, objects=1)
    result = read([keys], [values], query, scale=1.0, top_k=1, trust=[1, 1e4])
    torch.testing.assert_close(result.value, read([keys], [values], query, scale=1.0, top_k=1).value)
    result = read([keys], [values], query, scale=1.0, top_k=2, trust=[1, 1e9])
    heavy = values[0, 1, 0, 0].expand(1, 1, 7, -1)
    torch.testing.assert_close(result.value, heavy)


def test_trust_in_frames_that_do_not_know_an_object_does_not_matter():
    keys, values, query = some()
    present = torch.tensor([[[True, True, True], [True, False, True]]])
    values, less = hidden(values, present), [0, 2]
    result = read([keys], [values], query, scale=1.0, trust=[3, 5, 1], present=present)
    alone = read([keys[:, less]], [values[:, less]], query, scale=1.0, trust=[3, 1])
    torch.testing.assert_close(result.value[:, 1], alone.value[:, 1])


def test_a_margin_holds_among_the_k_best_too():
    keys, values, query = some(objects=2)
    affinity = query @ keys.flatten(1, 2).transpose(1, 2)
    margin = float((affinity.amax(-1) - affinity.amin(-1)).min()) - 1e-3  # each query leaves its last one out
    expected = read([keys], [values], query, scale=1.0, margin=margin)
    for k in (14, 15):  # one less than all, and all
        result = read([keys], [values], query, scale=1.0, margin=margin, top_k=k)
        torch.testing.assert_close(result.value, expected.value)
        torch.testing.assert_close(result.usage, expected.usage)
        looks = where([keys], query[:, :1], scale=1.0, margin=margin, top_k=k)
        torch.testing.assert_close(looks, where([keys], query[:, :1], scale=1.0, margin=margin))


def hidden(values, present):
    """Values (B, S, P, N, Cv) with zeros where present (B, N, S) hides them."""
    return values * present.transpose(1, 2)[:, :, None, :, None]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"margin": 1e4}, {"chunk_bytes": 1}], ids=str)
@pytest.mark.parametrize("scale", [1.0, 1e4], ids=["mild", "where weights vanish"])
def test_frames_that_do_not_know_an_object_are_left_out_of_its_softmax(shared, options, scale):
    keys, values, query = some(batch=1 if shared else 2, objects=2 if shared else 1)
    present = torch.tensor([[True, True, True], [True, False, True]])
    shaped = present.unsqueeze(0) if shared else present.unsqueeze(1)
    values = hidden(values, shaped)
    result = read([keys], [values], query, scale=scale, present=shaped, **options)
    full = read([keys], [values], query, scale=scale, **options)
    less = [0, 2]
    alone = read([keys[:, less]], [values[:, less]], query, scale=scale, **options)
    torch.testing.assert_close(result.value.flatten(0, 1)[0], full.value.flatten(0, 1)[0])
    torch.testing.assert_close(result.value.flatten(0, 1)[1], alone.value.flatten(0, 1)[1])
    if shared:
        expected = full.usage + torch.zeros(3).index_add(0, torch.tensor(less), alone.usage)
        torch.testing.assert_close(result.usage, expected / 2)


def test_half_precision_reads_hidden_frames_as_float32_does():
    keys, values, query = some()
    present = torch.tensor([[[True, True, True], [True, False, True]]])
    values = hidden(values, present)
    expected = read([keys], [values], query, scale=1.0, present=present)
    result = read([keys.half()], [values.half()], query.half(), scale=1.0, present=present)
    torch.testing.assert_close(result.value.float(), expected.value, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(result.usage, expected.usage, atol=1e-2, rtol=1e-2)


def test_an_object_without_a_position_inside_the_margin_is_read_by_its_own_best():
    keys, values, query = some(queries=40)
    present = torch.tensor([[[True, True, True], [True, False, True]]])
    values = hidden(values, present)
    result = read([keys], [values], query, scale=9.0, margin=0.5, present=present)
    alone = read([keys[:, [0, 2]]], [values[:, [0, 2]]], query, scale=9.0, margin=0.5)
    best = (query @ keys.flatten(1, 2).transpose(1, 2)).argmax(-1)[0] // 5
    elsewhere = best == 1  # their best match lies in the frame that does not know the object
    assert elsewhere.any()
    assert result.value.isfinite().all() and (result.value[0, 1].abs().sum(-1) > 0).all()
    torch.testing.assert_close(result.value[0, 1, ~elsewhere], alone.value[0, 1, ~elsewhere])


def test_an_object_present_nowhere_reads_zeros_and_uses_nothing():
    keys, values, query = some()
    present = torch.tensor([[[True, False, False], [False, False, False]]])
    result = read([keys], [hidden(values, present)], query, scale=1.0, present=present)
    assert result.value[0, 1].abs().max() == 0 and result.value.isfinite().all()
    torch.testing.assert_close(result.usage, torch.tensor([1.0, 0, 0]))


def test_usage_is_the_share_of_the_softmax_mass():
    keys, values, query = some()
    weights = (query @ keys.flatten(1, 2).transpose(1, 2)).softmax(-1)
    expected = weights.unflatten(-1, (3, 5)).sum((0, 1, 3)) / 7
    for chunk in (None, 1):
        usage = read([keys], [values], query, scale=1.0, chunk_bytes=chunk).usage
        torch.testing.assert_close(usage, expected)
        assert usage.sum() == pytest.approx(1)


def test_large_affinities_do_not_overflow():
    keys, values, query = some()
    assert read([keys], [values], query, scale=1e6).value.isfinite().all()


def test_gradients_are_right():
    keys, values, query = some(positions=2, queries=20, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (keys, values, query)]

    def value(keys, values, query, **options):
        return read([keys], [values], query, scale=0.7, chunk_bytes=1, **options).value

    assert torch.autograd.gradcheck(value, inputs, fast_mode=True)
    assert torch.autograd.gradcheck(lambda *three: value(*three, top_k=3), inputs, fast_mode=True)
    heavy = {"trust": [2, 1, 0.5]}
    for options in ({"margin": 0.5}, {"margin": 0.5, "top_k": 3}, heavy, heavy | {"margin": 0.5, "top_k": 3}):
        assert torch.autograd.gradcheck(lambda *three, o=options: value(*three, **o), inputs, fast_mode=True)
    present = torch.tensor([[[True, True, True], [True, False, True]]])

    def partly(keys, values, query):
        return value(keys, hidden(values, present), query, present=present)

    assert torch.autograd.gradcheck(partly, inputs, fast_mode=True)


def test_rows_and_maps_are_inverse_and_copy_nothing_when_channels_last():
    image = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert rows(image).data_ptr() == image.data_ptr() and rows(image).is_contiguous()
    assert torch.equal(maps(rows(image), 4, 5), image)


def test_chunks_are_even_and_fit():
    assert chunk_rows(1620, 1, "cpu") == 1620
    step = chunk_rows(1620, 6 * 1620 * 2, "cpu")
    assert step * 6 * 1620 * 2 <= CHUNK_BYTES["cpu"] and step == 810


class Peak(TorchDispatchMode):
    """Bytes of all tensors made inside that were alive at once."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and not func.is_view:
                self._watch(tensor.untyped_storage())
        return result

    def _watch(self, storage):
        import weakref

        if storage.data_ptr() in self.alive or not storage.nbytes():
            return
        self.alive[storage.data_ptr()] = storage.nbytes()
        self.peak = max(self.peak, sum(self.alive.values()))
        weakref.finalize(storage, self.alive.pop, storage.data_ptr(), None)


def most_allocated(action):
    """Bytes alive at once while action runs, those inside kernels too."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        result = action()
    events = measured.profiler.kineto_results.events()
    del result
    return max(itertools.accumulate(event.nbytes() for event in events if event.name() == "[memory]"))


@pytest.mark.parametrize("frames, objects", [(8, 3), (2, 3), (2, 20)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_hiding_frames_from_objects_costs_no_more_than_the_closed_form_even_inside_kernels(
    dtype, frames, objects
):
    sizes = {"batch": 1, "frames": frames, "positions": 300, "objects": objects}
    keys, values, query = (one.to(dtype) for one in some(**sizes, key=64, value=128, queries=300))
    present = torch.ones(1, objects, frames, dtype=torch.bool)
    present[0, 1, 0] = False
    values = hidden(values, present)
    measured = most_allocated(lambda: read([keys], [values], query, scale=0.1, present=present))
    assert 0 < measured <= read_peak_bytes(**sizes, channels=(64, 128), itemsize=keys.element_size())


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"objects": 3},
        {"batch": 3, "objects": 1},
        {"top_k": 20},
        {"top_k": 20, "margin": 1.0},
        {"top_k": 20, "trust": [8] + 5 * [1]},
        {"margin": 1.0, "trust": [8] + 5 * [1]},
        {"chunk_bytes": 2**20},
        {"partial": True, "objects": 2},
    ],
    ids=str,
)
def test_the_affinity_never_exists_and_the_closed_form_bounds_what_is_allocated(case):
    sizes = {"batch": 1, "frames": 6, "positions": 600, "objects": 1, **case}
    margin, trust = sizes.pop("margin", None), sizes.pop("trust", None)
    options = {name: sizes.pop(name) for name in ("top_k", "chunk_bytes", "partial") if name in sizes}
    keys, values, query = some(**sizes, key=16, value=32, queries=600)
    present = None
    if options.pop("partial", False):
        present = torch.ones(1, 2, 6, dtype=torch.bool)
        present[0, 1, 2] = False
    with Peak() as measured:
        read([keys], [values], query, scale=1.0, margin=margin, trust=trust, present=present, **options)
    predicted = read_peak_bytes(**sizes, channels=(16, 32), itemsize=4, **options)
    assert measured.peak <= predicted <= 1.05 * measured.peak
