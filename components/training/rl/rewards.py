"""What an answer is worth: programmable rewards, from the row's own answer or from the answer alone.

Each says a number for each answer; `train.rl.rewards` weighs and adds them up. "exact", "fields" and "valid" mean what
they mean in evaluation. A task may bring a `reward.py` with a function of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from components.config import RewardSettings
from components.schema import Example, Score
from components.scoring import score
from components.stage import StageError
from components.task import Task, own_reward


@dataclass(frozen=True)
class Answered:
    """An answer to a row's prompt."""

    example: Example
    text: str
    ended: bool
    """By itself, not for want of room."""


Reward = Callable[[Sequence[Answered]], list[float]]
Judged = Callable[[Example, str], Score]


def chosen(task: Task, weights: RewardSettings, model: Reward | None = None) -> dict[str, tuple[float, Reward]]:
    """The rewards that count, by name, each with its weight.

    Args:
        model: the reward model, where it counts.

    Raises:
        StageError: one cannot be had for this task.
    """
    judged = lru_cache(4096)(lambda example, text: score(task, "reward", example, text))
    every: dict[str, Callable[[], Reward]] = {
        "exact": lambda: lambda answers: [float(judged(a.example, a.text).exact) for a in answers],
        "fields": lambda: lambda answers: [_share_of_fields(judged(a.example, a.text)) for a in answers],
        "valid": lambda: lambda answers: [float(judged(a.example, a.text).valid) for a in answers],
        "similarity": lambda: lambda answers: [judged(a.example, a.text).similarity for a in answers],
        "ended": lambda: lambda answers: [float(a.ended) for a in answers],
        "length": lambda: lambda answers: [-_excess(a) for a in answers],
        "task": lambda: _of_task(task),
        "model": lambda: _given(model),
    }
    return {name: (weight, every[name]()) for name, weight in weights.model_dump().items() if weight}


def worth(rewards: Mapping[str, tuple[float, Reward]], answers: Sequence[Answered]) -> dict[str, list[float]]:
    """Every reward's number for each answer, by name, and their weighted sum as `reward`."""
    said = {name: reward(answers) for name, (_, reward) in rewards.items()}
    total = [sum(rewards[name][0] * values[i] for name, values in said.items()) for i in range(len(answers))]
    return {"reward": total} | {f"reward_{name}": values for name, values in said.items()}


def _share_of_fields(found: Score) -> float:
    """Of a structured answer; any other is one field."""
    return sum(found.fields.values()) / len(found.fields) if found.fields else float(found.exact)


def _excess(answer: Answered) -> float:
    """By how much the answer is longer than the row's own, as a share of that, at most 1."""
    own = max(1, len(answer.example.answer))
    return min(1.0, max(0, len(answer.text) - own) / own)


def _given(model: Reward | None) -> Reward:
    assert model is not None
    return model


def _of_task(task: Task) -> Reward:
    function = own_reward(task.name)
    if function is None:
        raise StageError(
            f"train.rl.rewards.task: tasks/{task.name}/reward.py does not exist; write it with a function "
            "reward(prompt, answer, truth) -> float, or set the weight to 0"
        )

    def reward(answers: Sequence[Answered]) -> list[float]:
        values = []
        for answer in answers:
            where = f"tasks/{task.name}/reward.py on the row {answer.example.id}"
            try:
                value = float(function(answer.example.prompt, answer.text, answer.example.answer))
            except Exception as error:
                raise StageError(f"{where}: {type(error).__name__}: {error}") from error
            if not math.isfinite(value):
                raise StageError(f"{where} gave {value}; a reward must be a finite number")
            values.append(value)
        return values

    return reward
