"""A run as text: the command and the Python give the masks of the run."""

import shlex
from contextlib import closing

import numpy as np
import pytest
from conftest import squares
from pages import write_clip

from stm_core.commands import cli
from stm_core.engine.prompts import Prompt
from stm_core.masks.mask_files import read_labels, write_mask
from stm_core.media.limits import NO_LIMITS
from stm_core.media.video import probe
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.weights import load_model
from stm_core.runs.clip import follow
from stm_core.runs.plan import plan_clip
from stm_core.runs.recipe import as_command, as_python, needs_masks
from stm_core.runs.source import FileSource

FRAMES, SIZE = 6, (64, 96)
TRUTH = [labels for _, labels in squares(FRAMES, objects=2)]
CLICKS = [(8.5, 8, 1, 1), (24, 24, 1, 2), (90, 60, 0, 1)]
PROMPTS = {
    "clicks": [Prompt.from_clicks(CLICKS)],
    "clicks later": [Prompt.from_clicks([(40, 8, 1, 1)], frame=2)],
    "clicks on two frames": [Prompt.from_clicks(CLICKS), Prompt.from_clicks([(56, 8, 1, 1)], frame=3)],
    "a mask": [Prompt.from_mask(TRUTH[1], frame=1)],
    "masks": [Prompt.from_mask(TRUTH[t], frame=t) for t in (1, 4)],
    "a mask, then clicks": [
        Prompt.from_mask(TRUTH[1], frame=1),
        Prompt.from_clicks([(40, 9, 1, 1), (90, 60, 0, 1)], frame=3),
    ],
    "clicks in a part": [Prompt.from_clicks([(24, 8, 1, 1)], frame=2)],
    "a mask without an object": [
        Prompt.from_mask(TRUTH[0]),
        Prompt.from_mask(np.where(TRUTH[3] == 2, 0, TRUTH[3]), frame=3, objects=(1, 2)),
    ],
    "a mask without any object": [
        Prompt.from_clicks(CLICKS),
        Prompt.from_mask(np.zeros(SIZE, np.uint8), frame=4, objects=(1, 2)),
    ],
    "a mask without an object in a part": [
        Prompt.from_mask(TRUTH[2], frame=2),
        Prompt.from_mask(np.where(TRUTH[3] == 1, 0, TRUTH[3]), frame=3, objects=(1, 2)),
    ],
    "masks in a part": [Prompt.from_mask(TRUTH[t], frame=t) for t in (2, 4)],
}
MEMORIES = [
    MemoryConfig(),
    MemoryConfig(preset="every-5", every=2, top_k=7),
    MemoryConfig(budget_bytes=3_333_333, capacity=3),
]


@pytest.mark.parametrize("kind", PROMPTS)
def test_command_and_python_give_the_masks_of_the_run(tmp_path, tiny_file, monkeypatch, kind):
    model, weights = load_model(tiny_file), str(tiny_file)
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "my clip.mp4", frames=FRAMES)
    n = list(PROMPTS).index(kind)
    part = (1, 4) if "part" in kind else None
    plan = plan_clip(
        *SIZE, FRAMES, PROMPTS[kind], memory=MEMORIES[n % 3], size=48 if n % 2 else None, part=part
    )
    (tmp_path / "prompts").mkdir()
    for index in range(FRAMES) if needs_masks(plan) else ():  # the page's ZIP has those of clicks too
        for prompt in plan.prompts:
            if index == prompt.frame:
                labels = TRUTH[index] if prompt.labels is None else prompt.labels
                write_mask(tmp_path / "prompts" / f"{index:05d}.png", labels)
    with closing(follow(model, plan, FileSource(probe("my clip.mp4"), NO_LIMITS), [])) as steps:
        expected = {step.result.index: step.result.labels for step in steps if step is not None}
    words = shlex.split(as_command(plan, "my clip.mp4", FRAMES, "by command", weights))
    assert words[:3] == ["python", "-m", "stm_core"] and cli.main(words[3:]) == 0
    exec(as_python(plan, "my clip.mp4", FRAMES, "by python", weights), {})  # noqa: S102 (our own text)
    for folder in ("by command", "by python"):
        found = {int(path.stem): read_labels(path) for path in (tmp_path / folder / "masks").iterdir()}
        assert sorted(found) == sorted(expected) == list(range(plan.start, plan.stop))
        for index, labels in expected.items():
            np.testing.assert_array_equal(found[index], labels)


def test_what_is_usual_is_not_said():
    plan = plan_clip(*SIZE, FRAMES, Prompt.from_clicks([(8, 9, 1, 1)]))
    assert as_command(plan, "a.mp4", FRAMES) == "python -m stm_core segment a.mp4 --click=8,9,1,1 --out out"
    assert "MemoryConfig()" in as_python(plan, "a.mp4", FRAMES)


def test_all_masks_are_asked_for_where_a_file_of_many_would_give_some():
    for count, said in ((8, False), (9, True)):
        plan = plan_clip(*SIZE, 12, [Prompt.from_mask(TRUTH[0], frame=t) for t in range(count)])
        assert ("--all-prompts" in as_command(plan, "a.mp4", 12)) is said


@pytest.mark.parametrize("name", ["a b.mp4", "it's.mp4", '"; import os #.mp4', "$(rm).mp4", "é\\n.mp4"])
def test_a_clips_name_is_only_a_name_in_both(name):
    plan = plan_clip(*SIZE, FRAMES, Prompt.from_clicks([(8, 9, 1, 1)]))
    assert shlex.split(as_command(plan, name, FRAMES))[4] == name
    names = {}
    line = next(line for line in as_python(plan, name, FRAMES).splitlines() if "segment_clip" in line)
    exec(f"found = {line.split('model, ', 1)[1].split(', prompts', 1)[0]}", names)  # noqa: S102
    assert names["found"] == name
