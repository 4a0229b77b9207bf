"""What dpo, kto and orpo minimise, as functions of log-probabilities, each with its paper's equation.

These are our own on our own loop, not TRL's trainers: those neither resume to the bit after a kill nor share a small
model's batch among processes, and on such a model they take twice the time (they pad to the batch's longest row, mask,
and compute logits of prompts too). That the numbers are TRL's, tests/components/training/test_preference_losses.py
checks against its trainers.

All log-probabilities are sums over an answer's tokens in nats, of shape (pairs,), or (answers,) for kto.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def dpo(
    chosen: torch.Tensor, rejected: torch.Tensor, at_chosen: torch.Tensor, at_rejected: torch.Tensor, beta: float
) -> torch.Tensor:
    """−log σ(β·(log π(c)/π_ref(c) − log π(r)/π_ref(r))), eq. 7 of Rafailov et al. 2023
    (https://arxiv.org/abs/2305.18290); `at_…` are the reference's."""
    return -F.logsigmoid(beta * ((chosen - at_chosen) - (rejected - at_rejected)))


def kto(
    rewards: torch.Tensor,
    desirable: torch.Tensor,
    point: torch.Tensor,
    beta: float,
    weights: tuple[float, float] = (1.0, 1.0),
) -> torch.Tensor:
    """λ − v(x, y) of every answer, eq. 7 of Ethayarajh et al. 2024 (https://arxiv.org/abs/2402.01306):
    v = λ_D·σ(β(r − z₀)) of a desirable answer and λ_U·σ(β(z₀ − r)) of another.

    Args:
        rewards: log π/π_ref of each answer.
        desirable: (answers,) of booleans.
        point: z₀, see `reference_point`.
        weights: λ_D and λ_U.
    """
    sign = torch.where(desirable, 1.0, -1.0)
    return torch.where(desirable, *weights) * (1 - torch.sigmoid(beta * sign * (rewards - point)))


def reference_point(mismatched: torch.Tensor, at_mismatched: torch.Tensor) -> torch.Tensor:
    """z₀, the batch's estimate of KL(π ‖ π_ref) from answers to other prompts, at least 0 (ibid., section 4.1); it
    carries no gradient."""
    return (mismatched - at_mismatched).mean().clamp(min=0).detach()


def likelihood(chosen: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """−log π(c)/|c|, mean over the chosen answers: the second part of eq. 2 of Pang et al. 2024 (Iterative Reasoning
    Preference Optimization, https://arxiv.org/abs/2404.19733). A comparison is as content when both answers become less
    likely, so long as the rejected one does faster; this is not."""
    return -(chosen / tokens).mean()


def orpo(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """−log σ(log odds(c)/odds(r)), eq. 7 of Hong et al. 2024 (https://arxiv.org/abs/2403.07691), where odds = p/(1 − p)
    and log p is the mean log-probability of an answer's tokens."""
    chosen, rejected = chosen.clamp(max=-1e-6), rejected.clamp(max=-1e-6)  # a certain answer has no odds
    odds = (chosen - rejected) - (torch.log(-torch.expm1(chosen)) - torch.log(-torch.expm1(rejected)))
    return -F.logsigmoid(odds)
