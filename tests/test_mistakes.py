"""Every public function answers a value that makes no sense with an StmError of one sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch

import stm_core as stm

CLIP = Path(__file__).parents[1] / "assets" / "examples" / "balloon.mp4"
IMAGE = np.zeros((48, 64, 3), np.uint8)
LABELS = np.zeros((48, 64), np.uint8)
LABELS[10:20, 10:20] = 1
CLICKS = [(15, 15, 1, 1)]
PROMPT = stm.Prompt.from_mask(LABELS)
NO_LABELS = [LABELS.astype(float), LABELS[None], LABELS[:0]]
NO_PATHS = ["", "none", "\0", CLIP.parent / "none.png", Path("x" * 300)]
NAN = float("nan")


@pytest.fixture(scope="module")
def model():
    return stm.random_model("compact-tiny")


def refused(function, *arguments, **options) -> str:
    with pytest.raises(stm.StmError) as found:
        function(*arguments, **options)
    told = str(found.value)
    assert "\n" not in told and len(told) > 20
    return told


@pytest.mark.parametrize("name", ["every", "budget_bytes", "capacity", "top_k"])
@pytest.mark.parametrize("value", [0, -1, 2.5, NAN, True, "5"])
def test_a_memory_of_senseless_numbers(name, value):
    told = refused(stm.MemoryConfig, **{name: value})
    assert name in told and repr(value) in told


@pytest.mark.parametrize("name", ["max_bytes", "max_pixels", "max_frames", "max_seconds"])
@pytest.mark.parametrize("value", [0, -1, NAN])
def test_limits_that_nothing_can_meet(name, value):
    refused(stm.VideoLimits, **{name: value})


def test_words_that_name_nothing():
    refused(stm.MemoryConfig, "x")
    refused(stm.MemoryConfig, trust=8)
    refused(stm.MemoryConfig, capacity=1)
    refused(stm.random_model, "x")
    refused(stm.load_model, "x")
    refused(stm.load_model, "compact", device="x")
    refused(stm.load_model, "compact", dtype="x")


@pytest.mark.parametrize("path", NO_PATHS)
def test_paths_where_nothing_is(path):
    for function in (stm.probe, stm.read_video, stm.read_mask, stm.load_model):
        refused(function, path)
    refused(stm.read_frame, path, 0)


def test_paths_that_cannot_be_written(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "a", tmp_path / ("x" * 300)):
        refused(stm.write_mask, path, LABELS)
    refused(stm.VideoWriter, tmp_path / "none" / "a.mp4", 64, 48, fps=5)


@pytest.mark.parametrize("labels", NO_LABELS)
def test_labels_of_another_shape_or_type(labels):
    for function in (stm.encode_mask, stm.object_ids, stm.Prompt.from_mask):
        refused(function, labels)
    refused(stm.overlay, IMAGE, labels)
    refused(stm.read_mask, labels)


def test_an_opacity_or_a_mask_that_does_not_fit_the_frame():
    refused(stm.overlay, IMAGE, LABELS, alpha=2)
    refused(stm.overlay, IMAGE, LABELS[:9])


def test_frames_of_another_shape_or_type(model):
    for image in (IMAGE[..., 0], IMAGE[..., :2], IMAGE.astype(float), IMAGE[:0]):
        refused(lambda image: list(stm.propagate(model, [image], PROMPT)), image)
        refused(stm.overlay, image, LABELS)
        refused(stm.segment_frame, model, image, CLICKS)


@pytest.mark.parametrize("size", [0, -1, 15, 2.5, NAN, True])
def test_sizes_at_which_nothing_is_processed(model, size):
    refused(stm.propagate, model, [IMAGE], PROMPT, size=size)
    refused(stm.segment_frame, model, IMAGE, CLICKS, size=size)
    refused(stm.predict, model.network, stm.MemoryConfig(), 48, 64, 1, 10, torch.float32, size=size)


@pytest.mark.parametrize("click", [(), (1,), (NAN, 1), (99, 1), (1, 1, 2), (1, 1, 1, 0), (1, 1, 0)])
def test_clicks_that_mark_nothing(model, click):
    refused(lambda: list(stm.propagate(model, [IMAGE], stm.Prompt.from_clicks([click] * bool(click)))))


def test_frame_numbers_that_no_clip_has(model):
    for frame in (-1, 2.5, NAN):
        refused(stm.Prompt.from_mask, LABELS, frame=frame)
        refused(stm.Prompt.from_clicks, CLICKS, frame=frame)
    refused(stm.read_frame, CLIP, -1)
    refused(stm.read_frame, CLIP, 10**6)
    refused(stm.read_video, CLIP, start=-1)
    refused(stm.read_video, CLIP, start=3, stop=2)


def test_a_video_of_senseless_size_or_rate(tmp_path):
    for width, height, fps in [(0, 48, 5), (64, -1, 5), (10**6, 48, 5), (64, 48, 0), (64, 48, NAN)]:
        refused(stm.VideoWriter, tmp_path / "a.mp4", width, height, fps=fps)


def test_a_name_in_place_of_a_model():
    refused(stm.propagate, "compact", [IMAGE], PROMPT)
    refused(stm.segment_frame, "compact", IMAGE, CLICKS)


@pytest.mark.parametrize("clip", [(0, 64, 1, 9), (64, 0, 1, 9), (64, 64, 0, 9), (64, 64, 1, 0)])
def test_a_clip_of_nothing_has_no_prediction(model, clip):
    refused(stm.predict, model.network, stm.MemoryConfig(), *clip, torch.float32)


def test_scores_of_nothing_or_of_unequal_masks():
    for truth in ([], [LABELS, LABELS], [LABELS[:9]]):
        refused(stm.evaluate_masks, [LABELS], truth)
