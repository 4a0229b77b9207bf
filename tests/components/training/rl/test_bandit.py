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


def tilted(reference: torch.Tensor, worth: torch.Tensor) -> torch.Tensor:
    """argmax of E[r] − β·KL(π ‖ ref): π ∝ ref·exp(r/β) (Ziegler et al. 2019, section 2)."""
    return torch.softmax(reference.log() + worth / KL, dim=-1)


@pytest.mark.parametrize(
    "algorithm",
    [
        PPO(clip=0.2, gamma=1, gae_lambda=0.95, value_coef=0.1, entropy=0),
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


def test_the_steered_coefficient_holds_the_divergence_at_its_target() -> None:
    settings = ROUNDS.model_copy(update={"rounds": 60, "epochs": 1, "kl": 0.05, "kl_target": 0.2})
    history = fit(toy.model(), RLOO(answers=8, clip=0.2, entropy=0), toy.plan(settings))
    assert sum(history.curves["kl"][-20:]) / 20 == pytest.approx(0.2, abs=0.08)
    assert max(history.curves["kl"]) > 0.4, "it had gone beyond and was brought back"
