"""Laws of the mean of weight files."""

import pytest
import torch
from safetensors.torch import load_file

from stm_core.commands.training_tools import main
from stm_core.networks.compact import CompactConfig, CompactSTM
from stm_core.networks.weight_files import read_compact
from stm_core.networks.weights import TINY
from stm_core.training.fit.export import write_weights


@pytest.fixture
def write(tmp_path):
    """Writes a tiny network with that seed; its frozen trunk is the same unless told."""

    def write(name, seed, trunk=0, config=TINY):
        torch.manual_seed(seed)
        network = CompactSTM(config)
        torch.manual_seed(trunk)
        for weight in network.lite.parameters():
            weight.data.normal_()
        write_weights(tmp_path / name, config, network.state_dict())
        return tmp_path / name

    return write


def test_each_tensor_is_the_mean_by_share(write, tmp_path):
    one, two = write("one.safetensors", 1), write("two.safetensors", 2)
    assert main(["mean", f"{one}=3", f"{two}=1", "--out", str(tmp_path / "mean.safetensors")]) == 0
    a, b, mean = (load_file(path) for path in (one, two, tmp_path / "mean.safetensors"))
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            expected = 0.75 * a[name].float() + 0.25 * b[name].float()
            torch.testing.assert_close(tensor.float(), expected, atol=1e-3, rtol=1e-3)
    assert read_compact(tmp_path / "mean.safetensors").config == TINY


def test_without_shares_all_count_alike_and_a_file_with_itself_is_that_file(write, tmp_path):
    one, copy = write("one.safetensors", 1), write("copy.safetensors", 1)
    assert main(["mean", str(one), str(copy), "--out", str(tmp_path / "mean.safetensors")]) == 0
    mean = load_file(tmp_path / "mean.safetensors")
    assert all(torch.equal(tensor, mean[name]) for name, tensor in load_file(one).items())


def test_what_cannot_be_mixed_is_refused_in_words_and_nothing_is_written(write, tmp_path, capsys):
    one, two = write("one.safetensors", 1), write("two.safetensors", 2)
    wide = CompactConfig(**{**vars(TINY), "key": 16})
    refusals = {
        (one,): "give at least two",
        (one, f"{two}=0"): "the share in",
        (one, f"{two}=much"): "the share in",
        (one, write("wide.safetensors", 3, config=wide)): "other sizes",
        (one, write("frozen.safetensors", 2, trunk=1)): "another frozen trunk",
        (one, tmp_path / "none.safetensors"): "get the file again",
    }
    for files, words in refusals.items():
        assert main(["mean", *map(str, files), "--out", str(tmp_path / "mean.safetensors")]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert not (tmp_path / "mean.safetensors").exists()
    (tmp_path / "mean.safetensors").write_text("mine")
    assert main(["mean", str(one), str(two), "--out", str(tmp_path / "mean.safetensors")]) == 2
    assert "mean.safetensors" in capsys.readouterr().err
    assert (tmp_path / "mean.safetensors").read_text() == "mine"
