"""Proximal policy optimisation for answers (Schulman et al. 2017, arXiv:1707.06347; Ouyang et al. 2022, 2203.02155).

An answer is an episode: the state is everything before a token, the action is the token. The reward comes at the end of
the answer; each token pays for its divergence from the model that training started from. A value head, one linear
layer on the policy's last hidden state, expects what the rest of an answer will earn; what a token earned beyond that
is its advantage. Updates raise the probability of tokens with a positive advantage, within the clip.
"""

from __future__ import annotations

import torch

from components.optimization.replicas import sum_up
from components.training.rl.algorithm import Credit, clipped, was_clipped
from components.training.rl.rollouts import Rollouts, Terms


class PPO:
    """The loss of Schulman et al. 2017, eq. 9: L = E[−L_clip + c₁·L_value − c₂·entropy].

    c₁ is 1: policy and value head share no weights that learn, so that it would only scale the head's gradient."""

    needs_values = True

    def __init__(self, *, clip: float, gamma: float, gae_lambda: float, entropy: float) -> None:
        self.clip, self.gamma, self.gae_lambda, self.entropy = clip, gamma, gae_lambda, entropy

    def credit(
        self, rollouts: Rollouts, rewards: torch.Tensor, reference: torch.Tensor, values: torch.Tensor | None, kl: float
    ) -> Credit:
        assert values is not None
        earned = token_rewards(rewards, rollouts.logprobs, reference, rollouts.mask, kl)
        advantages = gae(earned, values, rollouts.mask, self.gamma, self.gae_lambda)
        returns = (advantages + values) * rollouts.mask
        return Credit(standardised(advantages, rollouts.mask), reference, kl, values, returns)

    def loss(self, terms: Terms, rollouts: Rollouts, credit: Credit) -> tuple[torch.Tensor, dict[str, float]]:
        assert terms.values is not None
        assert credit.values is not None
        assert credit.returns is not None
        mask = rollouts.mask
        ratio = (terms.logprobs - rollouts.logprobs).exp()
        gain = (clipped(ratio, credit.advantages, self.clip) * mask).sum()
        value = (value_errors(terms.values, credit.values, credit.returns, self.clip) * mask).sum()
        bonus = (terms.entropy * mask).sum()
        shown = {
            "value_loss": value.item(),
            "clip_fraction": float((was_clipped(ratio.detach(), credit.advantages, self.clip) & mask).sum()),
        }
        return -gain + value - self.entropy * bonus, shown

    def size(self, rollouts: Rollouts) -> float:
        return float(rollouts.mask.sum())


def token_rewards(
    rewards: torch.Tensor, logprobs: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, kl: float
) -> torch.Tensor:
    """What each token earns: −kl·log(π/π_ref), and the answer's reward on its last token (Ouyang et al. 2022, eq. 2).

    Args:
        rewards: (R,); logprobs, reference, mask: (R, T), every row with at least one token.
    """
    earned = -kl * (logprobs - reference) * mask
    last = mask.sum(1) - 1
    earned[torch.arange(len(rewards), device=earned.device), last] += rewards
    return earned


def gae(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, gae_lambda: float
) -> torch.Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16), from the last token back:
    δ_t = r_t + γ·V_{t+1} − V_t,  A_t = δ_t + γ·λ·A_{t+1}; behind an answer's end both are 0.

    Shapes: all (R, T), answers on the left.
    """
    advantages = torch.zeros_like(rewards)
    later = next_value = torch.zeros(len(rewards), device=rewards.device)
    for t in range(rewards.shape[1] - 1, -1, -1):
        there = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        later = torch.where(there, delta + gamma * gae_lambda * later, later)
        next_value = torch.where(there, values[:, t], next_value)
        advantages[:, t] = later * there
    return advantages


def value_errors(values: torch.Tensor, before: torch.Tensor, returns: torch.Tensor, clip: float) -> torch.Tensor:
    """½·(V − return)², the worse of the new value and the one held within ± clip of the old, as the reference
    implementation of PPO has it (Huang et al. 2022, "The 37 implementation details", 9)."""
    held = before + (values - before).clamp(-clip, clip)
    return 0.5 * torch.max((values - returns) ** 2, (held - returns) ** 2)


def standardised(advantages: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean 0 and standard deviation 1 over all tokens of the round, whichever process sampled them."""
    sums = torch.stack([(advantages * mask).sum(), mask.sum().float()]).cpu()
    sum_up([sums])
    mean, count = (sums[0] / sums[1]).to(advantages.device), sums[1]
    squares = (((advantages - mean) ** 2) * mask).sum().reshape(1).cpu()
    sum_up([squares])
    deviation = (squares[0] / (count - 1).clamp(min=1)).sqrt().to(advantages.device)
    return (advantages - mean) / (deviation + 1e-8) * mask
