"""The training loop: steps, checkpoints, log lines.  One loop for CPU and GPU, one process or many."""

from __future__ import annotations

import json
import logging
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from stm_core.errors import WeightsError
from stm_core.media.files import sweep
from stm_core.networks.compact import CompactSTM
from stm_core.networks.efficientnet import FROZEN, quickened
from stm_core.networks.packed import can_pack
from stm_core.networks.weight_files import bundled_file, load_strictly
from stm_core.training.data.stores import Clips, Photos
from stm_core.training.data.synth import LARGEST_GAP, ClipMaker
from stm_core.training.fit import unroll
from stm_core.training.fit.curriculum import TrainConfig
from stm_core.training.fit.export import (
    read_checkpoint,
    starting_tensors,
    write_checkpoint,
    write_weights,
    written_beside,
)
from stm_core.training.fit.norms import freeze, settle
from stm_core.training.fit.optim import Average, clip_gradients, hold, optimizers, set_rates
from stm_core.training.fit.parallel import (
    agreed,
    average_gradients,
    everyone,
    rank_and_size,
    share_buffers,
    share_norms,
)

log = logging.getLogger(__name__)
CLOSER_SHARE = 0.6  # of the click batches: the piece around what a coarse read found
CLICK_SIZE = 192  # crop of click batches at most, pixels: near `click_side`, and more pictures a batch
CLOSER_SCALE = 1.5  # the picture that a piece is cut from, over the piece
PAIR_SHARE, TRIPLE_SHARE = 0.2, 0.1  # of the tracking batches: up to two, up to three objects a clip
MOVING_SHARE = 0.35  # of the batches, where there is video: an object of it before another scene
EARLIER_SHARE = 0.3  # of the batches are of the stage before: large crops alone spoil small frames


class Trainer:
    """All that a run is: network, average, optimisers, random state, clock.  `run()` trains to the end."""

    def __init__(self, config: TrainConfig, photos: Photos, textures: Photos, clips: Clips | None):
        self.config = config
        self.rank, self.world = rank_and_size()
        torch.manual_seed(config.seed)
        self.network = CompactSTM(config.network).to(config.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's hints lack it
        if config.hold:
            hold(self.network)
        self.average = Average(self.network)
        if self.world > 1:
            share_norms(self.network)
        self.optimizers = optimizers(self.network)
        self.generator = torch.Generator(config.device).manual_seed(config.seed * 1000 + self.rank)
        self.plan = torch.Generator().manual_seed(config.seed)
        self.clips = clips
        self.maker = ClipMaker(photos, textures, clips, self.generator)
        self.step, self.seconds, self.frozen = 0, 0.0, False
        self._logged = 0.0  # seconds of the run at its last line in the log
        self.written = written_beside(config.out)
        self.track = torch.compile(unroll.track) if config.compile else unroll.track

    def begin(self, path: Path | None) -> None:
        """Begin from the weights or the checkpoint at `path`.

        A frozen trunk that it lacks is the bundled one; what both lack starts from random numbers.  Raises
        WeightsError.
        """
        own, start = self.network.state_dict(), starting_tensors(path)
        fresh = [name for name in own if name not in start]
        half = [name for name in fresh if name.startswith(FROZEN)]
        if half:
            raise WeightsError(f"{path} lacks {half[0]}, but has more of the frozen trunk; get it again")
        load_strictly(self.network, own | start, path or bundled_file()[0])
        self.average = Average(self.network)
        if path is not None and self.config.begin >= self.config.freeze:  # its norms were settled once
            freeze(self.network)
            self.frozen = True
        log.info("%d of %d tensors begin as in %s", len(own) - len(fresh), len(own), path or "the bundle")

    @property
    def progress(self) -> float:
        """How much of the run is done, 0..1, by this process's clock."""
        if self.config.steps is not None:
            return self.step / self.config.steps
        assert self.config.minutes is not None  # TrainConfig has one of the two
        return self.seconds / 60 / self.config.minutes

    def run(self) -> None:
        """Trains until the run's length is reached; saves every few minutes and at the end."""
        self.network.train()
        if self.frozen:
            freeze(self.network)
        packs = self.config.device == "cpu" and self.config.bf16 and not self.config.compile
        with quickened(self.network.lite) if packs and can_pack(torch.bfloat16) else nullcontext():
            self._train()
        self.save()

    def _train(self) -> None:
        saved = time.monotonic()
        recent: dict[str, list[float]] = {}
        while True:
            late = time.monotonic() - saved > self.config.save_minutes * 60
            progress, late = agreed((self.progress, late))  # clocks differ: rank 0's counts
            if late:
                self.save()
                saved = time.monotonic()
            if progress >= 1:
                break
            began = time.monotonic()
            report = self.train_step(progress)
            self.seconds += time.monotonic() - began
            for name, value in report.items():
                recent.setdefault(name, []).append(value)
            if self.step % 50 == 0:
                self._log(progress, recent)
                recent = {}

    def train_step(self, progress: float) -> dict[str, float]:
        """One batch, one update; returns numbers for the log."""
        place = self.config.begin + (1 - self.config.begin) * progress
        if place >= self.config.freeze and not self.frozen:
            self._freeze(place)
        factor = set_rates(self.optimizers, self.step, progress, self.config.rate)
        kind, count, losses = self._forward(place)
        norm = self._update(losses["loss"])
        self.average.update(self.network, self.step)
        self.step += 1
        numbers = {f"{kind}_seg": losses["seg"].item(), f"{kind}_iou": losses["iou"].item()}
        if kind == "track":
            numbers["keys"] = losses["keys"].item()
        return numbers | {"norm": float(norm), "rate": factor, "clips": float(count)}

    def _forward(self, place: float) -> tuple[str, int, dict[str, Tensor]]:
        """Losses of a fresh batch at this place of the curriculum; its kind and its clips."""
        config = self.config
        # alike in every process
        kind, video, pair, rounds, early, moving, near = torch.rand(7, generator=self.plan).tolist()
        stage = config.stage(place, early < EARLIER_SHARE)
        clicks, near = kind < config.clicks, near < CLOSER_SHARE
        size, frames, clips = stage.size, stage.frames, float(stage.clips)
        if clicks:  # single pictures, three quarters as many pixels: they are decoded up to three times
            side = min(size, CLICK_SIZE)
            frames, clips = 1, 0.75 * clips * frames * (size / side) ** 2
            size = round(side * CLOSER_SCALE / 32) * 32 if near else side
        count = max(1, round(clips * config.batch))
        batch = self.maker.batch(
            count,
            frames,
            size,
            video=self.clips is not None and video < stage.video,
            moving=self.clips is not None and moving < MOVING_SHARE,
            gap=round(2 + (LARGEST_GAP - 2) * min(1.0, place * 1.5)),
        )
        hardest = 1 - 0.7 * min(1.0, max(0.0, (place - 0.1) / 0.4))
        with torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=config.bf16):
            if clicks:
                losses = unroll.click(self.network, batch, 1 + int(rounds * 3), self.generator, hardest, near)
            else:
                objects = 3 if pair < TRIPLE_SHARE else 2 if pair < TRIPLE_SHARE + PAIR_SHARE else 1
                losses = self.track(self.network, batch, objects, hardest)
        return ("closer" if near else "click") if clicks else "track", count, losses

    def _freeze(self, place: float) -> None:
        settle(self.network, lambda: self._forward(place), self.config.settle)
        share_buffers(self.network)
        freeze(self.network)
        for name, value in self.network.named_buffers():
            if name in self.average.state:
                self.average.state[name].copy_(value)
        self.frozen = True

    def _update(self, loss: Tensor) -> Tensor:
        if not torch.isfinite(loss):
            raise WeightsError(
                f"training diverged at step {self.step}: the loss is {loss.item()}; "
                "resume from the last checkpoint with a smaller --rate"
            )
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.world > 1:
            average_gradients(self.network, self.world)
        norm = clip_gradients(self.network)
        for optimizer in self.optimizers:
            optimizer.step()
        return norm

    def _log(self, progress: float, recent: dict[str, list[float]]) -> None:
        if self.rank:
            return
        means = {name: round(sum(values) / len(values), 4) for name, values in recent.items()}
        rate = self.world * sum(recent["clips"]) / (self.seconds - self._logged)
        means["clips_per_second"] = round(rate, 2)
        self._logged = self.seconds
        left = self.seconds / 60 * (1 / max(progress, 1e-6) - 1)
        line = {"step": self.step, "progress": round(progress, 4), "minutes_left": round(left, 1), **means}
        log.info("%s", json.dumps(line))
        path = self.config.out.with_suffix(".log.jsonl")
        if path.name not in self.written.names:
            self.written.note(path.name, b"")  # by its name: it grows
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def checkpoint(self) -> Path:
        """Where `save` writes: a folder beside the weights with everything that a resumed run needs."""
        return self.config.out.with_suffix(".ckpt")

    def save(self) -> None:
        """Writes the checkpoint and the averaged weights, each whole or not at all."""
        generators = everyone(self.generator.get_state())
        if self.rank:
            return
        for path in (self.checkpoint, self.config.out):
            sweep(path)
        rest = {
            "step": self.step,
            "seconds": self.seconds,
            "frozen": self.frozen,
            "generators": generators,
            "plan": self.plan.get_state(),
        }
        write_checkpoint(
            self.checkpoint,
            self.written,
            network=self.network.state_dict(),
            average=self.average.state,
            optimizers=[optimizer.state_dict() for optimizer in self.optimizers],
            rest=rest,
        )
        write_weights(self.config.out, self.config.network, self.average.state, self.written)

    def load(self, path: Path) -> None:
        """Continues from a checkpoint of `save`: weights, average, optimisers, clock, random state."""
        network, average, optimizers, rest = read_checkpoint(path, self.config.device)
        load_strictly(self.network, network, path)
        self.average.state = average
        for optimizer, kept in zip(self.optimizers, optimizers, strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.seconds, self.frozen = rest["step"], rest["seconds"], rest["frozen"]
        if self.frozen:
            freeze(self.network)
        self._logged = self.seconds
        if len(rest["generators"]) == self.world:
            self.generator.set_state(rest["generators"][self.rank].cpu())
        else:  # another number of processes: no two of them may make the same clips
            self.generator.manual_seed(self.config.seed * 1000 + self.rank + 7919 * self.step)
        self.plan.set_state(rest["plan"].cpu())
