"""What PPO, GRPO and RLOO have in common: they divide credit among tokens, and turn credit into a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from components.training.rl.rollouts import Rollouts, Terms


@dataclass(frozen=True)
class Credit:
    """How much better each token did than expected, and what else a loss compares with; row by row as the rollouts."""

    advantages: torch.Tensor
    """(R, T)"""
    reference: torch.Tensor
    """(R, T): log-probabilities under the model that training started from."""
    kl: float
    """The coefficient of the divergence from it, in this round."""
    values: torch.Tensor | None = None
    """(R, T), ppo: what the value head said before the round's updates."""
    returns: torch.Tensor | None = None
    """(R, T), ppo: what it should have said."""

    def rows(self, chosen: torch.Tensor, longest: int) -> Credit:
        """These rows and the first `longest` columns."""

        def cut(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[chosen, :longest]

        return Credit(
            cut(self.advantages),
            cut(self.reference),
            self.kl,
            None if self.values is None else cut(self.values),
            None if self.returns is None else cut(self.returns),
        )


class Algorithm(Protocol):
    """One way of learning from rewards."""

    needs_values: bool

    def credit(
        self, rollouts: Rollouts, rewards: torch.Tensor, reference: torch.Tensor, values: torch.Tensor | None, kl: float
    ) -> Credit:
        """Args: rewards: (R,), of whole answers; reference, values: (R, T); kl: the coefficient."""
        ...

    def loss(self, terms: Terms, rollouts: Rollouts, credit: Credit) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss summed over a part, and sums of what is to be shown: all to be divided by the part's `size`."""
        ...

    def size(self, rollouts: Rollouts) -> float:
        """What the loss is a mean over: tokens or answers."""
        ...


def clipped(ratio: torch.Tensor, advantages: torch.Tensor, clip: float) -> torch.Tensor:
    """The clipped surrogate, to be made large (Schulman et al. 2017, eq. 7): no gain beyond a ratio of 1 ± clip."""
    return torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def was_clipped(ratio: torch.Tensor, advantages: torch.Tensor, clip: float) -> torch.Tensor:
    """Where clipping took the gradient away."""
    return ((ratio > 1 + clip) & (advantages > 0)) | ((ratio < 1 - clip) & (advantages < 0))


def divergence(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """An estimate of KL(policy ‖ reference) from each sampled token: unbiased, never negative, and calmer than the
    plain log-ratio (Schulman 2020, http://joschu.net/blog/kl-approx.html, k3; the KL term of GRPO, eq. 4)."""
    behind = reference - logprobs
    return behind.exp() - behind - 1


class KLCoefficient:
    """Fixed, or steered so that an answer diverges by `target` nats (Ziegler et al. 2019, arXiv:1909.08593, 2.2).

    Their gain is 0.1; with tens of rounds instead of ten thousands the coefficient would hardly move.
    """

    GAIN, MOST = 1.0, 0.2

    def __init__(self, value: float, target: float | None) -> None:
        self.value, self.target = value, target

    def update(self, measured: float) -> None:
        """Take a round's mean divergence (nats an answer): β ← β·(1 + GAIN·clip(KL/target − 1, ±MOST))."""
        if self.target is not None:
            error = max(-self.MOST, min(self.MOST, measured / self.target - 1))
            self.value *= 1 + self.GAIN * error
