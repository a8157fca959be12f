import hashlib
import io
import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from stm_core.errors import OptionError, WeightsError
from stm_core.networks import weight_files, weights
from stm_core.networks.weight_files import load_strictly
from stm_core.networks.weights import TINY, choose_device, choose_dtype, load_model, random_model

SIZES = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(TINY).items()}


@pytest.fixture
def tiny_file(tmp_path):
    """Weights of a tiny compact network as training writes them, and the state in them."""
    torch.manual_seed(1)
    state = weights.CompactSTM(TINY).state_dict()
    path = tmp_path / "tiny.safetensors"
    save_file(state, path, metadata={"config": json.dumps(SIZES)})
    return path, state


def test_a_file_comes_back_as_the_network_that_wrote_it(tiny_file):
    path, state = tiny_file
    model = load_model(path, device="cpu", dtype="fp32")
    expected = weights.CompactSTM(TINY)
    expected.load_state_dict(state)
    frame = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        key = expected.for_inference().encode_query(frame).key
        torch.testing.assert_close(model.network.encode_query(frame).key, key, atol=1e-4, rtol=1e-4)
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model.name, model.dtype) == ("tiny.safetensors", torch.float32)


def test_the_bundled_weights_must_be_those_of_the_registry(tiny_file, monkeypatch):
    path, _ = tiny_file
    monkeypatch.setattr(weight_files, "ASSETS", path.parent)
    monkeypatch.setattr(weight_files, "REGISTRY", path.parent / "compact.json")
    with pytest.raises(WeightsError, match="assets"):
        load_model("compact", device="cpu")
    entry = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    weight_files.REGISTRY.write_text(json.dumps(entry))
    assert load_model("compact", device="cpu").sha256 == entry["sha256"]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=path.name):
        load_model("compact", device="cpu")
    path.unlink()
    with pytest.raises(WeightsError, match=path.name):
        load_model("compact", device="cpu")


def test_the_first_missing_unexpected_and_misshapen_tensor_are_named(tiny_file):
    path, state = tiny_file
    names = list(state)
    wrong = {f"{name}x" if name == names[2] else name: tensor for name, tensor in state.items()}
    wrong[names[5]] = torch.zeros(3, 3, 3)
    with pytest.raises(WeightsError) as refused:
        load_strictly(weights.CompactSTM(TINY), wrong, path)
    text = str(refused.value)
    assert f"{names[2]} is missing (1 in all)" in text and f"{names[2]}x is unexpected" in text
    assert f"{names[5]} has shape (3, 3, 3), expected {tuple(state[names[5]].shape)}" in text


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"module.conv.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="Encoder_M.mean.*conv.weight"):
        load_model(f"paper:{path}", device="cpu")


class Trap:
    """Unpickling this would run code."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def saved(content) -> bytes:
    """What torch.save writes."""
    data = io.BytesIO()
    torch.save(content, data)
    return data.getvalue()


DAMAGED = {  # how a file arrives, from the bytes of a whole one
    "trap.pth": lambda whole: pickle.dumps({"x": Trap()}),
    "list.pth": lambda whole: saved([1, 2]),
    "number for a name.pth": lambda whole: saved({1: torch.zeros(1)}),
    "text.pth": lambda whole: b"hello" * 9,
    "empty.pth": lambda whole: b"",
    "empty.safetensors": lambda whole: b"",
    "half.safetensors": lambda whole: whole[: len(whole) // 2],
    "header.safetensors": lambda whole: whole[:40] + bytes([whole[40] ^ 0xFF]) + whole[41:],
    "other.safetensors": lambda whole: b"PK\x03\x04" + whole[4:],
    "none.safetensors": None,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_unsafe_damaged_or_missing_files_are_refused_in_words(tiny_file, tmp_path, name):
    path = tmp_path / name
    if DAMAGED[name]:
        path.write_bytes(DAMAGED[name](tiny_file[0].read_bytes()))
    with pytest.raises(WeightsError) as refused:
        load_model(path, device="cpu")
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_sizes_unknown_to_this_version_are_refused(tmp_path):
    path = tmp_path / "future.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"config": json.dumps({"wings": 2})})
    with pytest.raises(WeightsError, match="future.safetensors"):
        load_model(path, device="cpu")


@pytest.mark.parametrize(
    "config, said",
    [
        ([], "list"),
        (None, "NoneType"),
        ({"trunk": [8, 16]}, "trunk.* 3 "),
        ({"trunk": 8}, "trunk.* 3 "),
        ({"stem": [8]}, "stem.* 1 "),
        ({"key": True}, "key"),
        ({"key": 0}, "key"),
        ({"masks": [8, "8"]}, "masks"),
        ({"stem": 10**12}, None),
    ],
    ids=str,
)
def test_sizes_that_make_no_network_are_refused_in_words(tmp_path, config, said):
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"config": json.dumps(config)})
    with pytest.raises(WeightsError, match=said) as refused:
        load_model(path, device="cpu")
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("device", ["tpu", "mps", "cuda:99", ""])
def test_unknown_devices_are_refused(device):
    with pytest.raises(OptionError, match="cpu"):
        choose_device(device)


@pytest.mark.parametrize(
    "amx, avx512, auto", [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_auto_is_bf16_where_a_cpu_multiplies_in_it_and_a_word_is_what_it_says(monkeypatch, amx, avx512, auto):
    cpu = torch.device("cpu")
    for name, there in (("amx_tile", amx), ("avx512_bf16", avx512)):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda there=there: there, raising=False)
    assert choose_dtype("auto", cpu) == weights.DTYPES[auto]
    assert choose_dtype("fp16", cpu) == torch.float16
    with pytest.raises(OptionError, match="int8"):
        choose_dtype("int8", cpu)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_random_networks_are_the_same_for_a_seed_and_leave_the_global_one_alone(dtype):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = (random_model("compact-tiny", seed=3, dtype=dtype).network for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    frame = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        keys = [network.encode_query(frame).key for network in (one, two)]
    assert torch.equal(*keys) and keys[0].dtype == weights.DTYPES[dtype]
    with pytest.raises(OptionError, match="huge"):
        random_model("huge")


@pytest.mark.parametrize("later", [("lite.", "trunk.join"), ("trunk.join4",)])
def test_a_file_of_an_earlier_version_is_named_as_such(tiny_file, later):
    path, state = tiny_file
    old = {name: tensor for name, tensor in state.items() if not name.startswith(later)}
    sizes = {name: size for name, size in SIZES.items() if name != "lite" or "lite." not in later}
    save_file(old, path, {"config": json.dumps(sizes)})
    with pytest.raises(WeightsError, match="--init"):
        load_model(path, device="cpu")
