"""Which optimizer updates which tensor, and how its learning rate runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from components.optimization.muon import Muon

if TYPE_CHECKING:
    import torch

EMBEDDING_SHARE = 0.15
"""AdamW's rate for embeddings and norms as a share of Muon's for the matrices."""
DECAY = 0.01
BETAS = (0.9, 0.95)


def adamw(model: torch.nn.Module, lr: float, weight_decay: float = 0.0) -> list[torch.optim.Optimizer]:
    """AdamW over every trainable tensor."""
    import torch

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [torch.optim.AdamW(trainable, lr=lr, betas=BETAS, weight_decay=weight_decay, fused=True)]


def muon(model: torch.nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, head and norms."""
    import torch

    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            hidden = parameter.ndim == 2 and not any(part in name for part in ("embed", "lm_head"))
            (matrices if hidden else others).append(parameter)
    return [
        Muon(matrices, lr=lr, weight_decay=DECAY),
        torch.optim.AdamW(others, lr=lr * EMBEDDING_SHARE, betas=BETAS, weight_decay=0.0, fused=True),
    ]


def rate(step: int, steps: int, warmup: float, shape: Literal["linear"] = "linear") -> float:
    """The share of the peak learning rate at a step (0-based): a linear rise, then a line down to zero."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)


def set_rate(optimizers: Sequence[torch.optim.Optimizer], share: float) -> None:
    """Set every group's rate to a share of the peak it was made with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("peak_lr", group["lr"])
            group["lr"] = group["peak_lr"] * share
