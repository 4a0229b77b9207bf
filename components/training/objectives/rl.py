"""Objectives `ppo`, `grpo` and `rloo`: learn from what sampled answers are worth (reinforcement learning)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from components import chat, config, layout
from components.cores import processes
from components.files import read_rows
from components.optimization.loop import History
from components.schema import Example
from components.stage import StageError
from components.training.batches import collate, encode
from components.training.completion import head_is_separable
from components.training.lesson import Given, Lesson, Objective, Session
from components.training.methods import suitable_rate
from components.training.rl import reward_model, rounds
from components.training.rl.algorithm import Algorithm
from components.training.rl.groups import GRPO, RLOO
from components.training.rl.heldout import HeldOut
from components.training.rl.ppo import PPO
from components.training.rl.rewards import chosen, worth

Name = Literal["ppo", "grpo", "rloo"]
SHARE = 1 / 3
"""Of the rate that right answers are taught with: a reward is a guess about few sampled answers."""
KL_TARGETS: dict[Name, float | Literal["none"]] = {"ppo": 0.5, "grpo": "none", "rloo": "none"}
"""Nats an answer. A fixed coefficient holds what compares answers to one prompt, and not what goes by a value head."""


def inputs(settings: config.Settings) -> tuple[Path, ...]:
    rows = layout.curated(settings.task) / "train.jsonl"
    weights, own = settings.train.rl.rewards, layout.task_folder(settings.task) / "reward.py"
    return (
        rows,
        *((own,) if weights.task and own.exists() else ()),
        *(reward_model.inputs(settings) if weights.model else ()),
    )


def prepare(given: Given) -> Lesson[Any]:
    """The rows' prompts in rounds; what is measured on rows held out, before and after, is the reward itself.

    Raises:
        DataError: there is no row, or one is longer than the context.
        StageError: a reward cannot be had, or settings contradict each other.
    """
    settings, wanted = given.settings, given.settings.train.rl
    name = cast(Name, settings.train.objective)
    if settings.train.method == "qlora":
        raise StageError(
            f"train.method: qlora: objective {name} needs plain copies of the model, to sample from and to compare "
            "with, which 4-bit weights do not give; use lora, full or freeze"
        )
    if settings.train.method == "lora" and settings.train.lora.dropout:
        raise StageError(
            f"train.lora.dropout = {settings.train.lora.dropout}: objective {name} compares probabilities before and "
            "after a step, which dropout would change both; set it to 0"
        )
    lr = wanted.lr or suitable_rate(settings.train.method, given.model, SHARE)
    wanted = wanted.model_copy(update={"lr": lr, "kl_target": wanted.kl_target or KL_TARGETS[name]})
    curated = layout.curated(settings.task)
    examples = read_rows(curated / "train.jsonl", Example)
    encoded = encode(given.tokenizer, examples, settings.model.context)
    prompts = [
        rounds.Prompt(example, row.ids[: row.prompt].tolist()) for example, row in zip(examples, encoded, strict=True)
    ]
    size = min(wanted.prompts, len(prompts))
    judge = None
    if wanted.rewards.model:
        judge = reward_model.trained(settings, given.tokenizer, next(given.model.parameters()).device)
    rewards = chosen(given.task, wanted.rewards, judge)
    end = chat.end_of_turn_id(given.tokenizer)
    assert isinstance(given.tokenizer.pad_token_id, int)
    fast = head_is_separable(given.model, collate(encoded[:size], given.tokenizer.pad_token_id))

    def text(ids: Sequence[int]) -> str:
        return str(given.tokenizer.decode(list(ids), skip_special_tokens=True))

    held_out = HeldOut(read_rows(curated / "replay.jsonl", Example), given.tokenizer, rewards, wanted.max_new_tokens)
    held_out.before(given.model)

    def fit(session: Session) -> History:
        plan = rounds.Plan(
            settings=wanted,
            seed=settings.seed,
            end=end,
            prompts=lambda number: [prompts[index] for index in _of_round(number, len(prompts), size, settings.seed)],
            decode=text,
            worth=lambda answers: worth(rewards, answers),
            fast=fast,
            processes=processes(given.model, size, settings.threads),
            on_log=session.log,
            note=session.run_id,
        )
        return rounds.fit(given.model, algorithm(name, wanted), plan, session.checkpoints)

    return Lesson(
        rows=len(examples),
        prompts=examples,
        steps=wanted.rounds,
        lr=wanted.lr,
        size=size,
        fit=fit,
        metrics=lambda model: held_out.after(model) | _of_model(judge),
    )


def _of_model(judge: reward_model.Scorer | None) -> dict[str, float]:
    """What the reward model showed, for metrics.json."""
    if judge is None:
        return {}
    return {f"reward_model_{name}": round(judge.about[name], 5) for name in ("pairs", "heldout_pairs", "accuracy")}


def algorithm(name: Name, wanted: config.RLSettings) -> Algorithm:
    """The algorithm of that name as `train.rl` wants it."""
    if name == "ppo":
        return PPO(
            clip=wanted.clip,
            gamma=wanted.gamma,
            gae_lambda=wanted.gae_lambda,
            entropy=wanted.entropy,
        )
    if name == "grpo":
        return GRPO(answers=wanted.answers, clip=wanted.clip, scale=wanted.scale_rewards, entropy=wanted.entropy)
    return RLOO(answers=wanted.answers, clip=wanted.clip, entropy=wanted.entropy)


def _of_round(number: int, rows: int, size: int, seed: int) -> np.ndarray:
    """Which rows a round asks about: every row once an epoch, in an order of the epoch's own."""
    epoch, place = divmod(number, rows // size)
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return order[place * size : (place + 1) * size]


OBJECTIVE = Objective(inputs, prepare)
