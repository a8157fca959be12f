"""Laws of the memory read: the softmax attention of the paper, whatever is hidden, trusted or left out."""

import itertools
import weakref

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from stm_core.memory import readout
from stm_core.memory.apart import Apart
from stm_core.memory.bank import MemoryBank
from stm_core.memory.footprint import read_peak_bytes
from stm_core.memory.policy import MemoryConfig
from stm_core.memory.readout import CHUNK_BYTES, chunk_rows, maps, rows, where
from stm_core.memory.window import Window

PARTLY = torch.tensor(
    [[[True, True, True], [True, False, True]]]
)  # (B, N, S): frame 1 does not know object 1
LOST = torch.tensor([[[True, False, False], [False, False, False]]])  # nobody knows object 1


def some(batch=1, frames=3, positions=5, objects=2, key=4, value=6, queries=7, seed=0, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    keys = torch.randn(batch, frames, positions, key, generator=random, dtype=dtype)
    values = torch.randn(batch, frames, positions, objects, value, generator=random, dtype=dtype)
    return keys, values, torch.randn(1, queries, key, generator=random, dtype=dtype)


def read(keys, values, query, **options):
    """`readout.read` of keys (B, S, P, Ck) and values (B, S, P, N, Cv)."""
    return readout.read(keys.unbind(1), values.unbind(1), query, **options)


def hidden(values, present):
    """Values (B, S, P, N, Cv) with zeros where present (B, N, S) hides them."""
    return values * present.transpose(1, 2)[:, :, None, :, None]


def plainly(keys, values, query, scale, *, top_k=None, trust=None, present=None):
    """(value, usage) as the paper writes the read: object by object, affinity and all."""
    batch, frames, positions, objects = values.shape[:4]
    affinity = scale * query.expand(batch, -1, -1) @ keys.flatten(1, 2).transpose(1, 2)
    weight = torch.ones(frames) if trust is None else torch.tensor(trust)
    weight = weight.repeat_interleave(positions)
    read, usage = [], torch.zeros(frames)
    for n in range(objects):
        known = torch.ones(batch, frames) if present is None else present[:, n].float()
        known = known.repeat_interleave(positions, 1)[:, None]
        seen = affinity.masked_fill(known == 0, -1e30)
        if top_k is not None and top_k < seen.shape[-1]:
            seen = seen.masked_fill(seen < seen.topk(top_k).values[..., -1:], -1e30)
        best = seen.amax(-1, keepdim=True)
        mass = known * weight * (seen - best).exp()
        mass = mass / mass.sum(-1, keepdim=True).clamp(min=1e-12)
        read.append(mass @ values[:, :, :, n].flatten(1, 2))
        usage += mass.unflatten(-1, (frames, positions)).sum((0, 1, 3))
    return torch.stack(read, 1), usage / usage.sum()


TRUST = [3.0, 0.5, 1.0]
OPTIONS = [
    *({}, {"top_k": 4}, {"top_k": 15}, {"top_k": 99}, {"trust": TRUST}, {"top_k": 4, "trust": TRUST}),
    *({"present": PARTLY}, {"present": LOST}, {"present": PARTLY, "top_k": 4}),
    {"present": PARTLY, "trust": TRUST},
]


def named(options):
    return "-".join(name if name == "present" else f"{name} {value}" for name, value in options.items())


@pytest.mark.parametrize("chunk_bytes", [None, 1])
@pytest.mark.parametrize("scale", [0.5, 1e4], ids=["mild", "where weights vanish"])
@pytest.mark.parametrize("options", OPTIONS, ids=named)
def test_a_read_is_the_softmax_attention_of_the_paper(options, scale, chunk_bytes):
    keys, values, query = some(queries=40)
    values = hidden(values, options["present"]) if "present" in options else values
    value, usage = plainly(keys, values, query, scale, **options)
    result = read(keys, values, query, scale=scale, chunk_bytes=chunk_bytes, **options)
    torch.testing.assert_close(result.value, value)
    torch.testing.assert_close(result.usage, usage)


@pytest.mark.parametrize("options", [one for one in OPTIONS if "present" not in one], ids=named)
def test_where_a_position_looks_is_where_its_read_comes_from(options):
    keys, values, query = some()
    _, usage = plainly(keys, values, query[:, :1], 1.0, **options)
    looks = where(keys.unbind(1), query[:, :1], scale=1.0, **options)
    torch.testing.assert_close(torch.stack(looks).sum(1), usage)


def test_objects_with_keys_of_their_own_are_read_side_by_side():
    keys, values, query = some(batch=2, objects=1)
    present = PARTLY.transpose(0, 1)
    for options in ({}, {"present": present}, {"present": present, "top_k": 4}):
        shown = hidden(values, present) if options else values
        value, _ = plainly(keys, shown, query, 1.0, **options)
        torch.testing.assert_close(read(keys, shown, query, scale=1.0, **options).value, value)


@pytest.mark.parametrize("bounded", [True, False])
def test_frames_may_differ_in_size_and_their_order_does_not_matter(bounded):
    keys, values, query = some(frames=1, positions=9)
    whole = read(keys, values, query, scale=1.0)
    parts = (slice(4, 5), slice(0, 4), slice(5, 9))
    split = [[rows[:, 0, part] for part in parts] for rows in (keys, values)]
    result = readout.read(*split, query, scale=1.0, bounded=bounded, chunk_bytes=1)
    torch.testing.assert_close(result.value, whole.value)
    usage = torch.stack([readout.read(*split, query[:, [i]], scale=1.0).usage for i in range(7)]).mean(0)
    torch.testing.assert_close(result.usage, usage)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_k": 1, "trust": TRUST}], ids=named)
def test_a_read_of_one_position_returns_the_value_of_the_best_match(options):
    keys, values, query = some(objects=1)
    best = (query @ keys.flatten(1, 2).transpose(1, 2)).argmax(-1)[0]
    result = read(keys, values, query, scale=1.0, **options)
    torch.testing.assert_close(result.value[0, 0], values.flatten(1, 2)[0, best, 0])


def test_a_frame_trusted_twice_counts_as_one_stored_twice():
    keys, values, query = some()
    twice = [0, 1, 1, 2]
    expected = read(keys[:, twice], values[:, twice], query, scale=1.0)
    result = read(keys, values, query, scale=1.0, trust=[1, 2, 1])
    torch.testing.assert_close(result.value, expected.value)
    torch.testing.assert_close(result.usage, torch.zeros(3).index_add(0, torch.tensor(twice), expected.usage))


def test_half_precision_reads_hidden_frames_as_float32_does():
    keys, values, query = some()
    values = hidden(values, PARTLY)
    expected = read(keys, values, query, scale=1.0, present=PARTLY)
    result = read(keys.half(), values.half(), query.half(), scale=1.0, present=PARTLY)
    torch.testing.assert_close(result.value.float(), expected.value, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(result.usage, expected.usage, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("options", [one for one in OPTIONS if "top_k" not in one], ids=named)
def test_bounded_affinities_are_read_alike_up_to_the_bound(options, dtype):
    keys, values, query = some(queries=40)
    values = hidden(values, options["present"]) if "present" in options else values
    keys, query = (rows / rows.norm(dim=-1, keepdim=True) for rows in (keys, query))
    keys, values, query = keys.to(dtype), values.to(dtype), query.to(dtype)
    value, usage = plainly(keys.float(), values.float(), query.float(), readout.BOUND, **options)
    assert (readout.BOUND * query @ keys.flatten(1, 2).transpose(1, 2)).abs().max() > 0.9 * readout.BOUND
    result = read(keys, values, query, scale=readout.BOUND, bounded=True, chunk_bytes=1, **options)
    near = {} if dtype == torch.float32 else {"atol": 0.3, "rtol": 0.1}  # bf16 rounds 60 to a quarter
    torch.testing.assert_close(result.value.float(), value, **near)
    torch.testing.assert_close(result.usage, usage, **near)


def test_gradients_are_right():
    keys, values, query = some(positions=2, queries=20, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (keys, values, query)]
    heavy = {"trust": [2, 1, 0.5]}
    for options in ({}, {"top_k": 3}, heavy, heavy | {"top_k": 3}, {"present": PARTLY}):

        def value(keys, values, query, options=options):
            values = hidden(values, options.get("present", torch.ones(1, 1, 3)))
            return read(keys, values, query, scale=0.7, chunk_bytes=1, **options).value

        assert torch.autograd.gradcheck(value, inputs, fast_mode=True), options


def kept_apart(frames, objects, channels, size=(15, 20), seed=0, dtype=torch.float32):
    """Values of frames apart, each object's in a window of its own; and the same as (1, P, N, Cv)."""
    random = torch.Generator().manual_seed(seed)
    apart, whole = [], []
    for frame in range(frames):
        common = torch.randn(1, channels, *size, generator=random)
        values, own = common.repeat(objects, 1, 1, 1), {}
        for n in range(objects):
            window = Window((n % 3, n % 3 + 6 + frame % 2), (n % 5, n % 5 + 7), size)
            window.cut(values[n]).add_(torch.randn(channels, *window.shape, generator=random))
            own[n] = window, window.cut(values[n])
        apart.append(Apart.of(common.to(dtype), {n: (w, v.to(dtype)) for n, (w, v) in own.items()}, objects))
        whole.append(rows(values).transpose(0, 1).unsqueeze(0).to(dtype))
    return apart, whole


@pytest.mark.parametrize("trust", [None, [3.0, 0.5, 1.0]])
@pytest.mark.parametrize("present", [None, PARTLY, LOST], ids=["all", "partly", "lost"])
def test_values_that_are_kept_apart_are_read_as_if_they_were_not(present, trust):
    keys, _, query = some(positions=300, queries=300)
    apart, whole = kept_apart(3, 2, 6)
    if present is not None:
        apart = [one.without(present[0, :, i].tolist()) for i, one in enumerate(apart)]
        whole = [value * present[:, None, :, i, None] for i, value in enumerate(whole)]
    options = {"scale": 0.5, "bounded": True, "trust": trust, "present": present}
    expected = readout.read(keys.unbind(1), whole, query, **options)
    for mixed in (apart, [*apart[:2], whole[2]]):
        for chunk_bytes in (None, 1):
            found = readout.read(keys.unbind(1), mixed, query, chunk_bytes=chunk_bytes, **options)
            torch.testing.assert_close(found.value, expected.value, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(found.usage, expected.usage)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("known", ["all", "others each time"])
@pytest.mark.parametrize("frames, objects", [(8, 3), (2, 20)])
def test_values_that_are_kept_apart_are_read_in_no_more_memory(frames, objects, known, dtype):
    random = some(frames=frames, positions=300, key=64, queries=300)
    keys, _, query = (one.to(dtype) for one in random)
    apart, whole = kept_apart(frames, objects, 128, dtype=dtype)
    assert all(one.nbytes < value.nbytes for one, value in zip(apart, whole, strict=True))
    present = None
    if known != "all":
        present = torch.tensor([[[(f >> n) % 2 == 0 for f in range(frames)] for n in range(objects)]])
        apart = [one.without(present[0, :, i].tolist()) for i, one in enumerate(apart)]
    options = {"scale": 0.1, "bounded": True, "present": present}
    measured = most_allocated(lambda: readout.read(keys.unbind(1), apart, query, **options))
    sizes = {"batch": 1, "frames": frames, "positions": 300, "objects": objects, "channels": (64, 128)}
    assert 0 < measured <= read_peak_bytes(**sizes, dtype=dtype, bounded=True)


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
@pytest.mark.parametrize("bounded", [True, False], ids=["bounded", "not bounded"])
def test_hiding_frames_from_objects_costs_no_more_than_the_closed_form_even_inside_kernels(
    bounded, dtype, frames, objects
):
    sizes = {"batch": 1, "frames": frames, "positions": 300, "objects": objects}
    keys, values, query = (one.to(dtype) for one in some(**sizes, key=64, value=128, queries=300))
    present = torch.ones(1, objects, frames, dtype=torch.bool)
    present[0, 1, 0] = False
    values = hidden(values, present)
    options = {"scale": 0.1, "present": present, "bounded": bounded}
    measured = most_allocated(lambda: read(keys, values, query, **options))
    assert 0 < measured <= read_peak_bytes(**sizes, channels=(64, 128), dtype=dtype, bounded=bounded)


@pytest.mark.parametrize("part", [0.9, None])
@pytest.mark.parametrize("dtype, objects, megabytes", [(torch.float32, 20, None), (torch.bfloat16, 3, 6)])
def test_a_bank_allocates_no_more_for_a_read_of_all_or_some_positions(dtype, objects, megabytes, part):
    """A budget makes chunks small, so that values count for more than affinities."""
    budget = {} if megabytes is None else {"budget_bytes": megabytes * 2**20}
    bank = MemoryBank(MemoryConfig(**budget), scale=0.1, bounded=True)
    key, value = (torch.randn(n, channels, 20, 40).to(dtype) for n, channels in ((1, 64), (objects, 128)))
    bank.write(0, key, value, pinned=True)
    cells = None if part is None else torch.arange(round(part * 800))
    assert 0 < most_allocated(lambda: bank.read(key, cells)) <= bank.read_peak_bytes


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"objects": 3},
        {"batch": 3, "objects": 1},
        {"top_k": 20},
        {"top_k": 20, "trust": [8] + 5 * [1]},
        {"chunk_bytes": 2**20},
        {"partial": True, "objects": 2},
        {"bounded": True},
        {"bounded": True, "objects": 3, "trust": [8] + 5 * [1], "chunk_bytes": 2**19},
        {"bounded": True, "partial": True, "objects": 2},
    ],
    ids=str,
)
def test_the_affinity_never_exists_and_the_closed_form_bounds_what_is_allocated(case):
    sizes = {"batch": 1, "frames": 6, "positions": 600, "objects": 1, **case}
    trust, names = sizes.pop("trust", None), ("top_k", "chunk_bytes", "partial", "bounded")
    options = {name: sizes.pop(name) for name in names if name in sizes}
    keys, values, query = some(**sizes, key=16, value=32, queries=600)
    present = None
    if options.pop("partial", False):
        present = torch.ones(1, 2, 6, dtype=torch.bool)
        present[0, 1, 2] = False
    with Peak() as measured:
        read(keys, values, query, scale=1.0, trust=trust, present=present, **options)
    predicted = read_peak_bytes(**sizes, channels=(16, 32), dtype=torch.float32, **options)
    assert measured.peak <= predicted <= 1.06 * measured.peak
