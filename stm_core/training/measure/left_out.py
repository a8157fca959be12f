"""Short clips made from what training leaves out (one photo in 40, annotated clips), to compare weights on.

They show far more objects than a few whole clips do, and no single frame decides the score.
"""

from __future__ import annotations

from pathlib import Path

import torch

from stm_core.networks.compact import CompactSTM
from stm_core.training.data.stores import load_clips, load_photos
from stm_core.training.data.synth import LARGEST_GAP, Batch, ClipMaker
from stm_core.training.fit import unroll

MEASURES = ("clips of photos", "pieces of clips", "two clicks")
TRACKED = 2, 4, 384  # of a batch: the last stage of training
CLICKED = 8, 1, 192
CLICKS = 2
BATCHES = 24  # of each measure


class LeftOut:
    """The same batches for every network, made from seeds; memory is read as in training.

    photos: folders as for training.  davis: root whose 2016 "val" clips were not trained on.  Raises
    OptionError.
    """

    def __init__(self, photos: list[Path], davis: Path):
        self.photos = load_photos(photos, left_out=True)
        self.clips = load_clips([davis], split="val")

    def overlaps(self, network: CompactSTM) -> list[float]:
        """Mean overlap (IoU, 0..1) of each of MEASURES."""
        network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's hints lack it
        return [self._mean(measure, network) for measure in MEASURES]

    def _mean(self, measure: str, network: CompactSTM) -> float:
        return sum(self._overlap(measure, network, seed) for seed in range(BATCHES)) / BATCHES

    @torch.inference_mode()
    def _overlap(self, measure: str, network: CompactSTM, seed: int) -> float:
        batch = self.batch(measure, seed)
        with torch.autocast("cpu", torch.bfloat16):
            if measure == "two clicks":
                return unroll.click(network, batch, CLICKS, torch.Generator().manual_seed(seed))["iou"].item()
            return unroll.track(network, batch, objects=1 + seed % 2)["iou"].item()

    def batch(self, measure: str, seed: int) -> Batch:
        """The batch of that number."""
        maker = ClipMaker(self.photos, self.photos, self.clips, torch.Generator().manual_seed(seed))
        wanted = CLICKED if measure == "two clicks" else TRACKED
        return maker.batch(*wanted, video=measure == "pieces of clips", gap=LARGEST_GAP)
