"""Muon for the hidden matrices, in the precision and shape that the device is fast at.

The mathematics is `torch.optim.Muon`'s (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/):
Nesterov momentum, then five Newton-Schulz iterations that bring the update near the closest
orthogonal matrix. That implementation iterates in bfloat16, one matrix at a time; on a CPU
without bfloat16 units it takes twice as long as the model's forward and backward pass together.
This one works in float32 off the GPU and on all matrices of one shape at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from components.optimization import replicas

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Quintic whose slope at zero is greatest; singular values end in about [0.7, 1.2]."""


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton-Schulz.

    Args:
        params: matrices only; embeddings, norms and heads belong to AdamW.
        lr: step length; a matrix of shape (m, n) moves by lr·sqrt(max(1, m/n)).
        weight_decay: decoupled, as in AdamW.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        iterations: int = 5,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "iterations": iterations}
        )
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim != 2:
                    raise ValueError(f"Muon updates matrices; this parameter has shape {tuple(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        assert closure is None, "Muon takes no closure"
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            updates = [torch.stack([self._nesterov(p, group["momentum"]) for p in same]) for same in shapes.values()]
            directions = _directions(updates, group["iterations"])
            for (shape, parameters), found in zip(shapes.items(), directions, strict=True):
                length = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
                for parameter, direction in zip(parameters, found, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(direction.to(parameter.dtype), alpha=-length)

    def _nesterov(self, parameter: torch.Tensor, momentum: float) -> torch.Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter.grad)
        buffer = state["momentum_buffer"]
        buffer.lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(buffer, momentum)


def _directions(updates: Sequence[torch.Tensor], iterations: int) -> list[torch.Tensor]:
    """`orthogonalise` of each stack of matrices; of several processes each does a part, and they meet once."""
    count = replicas.count()
    if count == 1:
        return [orthogonalise(matrices, iterations) for matrices in updates]
    directions = [torch.zeros_like(matrices) for matrices in updates]
    for matrices, found in zip(updates, directions, strict=True):
        own = slice(replicas.rank(), None, count)
        if matrices[own].numel():
            found[own] = orthogonalise(matrices[own], iterations)
    replicas.sum_up(directions)
    return directions


def orthogonalise(matrices: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """Bring each matrix's singular values near 1 by Newton-Schulz.

    Args:
        matrices: (batch, m, n).

    Returns:
        the same shape, bfloat16 on a GPU and float32 elsewhere.
    """
    a, b, c = COEFFICIENTS
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
