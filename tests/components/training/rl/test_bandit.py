"""On a bandit the best policy under a divergence penalty is known in closed form: every algorithm reaches it."""

from __future__ import annotations

import pytest
import torch

from components.config import RLSettings
from components.training.rl.algorithm import Algorithm
from components.training.rl.groups import GRPO, RLOO
from components.training.rl.ppo import PPO
from components.training.rl.rounds import fit
from tests.components.training.rl import toy

KL = 0.3
ROUNDS = RLSettings(rounds=60, prompts=32, answers=8, max_new_tokens=1, epochs=2, minibatches=1, lr=0.02, kl=KL)


def tilted(reference: torch.Tensor, worth: torch.Tensor, kl: float = KL) -> torch.Tensor:
    """argmax of E[r] − β·KL(π ‖ ref): π ∝ ref·exp(r/β) (Ziegler et al. 2019, section 2)."""
    return torch.softmax(reference.log() + worth / kl, dim=-1)


@pytest.mark.parametrize(
    "algorithm",
    [
        PPO(clip=0.2, gamma=1, gae_lambda=0.95, entropy=0),
        RLOO(answers=8, clip=0.2, entropy=0),
        GRPO(answers=8, clip=0.2, scale=False, entropy=0),
    ],
    ids=["ppo", "rloo", "grpo"],
)
def test_it_reaches_the_best_policy(algorithm: Algorithm) -> None:
    policy = toy.model()
    start = toy.arms(policy)
    wanted = tilted(start, torch.tensor(toy.WORTH))
    assert float((start - wanted).abs().sum()) / 2 > 0.3, "it begins far from the goal"
    history = fit(policy, algorithm, toy.plan(ROUNDS))
    found = toy.arms(policy)
    assert float((found - wanted).abs().sum()) / 2 < 0.06, (found, wanted)
    rewards = history.curves["reward"]
    assert sum(rewards[-20:]) > sum(rewards[:20])


def test_the_steered_coefficient_holds_back_what_would_run_away() -> None:
    policy = toy.model()
    start = toy.arms(policy)
    loose = tilted(start, torch.tensor(toy.WORTH), kl=0.05)
    assert float((loose * (loose / start).log()).sum()) > 0.8, "with the first coefficient it would go so far"
    settings = ROUNDS.model_copy(update={"epochs": 1, "kl": 0.05, "kl_target": 0.2})
    history = fit(policy, RLOO(answers=8, clip=0.2, entropy=0), toy.plan(settings))
    assert 0.05 < sum(history.curves["kl"][-20:]) / 20 < 0.4
    assert max(history.curves["kl_coefficient"]) > 0.1
