import pytest
import torch
from torch import nn

from stm_core.errors import WeightsError
from stm_core.networks.ranges import Meter, ranges_path, read_ranges, write_ranges


def measured() -> dict[str, tuple[float, float]]:
    torch.manual_seed(0)
    network, meter = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 1, 1)), Meter()
    with meter.on(network):
        for size in (4, 6):
            network(torch.randn(1, 2, size, size))
    network(100 * torch.ones(1, 2, 4, 4))  # no longer counted
    return meter.ranges()


def test_ranges_are_the_same_each_time_and_those_of_what_enters():
    ranges = measured()
    assert ranges == measured()
    assert list(ranges) == ["0", "2"]
    assert ranges["0"][0] < 0 < ranges["0"][1] < 10
    assert ranges["2"][0] >= 0  # after a ReLU


def test_a_range_is_the_mean_of_the_ends_of_each_call():
    conv, meter = nn.Conv2d(1, 1, 1), Meter()
    with meter.on(conv):
        conv(torch.tensor([[[[-1.0, 2.0]]]]))
        conv(torch.tensor([[[[-3.0, 6.0]]]]))
    assert meter.ranges() == {"": (-2.0, 4.0)}


def test_ranges_come_back_for_their_own_weights_only(tmp_path):
    path = ranges_path(tmp_path / "mine.safetensors")
    assert path == tmp_path / "mine.int8.json"
    assert read_ranges(path, "abc") is None
    write_ranges(path, "abc", measured())
    assert read_ranges(path, "abc") == measured()
    assert read_ranges(path, "abd") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": "abc", "ranges": {"a": [0, NaN]}}'])
def test_a_damaged_file_of_ranges_is_told(tmp_path, text):
    (tmp_path / "mine.int8.json").write_text(text)
    with pytest.raises(WeightsError, match="mine.int8.json"):
        read_ranges(tmp_path / "mine.int8.json", "abc")
