"""The mean cross-entropy of a large head without all of its logits at once.

A vocabulary of 150,000 makes the logits of some thousand tokens gigabytes. Here they come in chunks, and each chunk's
gradients are taken at once, while it is there (as in Hsu et al. 2024, Liger Kernel, https://arxiv.org/abs/2410.10989,
3.2): nothing is computed twice, and no more than one chunk is held.

PyTorch 2.13 has the same as `torch.nn.functional.linear_cross_entropy`. In bfloat16 that one gives the loss in bfloat16
too, in steps of a hundredth, sums the head's gradient in bfloat16, and goes over each chunk in float32 six times.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from typing import Any

import torch
from torch.utils._triton import has_triton

LARGE = 2**26
"""Logits up to which they are computed as a whole."""
CHUNK = {"cuda": 2**29, "cpu": 2**24}
"""Logits of a chunk: a GPU's matrix products want many rows."""


def is_large(positions: int, vocabulary: int) -> bool:
    """Whether so many logits had better come in chunks."""
    return positions * vocabulary > LARGE


def mean_cross_entropy(hidden: torch.Tensor, head: torch.nn.Module, targets: torch.Tensor) -> torch.Tensor:
    """−mean log softmax(head(hidden))[target], in float32 nats.

    Args:
        hidden: (positions, width).
        head: a linear layer, width → vocabulary.
        targets: (positions,).
    """
    weight: Any = head.weight
    bias: Any = getattr(head, "bias", None)
    kind = hidden.device.type
    if torch.is_autocast_enabled(kind):  # which does not reach into functions that bring their own gradient
        to = torch.get_autocast_dtype(kind)
        hidden, weight = hidden.to(to), weight.to(to)
    if not torch.is_grad_enabled():
        hidden, weight, bias = hidden.detach(), weight.detach(), None if bias is None else bias.detach()
    found: torch.Tensor = _Chunked.apply(hidden, weight, bias, targets)
    return found


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
    ) -> torch.Tensor:
        of_hidden, of_weight, of_bias, _ = ctx.needs_input_grad
        count, vocabulary = len(targets), len(weight)
        rows = max(128, CHUNK.get(hidden.device.type, CHUNK["cpu"]) // vocabulary // 128 * 128)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if of_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if of_weight else None
        d_bias = torch.zeros_like(weight[:, 0], dtype=torch.float32) if of_bias else None
        pointwise = _compiled() if compiles(hidden.device) else nats_and_gradient
        for start in range(0, count, rows):
            part = slice(start, start + rows)
            logits = hidden[part] @ weight.T
            if bias is not None:
                logits = logits + bias.to(logits.dtype)
            nats, gradient = pointwise(logits, targets[part], 1 / count)
            total += nats.sum()
            if d_hidden is not None:
                torch.mm(gradient, weight, out=d_hidden[part])
            if d_weight is not None:
                d_weight += gradient.T @ hidden[part]
            if d_bias is not None:
                d_bias += gradient.sum(0, dtype=torch.float32)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        ctx.kinds = weight.dtype, None if bias is None else bias.dtype
        return total / count

    @staticmethod
    def backward(ctx: Any, d_loss: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d_hidden, d_weight, d_bias = (None if one is None else one * d_loss for one in ctx.saved_tensors)
        of_weight, of_bias = ctx.kinds
        return (
            d_hidden,
            None if d_weight is None else d_weight.to(of_weight),
            None if d_bias is None else d_bias.to(of_bias),
            None,
        )


def compiles(device: torch.device) -> bool:
    """Whether PyTorch can write kernels for this GPU here: it takes Triton and a C compiler."""
    named = [os.environ.get("CC", "cc"), "gcc", "clang"]
    return device.type == "cuda" and has_triton() and any(shutil.which(name) for name in named)


def nats_and_gradient(logits: torch.Tensor, targets: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Each position's cross-entropy (positions,), in float32, and `share` times its gradient by the logits."""
    wide = logits.float()
    every = torch.logsumexp(wide, dim=-1, keepdim=True)
    nats = (every - wide.gather(1, targets[:, None]))[:, 0]
    right = torch.arange(wide.shape[1], device=wide.device) == targets[:, None]
    gradient = ((wide - every).exp() - right.float()) * share
    return nats, gradient.to(logits.dtype)


@cache
def _compiled() -> Any:
    """`nats_and_gradient` in one kernel."""
    return torch.compile(nats_and_gradient)
