import pytest

from stm_core.errors import OptionError
from stm_core.memory.policy import PRESETS, MemoryConfig


def test_defaults_are_bounded_with_the_paper_s_interval():
    config = MemoryConfig()
    assert (config.preset, config.every, config.budget_bytes, config.top_k) == (
        "bounded",
        5,
        64 * 2**20,
        None,
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_accepted(preset):
    assert MemoryConfig(preset=preset).preset == preset


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "everything"},
        {"every": 0},
        {"every": 2.5},
        {"budget_bytes": 0},
        {"capacity": 1},
        {"top_k": 0},
        {"top_k": True},
    ],
)
def test_senseless_options_are_refused_in_one_sentence(options):
    with pytest.raises(OptionError) as refused:
        MemoryConfig(**options)
    (name, value), text = *options.items(), str(refused.value)
    assert name in text and repr(value) in text and "\n" not in text
