import numpy as np
import pytest
import torch
from conftest import colour_model, squares
from torch.utils._python_dispatch import TorchDispatchMode

from stm_core import random_model, segment_frame
from stm_core.engine import click_answers
from stm_core.engine.click_reader import ClickReader
from stm_core.engine.clicks import GROUPS, ONE_BY_ONE, click_logits
from stm_core.engine.prompts import Prompt
from stm_core.errors import LimitError, MaskError, OptionError, PromptError, VideoError
from stm_core.faults import OUT_OF_MEMORY
from stm_core.networks.compact import CLICK_RADIUS, add_clicks, click_maps


def test_a_click_finds_the_object_under_it(colour):
    ((frame, labels),) = squares(1, objects=2)
    found = segment_frame(colour, frame, [(8, 8, 1, 1)])
    np.testing.assert_array_equal(found, np.where(labels == 1, 1, 0))
    both = segment_frame(colour, frame, [(8, 8, 1, 5), (24, 24, 1, 3)])
    np.testing.assert_array_equal(both, np.array([0, 5, 3])[labels])


def test_the_mask_of_other_objects_stays(colour):
    ((frame, labels),) = squares(1, objects=2)
    mask = np.where(labels == 2, 9, 0).astype(np.uint8)
    found = segment_frame(colour, frame, [(8, 8, 1, 1)], mask=mask)
    np.testing.assert_array_equal(found, np.array([0, 1, 9])[labels])


def test_a_background_click_removes_what_is_under_it_alone(colour):
    ((frame, labels),) = squares(1, objects=2)
    found = segment_frame(colour, frame, [(8, 8, 0, 1)], mask=(labels > 0).astype(np.uint8))
    np.testing.assert_array_equal(found, labels == 2)


@pytest.mark.parametrize("size", [None, 40])
@pytest.mark.parametrize("shape", [(64, 96), (33, 51), (1, 1)])
def test_labels_have_the_size_of_the_image(tiny, size, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    found = segment_frame(tiny, image, [(0, 0), (shape[1] - 1, shape[0] - 1, 0, 1)], size=size)
    assert found.shape == shape and found.dtype == np.uint8 and set(np.unique(found)) <= {0, 1}


def test_clicks_are_taken_one_after_the_other(colour):
    ((frame, _),) = squares(1)
    colour.network.written = 0
    segment_frame(colour, frame, [(8, 8), (9, 9), (40, 40, 0, 1)])
    assert colour.network.written == 3
    segment_frame(colour, frame, [(8, 8), (9, 9), (40, 40, 0, 1)], mask=np.ones((64, 96), np.uint8))
    assert colour.network.written == 4


def test_click_maps_that_grow_are_those_of_all_clicks_anew():
    height, width = 48, 80
    rng = torch.Generator().manual_seed(0)
    points = torch.rand(3, 30, 3, generator=rng) * torch.tensor([width, height, 3]) - torch.tensor([0, 0, 1])
    points[..., 2] = points[..., 2].floor()  # 1, 0, or -1: none
    points[0, :4, :2] = torch.tensor([[0, 0], [width - 1, height - 1], [0, height - 0.5], [7.5, 7.25]])
    xs, ys = torch.arange(width), torch.arange(height)[:, None]
    x, y, label = (points[..., i, None, None] for i in range(3))
    disc = (xs - x) ** 2 + (ys - y) ** 2 <= CLICK_RADIUS**2
    maps = click_maps(points[:, :0], height, width)
    assert not maps.any()
    for count in (1, 2, 30):
        expected = torch.stack([(disc & (label == sign))[:, :count].any(1) for sign in (1, 0)], 1).float()
        assert torch.equal(click_maps(points[:, :count], height, width), expected)
        add_clicks(maps, points[:, :count])
        assert torch.equal(maps, expected)


def many_clicks(count: int) -> list[tuple[int, int, int, int]]:
    return [(k % 90, k // 90, k % 3 != 1, 1) for k in range(count)]


def test_a_thousand_clicks_cost_little_more_than_twenty(colour, monkeypatch):
    ((frame, _),) = squares(1)
    seen, encode = [], colour.network.encode_memory

    def watched(frame, masks, query, clicks):
        seen.append(clicks.clone())
        return encode(frame, masks, query, clicks)

    monkeypatch.setattr(colour.network, "encode_memory", watched)
    for count, reads in ((ONE_BY_ONE, ONE_BY_ONE), (ONE_BY_ONE + 2, ONE_BY_ONE + 2), (1000, None)):
        seen.clear()
        frame[0, 0, 0] += 1  # another frame: nothing is known of it
        segment_frame(colour, frame, many_clicks(count))
        assert len(seen) == (reads or ONE_BY_ONE + GROUPS)
        places = torch.tensor([[click[:3] for click in many_clicks(count)]], dtype=torch.float32)
        assert torch.equal(seen[-1], click_maps(places, *seen[-1].shape[-2:]))
    sums = [float(maps.sum()) for maps in seen]
    assert sums == sorted(sums) and sums[0] > 0


class Largest(TorchDispatchMode):
    """The most numbers that one tensor held meanwhile."""

    most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.most = max(self.most, found.numel())
        return found


@pytest.mark.parametrize("mask", [None, np.ones((64, 96), np.uint8)])
def test_clicks_on_one_of_many_objects_take_no_memory_for_the_others(colour, mask):
    ((frame, _),) = squares(1)
    others = [(8, 8, 1, n) for n in range(2, 9)]
    largest = Largest()
    with torch.inference_mode(), largest:
        segment_frame(colour, frame, [*many_clicks(993), *others], mask=mask)
    assert largest.most < 993 * 8 * 64 * 96 / 20


def test_a_click_more_costs_a_read_more_and_changes_nothing_else(colour):
    ((frame, _),) = squares(1, objects=2)
    clicks = [(8, 8, 1, 1), (24, 24, 1, 2), (9, 9, 1, 1), (40, 40, 0, 1), (25, 25, 1, 2)]
    for count in range(1, len(clicks) + 1):
        colour.network.written = 0
        found = segment_frame(colour, frame, clicks[:count])
        assert colour.network.written <= 3  # a read for each object that a turn adds clicks to
        np.testing.assert_array_equal(found, segment_frame(colour_model(), frame, clicks[:count]))
        colour.network.written = 0
        np.testing.assert_array_equal(found, segment_frame(colour, frame, clicks[:count]))
        assert colour.network.written == 0
    frame[40:, 40:] = 0
    segment_frame(colour, frame, clicks)
    assert colour.network.written > 0  # another frame is read


@pytest.mark.parametrize("seed", [13, 23])  # of networks whose masks are not empty
def test_clicks_on_one_object_at_once_are_as_each_on_the_mask_before(seed):
    model = random_model("compact-tiny", seed=seed)
    ((frame, _),) = squares(1, objects=2)
    clicks, mask = [(8, 8, 1, 1), (60, 40, 1, 1), (30, 20, 0, 1), (90, 10, 1, 1)], None
    sizes = set()
    for count in range(1, len(clicks) + 1):
        mask = segment_frame(model, frame, clicks[:count], mask=mask)
        np.testing.assert_array_equal(segment_frame(model, frame, clicks[:count]), mask)
        sizes.add(np.count_nonzero(mask))
    assert len(sizes) > 1 and 0 not in sizes


def test_a_mask_without_a_pixel_is_as_none():
    model = random_model("compact-tiny", seed=13)
    ((frame, _),) = squares(1, objects=2)
    clicks = Prompt.from_clicks([(8, 8, 1, 1), (30, 20, 1, 2)]).clicks
    with torch.inference_mode():
        none, empty = (
            click_logits(model, frame, clicks, 64, masks) for masks in (None, torch.zeros(2, 64, 96))
        )
    torch.testing.assert_close(none, empty, rtol=0, atol=0)
    assert (none > 0).any()


def test_a_mask_is_doubted_and_changes_only_at_the_click_where_it_has_none_inside(tiny, monkeypatch):
    before = []

    def answer(reader, points, logits):
        before.append(logits)
        after = logits.clone()
        after[:, :16, :16] = after[:, 48:, 80:] = 5  # at the click, and far from it
        return after

    monkeypatch.setattr(ClickReader, "answer", answer)
    frame, mask = np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96), np.uint8)
    mask[24:40, 40:60] = 1
    for clicks, far in (([(8, 8, 1, 1)], 0), ([(8, 8, 1, 1), (50, 32, 1, 1)], 1)):
        found = segment_frame(tiny, frame, clicks, mask=mask)
        assert (found[8, 8], found[30, 50], found[60, 90]) == (1, 1, far)
        sure = before[-1].sigmoid()[0]
        assert sure[mask == 1].mean() == pytest.approx(0.8) and 0 < sure[mask == 0].max() < 0.01


def test_clicks_on_one_object_leave_what_was_found_for_another(tiny):
    ((frame, _),) = squares(1, objects=2)
    clicks = [(8, 8, 1, 1), (24, 24, 1, 2), (60, 40, 0, 2), (30, 50, 1, 2)]
    prompts = [Prompt.from_clicks(clicks[:count]).clicks for count in (1, 4)]
    with torch.inference_mode():
        alone, both = (click_logits(tiny, frame, own, 64)[0] for own in prompts)
    torch.testing.assert_close(alone, both, rtol=0, atol=0)


def test_answers_that_are_kept_take_little_memory(colour, monkeypatch):
    monkeypatch.setattr(click_answers, "MOST_BYTES", 5 * 64 * 96 * 4)
    ((frame, _),) = squares(1)
    for x in range(4, 14):
        segment_frame(colour, frame, [(x, 8, 1, 1)])
    kept = click_answers._kept[colour.network]
    assert 0 < len(kept) <= 5


def test_mistakes_are_told(colour):
    ((frame, labels),) = squares(1)
    for error, words, arguments in (
        (PromptError, "no click", (frame, [])),
        (PromptError, "expected a list", (frame, None)),
        (PromptError, "outside", (frame, [(-1, 0)])),
        (PromptError, "background clicks only", (frame, [(1, 1, 0, 1)])),
        (VideoError, "expected uint8", (frame[..., :2], [(1, 1)])),
    ):
        with pytest.raises(error, match=words):
            segment_frame(colour, *arguments)
    for size in (-5, 0, 32.0, float("nan"), "32"):
        with pytest.raises(OptionError, match="from 16"):
            segment_frame(colour, frame, [(1, 1)], size=size)
    with pytest.raises(MaskError, match="95x64.*96x64"):
        segment_frame(colour, frame, [(1, 1)], mask=labels[:, 1:])
    with pytest.raises(PromptError, match="takes a mask, not clicks"):
        segment_frame(colour_model(takes_clicks=False), frame, [(1, 1)])


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out of memory"), RuntimeError("can't allocate memory"), MemoryError()]
)
def test_memory_that_runs_out_is_told_as_in_a_run(colour, monkeypatch, error):
    def full(*arguments):
        raise error

    ((frame, _),) = squares(1)
    monkeypatch.setattr(colour.network, "encode_query", full)
    with pytest.raises(LimitError) as refused:
        segment_frame(colour, frame, [(8, 8)])
    assert str(refused.value) == OUT_OF_MEMORY
