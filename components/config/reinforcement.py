"""Section `train.rl`: learning from what answers are worth instead of from right ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.config.section import Section


class RewardSettings(Section):
    """How much each reward counts; an answer's reward is their weighted sum. 0: not asked."""

    exact: float = 1.0
    """1 where the answer equals the row's own, normalised as evaluation does; else 0."""
    fields: float = 1.0
    """Share of the fields of a structured answer that are right; any other answer is one field."""
    valid: float = 0.5
    """1 where the answer parses and satisfies the task's schema or is one of its labels; else 0."""
    similarity: float = 0.0
    """ROUGE-L F1 with the row's own answer: for free text."""
    ended: float = 0.0
    """1 where the answer ended by itself within `max_new_tokens`; else 0."""
    length: float = 0.0
    """0 for an answer no longer than the row's own; −1 for one twice as long or longer."""
    task: float = 0.0
    """What `reward(prompt, answer, truth)` in the task's reward.py says."""

    model: float = 0.0
    """What a reward model says that is taught by the task's preference pairs (`train.reward_model`)."""

    @model_validator(mode="after")
    def _something_counts(self) -> RewardSettings:
        if not any(self.model_dump().values()):
            raise ValueError("every weight is 0: nothing would be learned; give at least one reward a weight")
        return self


class RewardModelSettings(Section):
    """How the reward model is taught, where `train.rl.rewards.model` counts; by `train.method`, on the base."""

    steps: int = Field(200, ge=1)
    batch_size: int = Field(16, ge=1)
    """Pairs."""
    lr: float | None = Field(None, gt=0, le=1)
    """None: a third of what suits the method and the base's width (see `train.lr`)."""
    warmup: float = Field(0.05, ge=0, lt=1)


class RLSettings(Section):
    """Objectives ppo, grpo and rloo. A round: answers are sampled, rewarded, and learned from."""

    rounds: int = Field(60, ge=1)
    prompts: int = Field(16, ge=1)
    """Prompts of a round."""
    answers: int = Field(8, ge=2)
    """Answers sampled to each prompt."""
    max_new_tokens: int = Field(64, ge=1)
    temperature: float = Field(1.0, gt=0, le=2)
    epochs: int = Field(2, ge=1)
    """Passes over the answers of a round."""
    minibatches: int = Field(2, ge=1)
    """Parts of a pass, each one step of the optimizer."""
    lr: float | None = Field(None, gt=0, le=1)
    """None: a third of what suits the method and the base's width (see `train.lr`)."""
    warmup: float = Field(0.05, ge=0, lt=1)
    clip: float = Field(0.2, gt=0, lt=1)
    """The probability ratio to the sampling policy counts only within 1 ± clip."""
    kl: float = Field(0.05, ge=0)
    """Coefficient of the divergence from the model that training started from."""
    kl_target: Annotated[float, Field(gt=0)] | Literal["none"] | None = None
    """Nats an answer that the coefficient is steered to; "none" keeps it fixed. None: 0.5 for ppo, which a fixed
    coefficient does not hold, "none" for grpo and rloo."""
    entropy: float = Field(0.0, ge=0)
    """Coefficient of a bonus for undecidedness."""
    scale_rewards: bool = True
    """grpo: divide by the standard deviation of a prompt's rewards; without, prompts count as they differ."""
    gamma: float = Field(1.0, gt=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    """ppo: 1 trusts what came of an answer, 0 the value head."""
    value_lr: float = Field(1e-2, gt=0, le=1)
    """ppo: learning rate of the value head, which starts at zero."""
    checkpoint_every: int = Field(10, ge=1)
    """Rounds."""
    rewards: RewardSettings = RewardSettings()

    @model_validator(mode="after")
    def _parts_hold_answers(self) -> RLSettings:
        if self.minibatches > self.answers:
            raise ValueError(f"minibatches = {self.minibatches} must not exceed answers = {self.answers}")
        return self
