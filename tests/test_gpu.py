"""Laws of a CUDA device: it finds what a CPU finds.  `python -m pytest -m gpu` runs them where one is."""

import numpy as np
import pytest
import torch
from conftest import TRAINING_SIZE, squares

from stm_core import PRESETS, MemoryConfig, Prompt, load_model, look, propagate, random_model, segment_frame
from stm_core.commands import cli
from stm_core.memory.readout import read
from stm_core.networks.weights import TINY
from stm_core.training.fit.curriculum import Stage, TrainConfig
from stm_core.training.fit.loop import Trainer

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def followed(model, preset: str = "bounded", objects: int = 2) -> list[np.ndarray]:
    """The labels of a made-up clip, from its first mask."""
    clip = squares(12, 96, 160, objects=objects)
    steps = propagate(
        model,
        [image for image, _ in clip],
        Prompt.from_mask(clip[0][1]),
        memory=MemoryConfig(preset, every=2),
    )
    return [step.labels for step in steps]


def agreement(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    return float(np.mean([np.mean(a == b) for a, b in zip(one, other, strict=True)]))


@pytest.mark.parametrize("preset", PRESETS)
def test_masks_are_those_of_the_cpu(preset):
    models = [random_model("compact-tiny", device=device) for device in ("cpu", DEVICE)]
    assert agreement(*(followed(model, preset) for model in models)) > 0.999


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_bundled_weights_in_few_bits_stay_near(dtype):
    exact = load_model("compact", device="cpu", dtype="fp32", engine="torch")
    assert agreement(followed(exact), followed(load_model("compact", device=DEVICE, dtype=dtype))) > 0.98


def test_a_read_is_that_of_the_cpu():
    draw = torch.Generator().manual_seed(0)
    keys = [torch.nn.functional.normalize(torch.randn(1, 40, 8, generator=draw), dim=2) for _ in range(3)]
    values, query = [torch.randn(1, 40, 2, 16, generator=draw) for _ in range(3)], keys[0]
    found = [
        read(*([one.to(device) for one in rows] for rows in (keys, values)), query.to(device), scale=20.0)
        for device in ("cpu", DEVICE)
    ]
    assert torch.allclose(found[0].value, found[1].value.cpu(), atol=1e-4)
    assert torch.allclose(found[0].usage, found[1].usage.cpu(), atol=1e-4)


def test_clicks_and_looks_answer():
    clip, model = squares(6, 96, 160), load_model("compact", device=DEVICE)
    mask = segment_frame(model, clip[0][0], [(8, 8, 1, 1)])
    assert mask.shape == (96, 160) and mask[8, 8] == 1
    images = [image for image, _ in clip]
    *_, last = steps = list(propagate(model, images, Prompt.from_mask(clip[0][1])))
    masks = {step.index: step.labels for step in steps}
    seen = look(model, dict(enumerate(images)), last.memory.read, masks, last.index, (88, 8))
    assert abs(sum(frame.share for frame in seen.stored) - 1) < 1e-3


def test_bench_measures(tmp_path, capsys):
    words = ["--device", DEVICE, "--size", "96x160", "--frames", "12", "--objects", "2"]
    assert cli.main(["bench", *words]) == 0 and "96x160" in capsys.readouterr().out
    assert cli.main(["bench", *words, "--profile"]) == 0 and "encode_query" in capsys.readouterr().out


def test_training_takes_a_step(tmp_path, photos):
    stage = Stage(until=1.0, size=TRAINING_SIZE, frames=3, clips=2, video=0.0)
    config = TrainConfig(
        out=tmp_path / "w.safetensors", steps=2, device=DEVICE, curriculum=(stage,), network=TINY
    )
    trainer = Trainer(config, photos.to(DEVICE), photos.to(DEVICE), None)
    trainer.run()
    assert trainer.step == 2 and config.out.exists()
