"""Laws of the comparison: scores are those of DAVIS, and frames whose masks part are named."""

import numpy as np
import pytest
from conftest import squares
from pages import write_clip

from stm_core import MemoryConfig, Prompt, compare, evaluate_masks
from stm_core.errors import OptionError
from stm_core.masks.difference import RUN_COLOURS, difference
from stm_core.media.kinds import KINDS
from stm_core.memory.policy import PRESETS
from stm_core.runs.compare_film import film_size
from stm_core.runs.compare_table import Tried, compare_markdown, compare_table, score, spans

TRUTH = dict(enumerate(labels for _, labels in squares(9, objects=2)))


def tried(name: str, masks: dict, **more) -> Tried:
    memory = MemoryConfig(preset=name)
    return Tried(name, memory, None, masks, dict.fromkeys(masks, 1000), 500, 0.1, **more)


def wrong(masks: dict, *at: int) -> dict:
    """The masks with an object lost on some frames."""
    return {t: np.where((mask == 1) & (t in at), 0, mask).astype(np.uint8) for t, mask in masks.items()}


def test_scores_are_those_of_davis():
    masks = wrong(TRUTH, 3, 8)  # the last frame does not count
    expected = evaluate_masks(masks.values(), TRUTH.values(), drop_ends=True)
    found = score(tried("first", masks), TRUTH)
    assert (expected["J"]["mean"], expected["F"]["mean"]) == (found.J, found.F)
    assert found.by_frame == {t: 0.5 if t == 3 else 1.0 for t in range(1, 8)}


def test_frames_that_were_given_or_have_no_truth_do_not_count():
    few = {t: TRUTH[t] for t in (0, 2, 3, 5)}
    found = score(tried("first", wrong(TRUTH, 3, 5), given=(0, 3)), few)
    assert found.by_frame == {2: 1.0, 5: 0.5}
    assert score(tried("first", TRUTH), {}) is None and score(tried("first", TRUTH), {0: TRUTH[0]}) is None


def test_an_object_that_comes_into_view_later_is_scored():
    truth = {t: mask if t >= 3 else np.zeros_like(mask) for t, mask in TRUTH.items()}
    found = score(tried("first", wrong(truth, 6), given=(3,)), truth)
    assert found.by_frame == {t: 0.5 if t == 6 else 1.0 for t in (0, 1, 2, 4, 5, 6, 7)}
    nothing = {t: np.zeros_like(mask) for t, mask in TRUTH.items()}
    assert score(tried("first", TRUTH), nothing).J == 0


def test_the_table_names_the_reference_and_the_frames_that_part():
    runs = [tried("first", wrong(TRUTH, 4, 5, 7)), tried("every-5", TRUTH)]
    table = compare_table(runs)
    first, every = table["runs"]
    assert table["reference"] == "every-5" and every["agreement"] == 1 and every["parts"] == []
    assert first["parts"] == [[4, 5], [7, 7]] and first["J"] is None
    assert first["agreement"] == pytest.approx(1 - 3 * 0.5 / 8)
    assert first["over_time"]["bank_bytes"] == [1000] * 9
    assert compare_markdown(table).count("\n") == 4
    scored = compare_table(runs[:1], TRUTH)
    assert scored["reference"] == "first" and scored["runs"][0]["J"] < 1


def test_spans_have_no_holes():
    assert spans([1, 2, 3, 7, 9, 10]) == [[1, 3], [7, 7], [9, 10]] and spans([]) == []


def test_every_preset_runs_from_the_same_prompt(colour, tmp_path):
    truth = dict(enumerate(write_clip(tmp_path / "clip.mp4", 12)))
    seen = []
    found = compare(
        colour,
        tmp_path / "clip.mp4",
        Prompt.from_mask(truth[0]),
        truth=truth,
        on_frame=lambda: seen.append(1),
    )
    assert [one.name for one in found.runs] == list(PRESETS) and len(seen) == 12 * len(PRESETS)
    rows = {row["name"]: row for row in found.table["runs"]}
    assert all(row["J"] == row["agreement"] == 1 for row in rows.values())
    assert rows["first"]["bank_bytes"] < rows["first+previous"]["bank_bytes"] < rows["every-5"]["bank_bytes"]
    assert rows["every-5"]["paper_J"] and rows["bounded"]["paper_J"] is None
    with pytest.raises(OptionError, match="first, first"):  # nothing ran yet
        compare(colour, tmp_path / "clip.mp4", Prompt.from_mask(truth[0]), ["first", "first"])


def test_sizes_limits_and_networks_are_compared_too(colour, tmp_path):
    truth = dict(enumerate(write_clip(tmp_path / "clip.mp4", 6)))
    given = (colour, tmp_path / "clip.mp4", Prompt.from_mask(truth[0]))
    varied = {"sizes": [16, 32], "budgets_mb": [2], "networks": {"other": colour}}
    found = compare(*given, truth=truth, memory=MemoryConfig("every-5"), **varied)
    assert [one.name for one in found.runs] == ["size 16", "size 32", "limit 2 MB", "network other"]
    assert [one.size for one in found.runs] == [16, 32, None, None]
    assert [one.memory.preset for one in found.runs] == ["every-5", "every-5", "bounded", "every-5"]
    assert found.runs[2].memory.budget_bytes == 2 * 2**20
    with pytest.raises(OptionError):
        compare(*given, presets=[])


@pytest.mark.parametrize("tiles", range(3, 8))
@pytest.mark.parametrize("width, height", [(1, 1), (1, 9000), (16, 8500), (9000, 16), (854, 480), (481, 853)])
def test_the_film_has_even_sides_that_its_codec_takes(width, height, tiles):
    sides = film_size(width, height, tiles)
    assert all(2 <= side <= KINDS["mp4"].longest and side % 2 == 0 for side in sides)


def test_the_difference_shows_who_has_the_pixel():
    frame = np.full((2, 3, 3), 100, np.uint8)
    masks = [np.array([[1, 1, 0], [0, 0, 2]], np.uint8), np.array([[1, 0, 0], [0, 3, 2]], np.uint8)]
    seen = difference(frame, masks)
    assert np.array_equal(seen[0, 1], RUN_COLOURS[0]) and np.array_equal(seen[1, 1], RUN_COLOURS[1])
    assert seen[0, 0].tolist() == seen[1, 2].tolist() == [160] * 3 and seen[0, 2].tolist() == [40] * 3
