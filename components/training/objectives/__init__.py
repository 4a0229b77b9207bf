"""What a training is for: one module an objective, chosen by `train.objective`."""

from __future__ import annotations

from typing import assert_never

from components import config
from components.training.lesson import Objective


def find(name: config.ObjectiveName) -> Objective:
    """The objective of that name; only its own module is imported."""
    match name:
        case "sft":
            from components.training.objectives import sft

            return sft.OBJECTIVE
        case "distill":
            from components.training.objectives import distill

            return distill.OBJECTIVE
        case "dpo" | "orpo":
            from components.training.objectives import preference

            return preference.OBJECTIVE
        case "kto":
            from components.training.objectives import kto

            return kto.OBJECTIVE
        case "ppo" | "grpo" | "rloo":
            from components.training.objectives import rl

            return rl.OBJECTIVE
        case "classify":
            from components.training.objectives import classify

            return classify.OBJECTIVE
    assert_never(name)
