"""Training on several processes, with gradients and norm statistics as if it were one.

Each process makes its own clips; a step on P processes equals one process's step on the joined batch.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Decision = TypeVar("Decision")


def rank_and_size() -> tuple[int, int]:
    """This process's number and how many there are; (0, 1) without torchrun."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes.  Its gradient is summed, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


class SharedNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of all processes' batches together; these must have equal sizes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.float()
        moments = torch.stack([wide.mean((0, 2, 3)), wide.square().mean((0, 2, 3))])
        mean, square = _Sum.apply(moments) / dist.get_world_size()
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            count = x.numel() / x.shape[1] * dist.get_world_size()
            if self.num_batches_tracked is None or self.running_mean is None or self.running_var is None:
                raise TypeError("a norm that keeps no statistics cannot be shared")
            self.num_batches_tracked += 1
            share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * count / (count - 1), share)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return torch.addcmul(shift.view(-1, 1, 1), wide, scale.view(-1, 1, 1)).to(x.dtype)


def share_norms(network: nn.Module) -> None:
    """Makes every batch norm of the network take its statistics over all processes."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedNorm


def average_gradients(network: nn.Module, processes: int) -> None:
    """Replaces gradients by their mean over processes, in one exchange."""
    grads = [weight.grad for weight in network.parameters() if weight.grad is not None]
    joined = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(joined)
    joined /= processes
    for grad, mean in zip(grads, joined.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(mean.view_as(grad))


def share_buffers(network: nn.Module) -> None:
    """Gives every process rank 0's buffers: norm statistics."""
    for buffer in network.buffers():
        if dist.is_initialized():
            dist.broadcast(buffer, 0)


def everyone(value: Tensor) -> list[Tensor]:
    """The tensors (CPU) that the processes gave, by rank."""
    if not dist.is_initialized():
        return [value]
    gathered: list = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def agreed(decision: Decision) -> Decision:
    """Rank 0's decision, on every process."""
    holder = [decision]
    if dist.is_initialized():
        dist.broadcast_object_list(holder, 0)
    return holder[0]
