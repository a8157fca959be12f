"""Laws of looking inside: the weights are the run's, they sum to 1, and the vote is what memory reads."""

import numpy as np
import pytest
import torch
from conftest import colour_model, squares

from stm_core import Held, MemoryConfig, Prompt, Propagator, gone_before, look, random_model
from stm_core.engine.geometry import to_network
from stm_core.errors import PromptError
from stm_core.memory import readout
from stm_core.memory.policy import Trust
from stm_core.memory.window import Window

LAST = 8
SIZE = {"height": 64, "width": 96}


def noisy(frames: int, objects: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Squares on noise, so that no two cells are alike."""
    noise = np.random.default_rng(0)
    clip = squares(frames, objects=objects, **SIZE)
    return [(np.uint8(0.7 * f + noise.integers(0, 60, f.shape)), labels) for f, labels in clip]


def tracked(model, clip, prompts, memory, size=None):
    """The engine before the last frame of a clip, and the results of all frames before."""
    engine, results = Propagator(model, memory=memory, size=size), []
    for t, (frame, _) in enumerate(clip[:-1]):
        results.append(engine.step(t, frame, [one for one in prompts if one.frame == t]))
    return engine, results


CASES = {
    "compact, two objects": ("compact-tiny", "bounded", 2, None, False),
    "compact, smaller than it is": ("compact-tiny", "every-5", 1, 32, False),
    "compact, clicks": ("compact-tiny", "first+previous", 2, None, True),
    "paper, two objects": ("paper", "every-5", 2, None, False),
    "compact, the last frame only": ("compact-tiny", "previous", 1, None, False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_weights_are_those_of_the_run_and_the_vote_is_what_memory_reads(case):
    name, preset, objects, size, clicked = case
    model, clip = random_model(name, seed=1), noisy(LAST + 1, objects)
    first = Prompt.from_mask((clip[0][1] == 1).astype(np.uint8))
    if clicked:
        first = Prompt.from_clicks([(8, 8, 1, 1)])
    later = [Prompt.from_mask(clip[5][1], frame=5)] if objects > 1 else []
    memory = MemoryConfig(preset=preset, every=3, budget_bytes=10**9, capacity=4)
    engine, results = tracked(model, clip, [first, *later], memory, size)
    expected = engine.look(clip[LAST][0], 70, 41)
    held = engine.step(LAST, clip[LAST][0]).memory.read
    assert [one.t for one in held] == list(expected)
    masks = {one.index: one.labels for one in results}
    if name == "paper":  # remembers probabilities
        masks = {one.index: one.probs[1:] for one in results}
    frames = dict(enumerate(frame for frame, _ in clip))
    found = look(model, frames, held, masks, LAST, (70, 41), memory=memory, size=size)
    for one in found.stored:
        np.testing.assert_allclose(one.weights, expected[one.t], atol=1e-3 * expected[one.t].max() + 1e-9)
    assert sum(one.share for one in found.stored) == pytest.approx(1)
    assert sum(one.weights.sum() for one in found.stored) == pytest.approx(1, abs=1e-3)
    weights = [match.weight for match in found.matches]
    assert weights == sorted(weights, reverse=True) and weights[0] <= 1
    if objects == 1:
        soft = [m if m.ndim == 2 else m[0] for m in (masks[one.t] for one in found.stored)]
        vote = sum((one.weights * mask).sum() for one, mask in zip(found.stored, soft, strict=True))
        assert found.votes[1] == pytest.approx(vote, abs=2e-3)


@pytest.mark.parametrize("shared", [True, False])
def test_a_frame_of_which_only_a_window_is_stored_is_looked_at_as_the_run_did(shared):
    clip = squares(LAST + 1, 160, 320)
    trust = Trust(prompted=8, latest=1 / 4, firm=True, reach=0.1)
    memory = MemoryConfig(every=3, trust=trust, capacity=4)
    model = colour_model(shared)
    engine, results = tracked(model, clip, [Prompt.from_mask(clip[0][1])], memory)
    expected = engine.look(clip[LAST][0], 150, 100)  # the background, which is alike everywhere
    held = engine.step(LAST, clip[LAST][0]).memory.read
    assert [one.kind for one in held] == ["prompted", "due", "due", "previous"]
    assert held[-1].window.columns[1] < 20
    masks, frames = {one.index: one.labels for one in results}, dict(enumerate(f for f, _ in clip))
    found = look(model, frames, held, masks, LAST, (150, 100), memory=memory)
    for one in found.stored:
        np.testing.assert_allclose(one.weights, expected[one.t], rtol=1e-3)


def test_the_vote_of_each_object_is_the_read_of_a_mask_by_the_frames_that_know_it(colour):
    clip = squares(LAST + 1, objects=2)
    prompts = [Prompt.from_mask((clip[0][1] == 1).astype(np.uint8)), Prompt.from_mask(clip[4][1], frame=4)]
    engine, results = tracked(colour, clip, prompts, MemoryConfig(preset="every-5", every=2))
    held = engine.step(LAST, clip[LAST][0]).memory.read
    masks = {one.index: one.labels for one in results}
    y, x = np.argwhere(clip[LAST][1] == 2).mean(0).astype(int)
    frames = dict(enumerate(frame for frame, _ in clip))
    found = look(colour, frames, held, masks, LAST, (x, y))
    keys = {
        t: colour.network.encode_query(to_network(one, None, colour.device)).key for t, one in frames.items()
    }
    known = {one.t: (True, one.t >= 4) for one in held}  # which of the two objects
    values = [
        torch.from_numpy(np.stack([(clip[t][1][8::16, 8::16] == n + 1) * known[t][n] for n in (0, 1)], -1))
        for t in known
    ]
    read = readout.read(
        [readout.rows(keys[t]) for t in known],
        [value.float().flatten(0, 1)[None, ..., None] for value in values],
        keys[LAST][:, :, y // 16, x // 16][None],
        scale=colour.network.scale,
        present=torch.tensor([list(known.values())]).mT,
    ).value.flatten()
    assert [found.votes[1], found.votes[2]] == pytest.approx(read.tolist(), abs=1e-4)
    assert found.votes[1] < 0.01 and found.votes[2] > 0.99 and found.object is None


@pytest.mark.parametrize("shared", [True, False])
def test_another_pixel_of_the_same_frame_needs_no_network(shared):
    model = colour_model(shared)
    clip = squares(4)
    engine, results = tracked(model, clip, [Prompt.from_mask(clip[0][1])], MemoryConfig())
    held = engine.step(3, clip[3][0]).memory.read
    masks, frames = {one.index: one.labels for one in results}, dict(enumerate(f for f, _ in clip))
    look(model, frames, held, masks, 3, (5, 5))
    model.network.encode_query = None  # a call would fail
    assert look(model, frames, held, masks, 3, (60, 20)).at == (60, 20)


def test_kinds_tell_what_a_frame_is_held_for(colour):
    clip = squares(8)
    prompts = [Prompt.from_mask(clip[0][1])]
    _, results = tracked(colour, clip, prompts, MemoryConfig(preset="every-5", every=3))
    kinds = {one.t: one.kind for one in results[-1].memory.read}
    assert results[0].memory.read == () and kinds == {0: "prompted", 3: "due", 5: "previous"}


def test_frames_that_were_dropped_are_gone_since_the_frame_that_missed_them():
    whole = Window.whole((4, 6))

    def held(*kinds):
        return tuple(Held(t, kind, kind != "previous", (1,), (True,), whole) for t, kind in kinds)

    read = [
        (5, held((0, "prompted"), (4, "previous"))),
        (6, held((0, "prompted"), (5, "due"), (4, "due"))),
        (7, held((0, "prompted"), (6, "previous"))),
        (8, held((0, "prompted"), (7, "previous"))),
    ]
    assert gone_before(read) == {4: 7, 5: 7}


@pytest.mark.parametrize("x, held", [(99, True), (5, False)], ids=["outside", "nothing was held"])
def test_a_look_at_nothing_is_refused(colour, x, held):
    clip = squares(2)
    engine, results = tracked(colour, clip, [Prompt.from_mask(clip[0][1])], MemoryConfig())
    read = engine.step(1, clip[1][0]).memory.read if held else ()
    with pytest.raises(PromptError):
        look(colour, [f for f, _ in clip], read, {0: results[0].labels}, 1, (x, 5))
