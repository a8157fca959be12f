"""Run by torchrun: a few training steps on two processes, and the same on one with the joined batch."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from stm_core.networks.compact import CompactSTM
from stm_core.networks.weights import TINY
from stm_core.training.data.synth import Batch
from stm_core.training.fit import unroll
from stm_core.training.fit.norms import settle
from stm_core.training.fit.parallel import average_gradients, share_norms

SIZE, STEPS = 48, 1


def made_up(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    frames = torch.rand(4, 3, 3, SIZE, SIZE, generator=generator)
    labels = torch.zeros(4, 3, SIZE, SIZE, dtype=torch.uint8)
    labels[:, :, 10:30, 8:40] = 1
    return Batch(frames, labels, torch.full((4, 3, 3, 3, 3), float("nan")))


def train(rank: int, world: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = CompactSTM(TINY).train()
    if world > 1:
        share_norms(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(STEPS):
        whole = made_up(step)
        mine = Batch(*(part.chunk(world)[rank] for part in (whole.frames, whole.labels, whole.points)))
        optimizer.zero_grad()
        unroll.track(network, mine, 1)["loss"].backward()
        if world > 1:
            average_gradients(network, world)
        optimizer.step()
    settle(network, lambda: unroll.track(network, mine, 1), 2)
    return network.state_dict()


def main() -> None:
    dist.init_process_group("gloo")
    apart = train(dist.get_rank(), 2)
    if dist.get_rank() == 0:
        torch.save(apart, Path(sys.argv[1]) / "apart.pt")
        torch.save(train(0, 1), Path(sys.argv[1]) / "joined.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
