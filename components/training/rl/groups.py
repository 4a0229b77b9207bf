"""GRPO and RLOO: several answers to one prompt are each other's measure, so nothing need be learned to expect a reward.

Group-relative policy optimisation is Shao et al. 2024 (arXiv:2402.03300), with the divergence in the loss; REINFORCE
leave-one-out is Ahmadian et al. 2024 (arXiv:2402.14740), with the divergence in the reward and an answer as one action.
Both as TRL 1.16 has them (`loss_type="grpo"`), which the tests compare number by number.
"""

from __future__ import annotations

import torch

from components.training.rl.algorithm import Credit, clipped, divergence, was_clipped
from components.training.rl.rollouts import Rollouts, Terms


class GRPO:
    """Advantages from a prompt's own mean reward, the same for all tokens of an answer; a mean over answers."""

    needs_values = False

    def __init__(self, *, answers: int, clip: float, scale: bool, entropy: float) -> None:
        """Args: answers: so many rows on end belong to one prompt; scale: divide by their standard deviation."""
        self.answers, self.clip, self.scale, self.entropy = answers, clip, scale, entropy

    def credit(
        self, rollouts: Rollouts, rewards: torch.Tensor, reference: torch.Tensor, values: torch.Tensor | None, kl: float
    ) -> Credit:
        """A_i = (r_i − mean(r)) / std(r), over a prompt's answers (Shao et al. 2024, 4.1.2)."""
        groups = rewards.view(-1, self.answers)
        advantages = groups - groups.mean(1, keepdim=True)
        if self.scale:
            advantages = advantages / (groups.std(1, keepdim=True) + 1e-4)
        return Credit(advantages.reshape(-1, 1) * rollouts.mask, reference, kl)

    def loss(self, terms: Terms, rollouts: Rollouts, credit: Credit) -> tuple[torch.Tensor, dict[str, float]]:
        """Shao et al. 2024, eq. 3: each answer's mean over its tokens of −clipped gain + β·KL.

        The estimate of the KL is weighed by the probability ratio: without it its gradient is that of the divergence
        the other way round, KL(reference ‖ policy) (DeepSeek-V3.2, arXiv:2512.02556).
        """
        mask, lengths = rollouts.mask, rollouts.mask.sum(1).clamp(min=1)
        ratio = (terms.logprobs - rollouts.logprobs).exp()
        away = ratio * divergence(terms.logprobs, credit.reference)
        tokens = -clipped(ratio, credit.advantages, self.clip) + credit.kl * away - self.entropy * terms.entropy
        lost = was_clipped(ratio.detach(), credit.advantages, self.clip) & mask
        return ((tokens * mask).sum(1) / lengths).sum(), {"clip_fraction": float((lost.sum(1) / lengths).sum())}

    def size(self, rollouts: Rollouts) -> float:
        return float(len(rollouts))


class RLOO:
    """An answer is one action; what the other answers to its prompt earned on average is what was to be expected."""

    needs_values = False

    def __init__(self, *, answers: int, clip: float, entropy: float) -> None:
        self.answers, self.clip, self.entropy = answers, clip, entropy

    def credit(
        self, rollouts: Rollouts, rewards: torch.Tensor, reference: torch.Tensor, values: torch.Tensor | None, kl: float
    ) -> Credit:
        """A_i = R_i − mean of the others' R, with R = reward − β·log(π/π_ref) (Ahmadian et al. 2024, 3.2)."""
        paid = rewards - kl * ((rollouts.logprobs - reference) * rollouts.mask).sum(1)
        groups = paid.view(-1, self.answers)
        others = (groups.sum(1, keepdim=True) - groups) / (self.answers - 1)
        return Credit((groups - others).reshape(-1, 1) * rollouts.mask, reference, kl)

    def loss(self, terms: Terms, rollouts: Rollouts, credit: Credit) -> tuple[torch.Tensor, dict[str, float]]:
        mask, lengths = rollouts.mask, rollouts.mask.sum(1).clamp(min=1)
        ratio = ((terms.logprobs - rollouts.logprobs) * mask).sum(1).exp()
        advantages = credit.advantages[:, 0]
        gain = clipped(ratio, advantages, self.clip).sum()
        bonus = ((terms.entropy * mask).sum(1) / lengths).sum()
        return -gain - self.entropy * bonus, {
            "clip_fraction": float(was_clipped(ratio.detach(), advantages, self.clip).sum())
        }

    def size(self, rollouts: Rollouts) -> float:
        return float(len(rollouts))
