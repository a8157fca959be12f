"""Optimisers (Muon for inner convolutions, AdamW for the rest), their schedule, and averaged weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MUON_RATE, ADAM_RATE = 0.02, 2e-3
DECAY = 0.02
WARMUP = 200  # steps
SMALLEST = 32  # a weight with fewer inputs or outputs goes to AdamW


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal: every direction of a convolution's matrix moves equally far.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024 (Newton-Schulz
    coefficients).
    """

    def __init__(
        self,
        params: list[nn.Parameter],
        lr: float = MUON_RATE,
        momentum: float = 0.95,
        weight_decay: float = DECAY,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # none of ours has a closure
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                update = _orthogonal(weight.grad.lerp(momentum, group["momentum"]).flatten(1))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view(weight.shape).to(weight.dtype), alpha=-group["lr"])


def _orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix with equal singular values (about 1), times sqrt(rows/columns) where it is tall.

    Each Newton-Schulz step multiplies by a polynomial of x x'. Their product is made first: it is small.
    """
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    gram, whole = x @ x.T, torch.eye(len(x), device=x.device)
    for _ in range(steps):
        factor = 2.0315 * gram @ gram - 4.7750 * gram
        factor.diagonal().add_(3.4445)
        whole, gram = factor @ whole, factor @ gram @ factor
    x = whole @ x
    return (x.T if tall else x) * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5


def optimizers(network: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions inside, AdamW for norms, biases, first and last layers."""
    inner: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for weight in network.parameters():
        if not weight.requires_grad:
            continue
        if weight.dim() == 4 and min(weight.shape[:2]) >= SMALLEST:
            inner.append(weight)
        else:
            (decayed if weight.dim() == 4 else plain).append(weight)
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
    return [*([Muon(inner)] if inner else []), torch.optim.AdamW(groups, lr=ADAM_RATE, betas=(0.9, 0.98))]


def hold(network: nn.Module) -> None:
    """Trunk and keys stay as they are: what matches what does not change, and a step is much cheaper."""
    for name, weight in network.named_parameters():
        if name.startswith(("trunk.", "key.", "log_sharpness")):
            weight.requires_grad_(False)


def set_rates(chosen: list[torch.optim.Optimizer], step: int, progress: float, factor: float = 1.0) -> float:
    """Sets learning rates for this step: warm-up, then cosine to 1 % over `progress` 0..1.  Returns the
    factor.
    """
    factor *= min(1.0, (step + 1) / WARMUP) * (
        0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    )
    for optimizer in chosen:
        for group in optimizer.param_groups:
            group["lr"] = (MUON_RATE if isinstance(optimizer, Muon) else ADAM_RATE) * factor
    return factor


class Average:
    """Exponential moving average of a network's weights and norm statistics."""

    def __init__(self, network: nn.Module, decay: float = 0.998):
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, weight)
            else:
                self.state[name].copy_(value)


def clip_gradients(network: nn.Module, largest: float = 1.0) -> Tensor:
    """Scales gradients so that their norm is at most `largest`; returns the norm before."""
    return nn.utils.clip_grad_norm_(network.parameters(), largest)
