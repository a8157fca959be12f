"""The ranges that int8 needs, measured on clips: made again whenever the weights change.

    python assets/calibrate.py DAVIS_ROOT                        # of the bundled weights: compact.int8.json
    python assets/calibrate.py DAVIS_ROOT --weights mine.safetensors         # mine.int8.json, beside them

DAVIS_ROOT is a folder in the DAVIS layout: the training clips of DAVIS-2016. A few frames of each are
followed from their first mask, at their own size and enlarged in turn, and one frame of each is clicked.
The clips' terms (CC BY-NC 4.0) are those of the weights already.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
from stm_core.engine.clicks import segment_frame
from stm_core.engine.prompts import Prompt
from stm_core.engine.propagate import propagate
from stm_core.memory.policy import MemoryConfig
from stm_core.networks.ranges import Meter, ranges_path, write_ranges
from stm_core.networks.weight_files import bundled_file, checksum, read_compact
from stm_core.networks.weights import Model
from stm_core.runs.evaluate import Sequence, find_sequences, read_truth

FRAMES, APART = 5, 4  # followed in each clip, and how far apart


def show(model: Model, sequence: Sequence, enlarged: bool) -> None:
    """Let the network see a clip: follow it from its first mask that is not empty, then click its middle."""
    truths = [read_truth(path, 2016) for path in sequence.annotations]
    first = next(n for n, labels in enumerate(truths) if labels.any())
    paths = list(islice(sequence.frames[first:], 0, None, APART))[:FRAMES]
    images, labels = [np.asarray(Image.open(path).convert("RGB")) for path in paths], truths[first]
    size = None if enlarged else min(labels.shape)
    for _ in propagate(model, images, Prompt.from_mask(labels), memory=MemoryConfig(every=1), size=size):
        pass
    y, x = np.argwhere(labels)[np.count_nonzero(labels) // 2].tolist()
    segment_frame(model, images[0], [(x, y, 1, 1), (0, 0, 0, 1)], size=size)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="DAVIS_ROOT")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="default: the bundled ones")
    args = parser.parse_args()
    path = args.weights or bundled_file()[0]
    network = read_compact(path).for_inference().to("cpu", memory_format=torch.channels_last)
    model, meter = Model(network, path.name, torch.device("cpu"), torch.float32), Meter()
    with meter.on(network):
        for n, sequence in enumerate(find_sequences(args.root, 2016, "train")):
            show(model, sequence, enlarged=n % 2 == 1)
            print(".", end="", flush=True)
    write_ranges(ranges_path(path), checksum(path), meter.ranges())
    print(f"\n{len(meter.ranges())} ranges in {ranges_path(path)}")


if __name__ == "__main__":
    main()
