"""Laws of a whole run: a mask for every frame, from prompts anywhere, and whole files whatever happens."""

import errno
import json
import os
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stm_core.engine.forecast import predict
from stm_core.engine.prompts import Prompt
from stm_core.errors import LimitError, MaskError, OptionError, PromptError, StmError, VideoError
from stm_core.media.video import probe, read_video
from stm_core.media.write import VideoWriter
from stm_core.memory.policy import PRESETS, MemoryConfig
from stm_core.networks.weights import random_model
from stm_core.runs import clip as segment
from stm_core.runs import output
from stm_core.runs.clip import segment_clip
from stm_core.runs.folder import run_to_folder, segment_to_folder
from stm_core.runs.made_up import moving_clip

HEIGHT, WIDTH, FRAMES = 50, 82, 12
KEYS = {
    "": "frames_in frames_out width height objects seconds fps device dtype engine weights memory "
    "process warnings clip files seal",
    "clip": "name path",
    "seconds": "total per_frame_median per_frame_p95 first_preview",
    "engine": "name why",
    "weights": "name sha256",
    "memory": "preset budget_bytes frames_held bytes peak_bytes read_peak_bytes predicted_peak_bytes",
    "process": "peak_rss_bytes peak_cuda_bytes",
}


@pytest.fixture(scope="module")
def model():
    return random_model("compact-tiny", device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """An MP4 of twelve frames and the labels of each."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    labels = []
    with VideoWriter(path, WIDTH, HEIGHT, fps=10) as writer:
        for image, mask in moving_clip(HEIGHT, WIDTH, FRAMES, objects=2):
            writer.write(image)
            labels.append(mask)
    return path, labels


def prompt_at(clip, frame: int) -> Prompt:
    return Prompt.from_mask(clip[1][frame], frame=frame)


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.png"))


def test_every_frame_comes_once_forward_then_backward(model, clip):
    for first in (0, 5, FRAMES - 1):
        steps = list(segment_clip(model, clip[0], prompt_at(clip, first)))
        indices = [step.result.index for step in steps]
        assert indices == [*range(first, FRAMES), *range(first - 1, -1, -1)]
        assert [round(step.seconds * 10) for step in steps] == indices
        assert np.array_equal(steps[0].result.labels, clip[1][first])


def test_pictures_belong_to_their_results(model, clip):
    with read_video(clip[0]) as reader:
        images = list(reader)
    for step in segment_clip(model, clip[0], prompt_at(clip, 5)):
        assert np.array_equal(step.image, images[step.result.index])


def test_several_prompts_add_objects_and_do_not_reach_before_the_first(model, clip):
    one = (clip[1][4] == 1).astype(np.uint8)
    two = (clip[1][8] == 2).astype(np.uint8) * 2
    prompts = [Prompt.from_mask(two, frame=8), Prompt.from_mask(one, frame=4)]
    steps = {step.result.index: step.result for step in segment_clip(model, clip[0], prompts)}
    assert sorted(steps) == list(range(FRAMES))
    assert set(np.unique(steps[8].labels)) >= {2}
    assert all(2 not in steps[t].labels for t in range(8))


@pytest.mark.parametrize("first", [0, 7])
def test_files_and_report_are_as_promised(model, clip, tmp_path, first):
    memory = MemoryConfig(preset="every-5")
    report = run_to_folder(model, clip[0], prompt_at(clip, first), tmp_path, memory=memory)
    assert numbers(tmp_path / "masks") == list(range(FRAMES))
    for path in (tmp_path / "masks").iterdir():
        assert re.fullmatch(r"\d{5}\.png", path.name)
        with Image.open(path) as mask:
            assert mask.mode == "P" and mask.size == (WIDTH, HEIGHT)
            assert mask.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]
    with Image.open(tmp_path / f"masks/{first:05d}.png") as mask:
        assert np.array_equal(np.asarray(mask), clip[1][first])
    film, source = probe(tmp_path / "overlay.mp4", count=True), probe(clip[0], count=True)
    assert (film.frames, film.width, film.height, film.codec) == (FRAMES, WIDTH, HEIGHT, "h264")
    assert film.fps == pytest.approx(source.fps)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert sorted(os.listdir(tmp_path)) == ["masks", "overlay.mp4", "report.json"]
    check_report(report)
    assert 0 < report["memory"]["peak_bytes"] <= report["memory"]["predicted_peak_bytes"]


def check_report(report: dict) -> None:
    for group, names in KEYS.items():
        assert list(report[group] if group else report) == names.split()
    assert report["frames_in"] == report["frames_out"] == FRAMES
    assert (report["width"], report["height"], report["objects"]) == (WIDTH, HEIGHT, 2)
    assert (report["device"], report["dtype"], report["warnings"]) == ("cpu", "fp32", [])
    seconds = report["seconds"]
    assert 0 < seconds["per_frame_median"] <= seconds["per_frame_p95"] <= seconds["total"]
    assert 0 < seconds["first_preview"] <= seconds["total"]
    assert report["fps"] == pytest.approx(FRAMES / seconds["total"])


def test_results_of_an_earlier_run_do_not_stay_and_all_else_does(model, clip, tmp_path):
    run_to_folder(model, clip[0], prompt_at(clip, 0), tmp_path)
    (tmp_path / "masks" / "notes.txt").write_text("mine")
    (tmp_path / "mine.txt").write_text("mine")
    short = tmp_path / "short.mp4"
    with VideoWriter(short, WIDTH, HEIGHT, fps=10) as writer:
        for image, _ in moving_clip(HEIGHT, WIDTH, 3, objects=2):
            writer.write(image)
    report = run_to_folder(model, short, prompt_at(clip, 0), tmp_path)
    assert numbers(tmp_path / "masks") == [0, 1, 2]
    assert sorted(report["files"]) == [*(f"masks/{t:05d}.png" for t in range(3)), "overlay.mp4"]
    assert (tmp_path / "masks" / "notes.txt").exists() and (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize("name", ["masks/00003.png", "masks/00099.png", "overlay.mp4", "report.json"])
@pytest.mark.parametrize("before", ["nothing", "a run", "a run that was stopped"])
def test_files_of_somebody_else_are_refused_before_a_frame_is_computed(
    model, clip, tmp_path, monkeypatch, name, before
):
    if before != "nothing":
        steps = segment_to_folder(model, clip[0], prompt_at(clip, 0), tmp_path)
        for _ in islice(steps, 5 if "stopped" in before else None):
            pass
        steps.close()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")  # put there, or changed after the run
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr("stm_core.runs.clip.propagate", None)
    with pytest.raises(OptionError, match=Path(name).name):
        run_to_folder(model, clip[0], prompt_at(clip, 0), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_a_mask_that_is_the_prompt_stays_as_it_is_among_the_results(model, clip, tmp_path):
    own = tmp_path / "masks" / "00005.png"
    own.parent.mkdir()
    Image.fromarray(clip[1][5]).save(own)  # grey: not as a run writes it
    before = own.read_bytes()
    report = run_to_folder(model, clip[0], prompt_at(clip, 5), tmp_path)
    assert own.read_bytes() == before and report["frames_out"] == FRAMES
    assert "masks/00005.png" not in report["files"] and numbers(own.parent) == list(range(FRAMES))
    run_to_folder(model, clip[0], prompt_at(clip, 5), tmp_path)
    with pytest.raises(OptionError, match="00005.png"):
        run_to_folder(model, clip[0], prompt_at(clip, 4), tmp_path)
    assert own.read_bytes() == before


def test_a_mistake_leaves_an_earlier_result_alone(model, clip, tmp_path):
    run_to_folder(model, clip[0], prompt_at(clip, 0), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(PromptError):
        run_to_folder(model, clip[0], Prompt.from_mask(clip[1][0], frame=99), tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("first, done", [(0, range(4)), (5, range(3, FRAMES))], ids=["forward", "backward"])
def test_closing_early_keeps_what_is_finished(model, clip, tmp_path, first, done):
    steps = segment_to_folder(model, clip[0], prompt_at(clip, first), tmp_path)
    for _ in done:
        next(steps)
    steps.close()
    assert numbers(tmp_path / "masks") == list(done)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames_out"] == len(done) and "stopped" in report["warnings"][0]
    film = ["overlay.mp4"] if first == 0 else []  # on the way back its beginning is missing
    assert sorted(os.listdir(tmp_path)) == ["masks", *film, "report.json"]
    assert not film or probe(tmp_path / "overlay.mp4", count=True).frames == len(done)


def test_a_full_disk_is_told_and_what_was_written_stays(model, clip, tmp_path, monkeypatch):
    whole = output.write_whole

    def write_whole(path, data):
        if path.name == "00003.png":
            raise output.disk_error(path, OSError(errno.ENOSPC, "No space left on device"))
        whole(path, data)

    monkeypatch.setattr(output, "write_whole", write_whole)
    with pytest.raises(VideoError, match="disk"):
        run_to_folder(model, clip[0], prompt_at(clip, 0), tmp_path)
    assert numbers(tmp_path / "masks") == [0, 1, 2]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["frames_out"] == 3 and "disk" in report["warnings"][-1]


def test_gpu_memory_running_out_begins_again_smaller(model, clip, tmp_path, monkeypatch):
    sizes = []
    real = segment.propagate

    def propagate(model, frames, prompts, *, size, **options):
        sizes.append(size)
        for result in real(model, frames, prompts, size=size, **options):
            if size is None and result.index == 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield result

    monkeypatch.setattr(segment, "propagate", propagate)
    monkeypatch.setattr(segment, "SMALLEST", 16)
    report = run_to_folder(model, clip[0], prompt_at(clip, 0), tmp_path)
    assert sizes == [None, 37]
    assert report["frames_out"] == FRAMES and "GPU ran out of memory" in report["warnings"][0]
    assert probe(tmp_path / "overlay.mp4", count=True).frames == FRAMES


def test_gpu_memory_running_out_again_and_again_is_told(model, clip, tmp_path, monkeypatch):
    def propagate(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    monkeypatch.setattr(segment, "propagate", propagate)
    with pytest.raises(LimitError, match="--size"):
        run_to_folder(model, clip[0], prompt_at(clip, 0), tmp_path)


def test_a_truncated_clip_gives_what_decodes_and_a_warning(model, clip, tmp_path):
    data = clip[0].read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 3 // 4])
    report = run_to_folder(model, cut, prompt_at(clip, 0), tmp_path / "out")
    assert 0 < report["frames_in"] == report["frames_out"] == len(numbers(tmp_path / "out/masks")) < FRAMES
    assert report["warnings"]


@pytest.mark.parametrize(
    "prompt, named",
    [
        (lambda labels: [], None),
        (lambda labels: Prompt.from_mask(labels, frame=FRAMES), "12.* 11"),
        (lambda labels: Prompt.from_mask(labels[:-1]), "82x49.*82x50"),
        (lambda labels: Prompt.from_clicks([(WIDTH, 3)]), "82x50"),
        (lambda labels: [Prompt.from_mask(labels), Prompt.from_clicks([(3, 3, 0, 7)], frame=4)], "7.* 4"),
    ],
)
def test_prompts_that_do_not_fit_the_clip_are_refused(model, clip, tmp_path, prompt, named):
    with pytest.raises((PromptError, MaskError), match=named):
        run_to_folder(model, clip[0], prompt(clip[1][0]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("frames, ids", [((0, 3, 6), (1, 1, 1)), ((0, 1), (1, 2))], ids=["frames", "objects"])
def test_all_prompts_must_fit_the_budget_before_a_frame_is_computed(
    model, clip, tmp_path, monkeypatch, frames, ids
):
    one = (clip[1][0] == 1).astype(np.uint8)
    prompts = [Prompt.from_mask(one * i, frame=t) for t, i in zip(frames, ids, strict=True)]
    options = {"memory": MemoryConfig(budget_bytes=needed(model, 1, 1))}
    run_to_folder(model, clip[0], prompts[0], tmp_path / "fits", **options)
    monkeypatch.setattr("stm_core.runs.clip.propagate", None)
    with pytest.raises(LimitError, match=rf"\({len(frames)}\).* {len(set(ids))} "):
        run_to_folder(model, clip[0], prompts, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def needed(model, pinned: int, objects: int) -> int:
    """The smallest budget that so many prompted frames and objects of the clip fit."""
    for budget in range(1000, 10**6, 100):
        with suppress(LimitError):
            memory = MemoryConfig(budget_bytes=budget)
            predict(model.network, memory, HEIGHT, WIDTH, objects, FRAMES, model.dtype, pinned=pinned)
            return budget


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("frames", [(0, 3, 6), (4, 5, 11)])
def test_several_prompted_frames_stay_within_what_was_predicted(model, clip, tmp_path, preset, frames):
    memory = MemoryConfig(preset=preset, capacity=4)
    prompts = [Prompt.from_mask(clip[1][t] == 1, frame=t) for t in frames]
    found = run_to_folder(model, clip[0], prompts, tmp_path, memory=memory)["memory"]
    assert found["peak_bytes"] <= found["predicted_peak_bytes"]


def test_a_folder_that_cannot_be_written_is_refused(model, clip, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="file"):
        run_to_folder(model, clip[0], prompt_at(clip, 0), tmp_path / "file" / "out")
    with pytest.raises(StmError, match="nowhere"):
        run_to_folder(model, clip[0], prompt_at(clip, 0), Path("/proc/nowhere"))


def test_the_clip_is_never_overwritten(model, clip, tmp_path):
    own = tmp_path / "overlay.mp4"
    own.write_bytes(clip[0].read_bytes())
    with pytest.raises(OptionError, match="overlay.mp4"):
        run_to_folder(model, own, prompt_at(clip, 0), tmp_path)
