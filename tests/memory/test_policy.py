import argparse
import re
from pathlib import Path

import pytest
import torch
from conftest import check, colour_model, frames_of, squares

from stm_core import Prompt, predict, propagate
from stm_core.commands.shared_options import add_shared
from stm_core.memory.bank import MemoryBank
from stm_core.memory.policy import PRESETS, MemoryConfig, Preset, Strategy
from stm_core.runs.report import Report

ROOT = Path(__file__).parents[2]
DEFAULTS = {"demo/web/api.py": 1}  # the contract writes the default of /segment as a word


def test_a_preset_has_words_for_people():
    for name, preset in PRESETS.items():
        assert all((preset.title, preset.keeps, preset.advice, preset.stands_for)), name


def test_only_the_policy_knows_presets_by_name():
    words = re.compile("|".join(f"[\"']{re.escape(name)}[\"']" for name in PRESETS if name != "first"))
    for path in [*ROOT.glob("stm_core/**/*.py"), *ROOT.glob("demo/**/*.py")]:
        name = path.relative_to(ROOT).as_posix()
        if name != "stm_core/memory/policy.py":
            assert len(words.findall(path.read_text())) == DEFAULTS.get(name, 0), name


def test_the_readme_says_what_the_table_says():
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| `([^`|]+)`[^|]*\|([^|]*)\|([^|]*)\|$", readme, re.MULTILINE)
    said = {name: (keeps.strip(), stands_for.strip()) for name, keeps, stands_for in rows}
    assert MemoryConfig.preset in said
    assert all(words == (PRESETS[name].keeps, PRESETS[name].stands_for) for name, words in said.items())


def test_a_new_preset_is_an_entry_in_the_table_and_nothing_else(monkeypatch):
    last_3 = Preset(Strategy(pins=False, recent=3), "Last 3", "the last three frames", "advice", "a test")
    monkeypatch.setitem(PRESETS, "last-3", last_3)
    clip, model, memory = squares(9), colour_model(), MemoryConfig("last-3")
    report = Report(model, memory, [])
    for result in check(propagate(model, frames_of(clip), Prompt.from_mask(clip[0][1]), memory=memory), clip):
        assert result.memory.frames == tuple(range(max(0, result.index - 2), result.index + 1))
        report.add(result)
    expected = predict(model.network, memory, 64, 96, 1, 9, model.dtype)
    found = report.as_dict(9, None)["memory"]
    assert found["preset"] == "last-3" and found["budget_bytes"] is None
    assert found["frames_held"] == expected.frames_held == 3
    assert found["peak_bytes"] == found["predicted_peak_bytes"] == expected.bank_bytes
    parser = argparse.ArgumentParser()
    add_shared(parser)
    assert parser.parse_args(["--memory", "last-3"]).memory == "last-3"
    assert "the last three frames" in parser.format_help()


@pytest.mark.parametrize("pins, spaced", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("recent", [0, 1, 3])
def test_any_strategy_holds_at_most_what_it_says(pins, spaced, recent, monkeypatch):
    recent = recent or int(not pins and not spaced)  # else nothing is kept at all
    strategy = Strategy(pins=pins, recent=recent, spaced=spaced)
    monkeypatch.setitem(PRESETS, "made up", Preset(strategy, "", "", "", ""))
    one = torch.zeros(1, 1, 1, 1)
    for frames in (1, 2, 4, 11, 12, 23):
        bank, most = MemoryBank(MemoryConfig("made up"), scale=1.0), 0
        for t in range(frames):
            bank.write(t, one, one, pinned=t == 0)
            most = max(most, len(bank.frames))
            latest = list(range(max(0, t - recent + 1), t + 1))
            assert not recent or set(latest) <= set(bank.frames)
        assert most == strategy.most_held(pinned=1, frames=frames, every=5), frames
