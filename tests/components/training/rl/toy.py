"""A bandit in a language model's clothes: one prompt, answers of one token, and what each token is worth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from components.config import RLSettings
from components.schema import Example, Message
from components.training.rl.rewards import Answered
from components.training.rl.rounds import Plan, Prompt

ARMS = 6
WORTH = (0.0, 1.0, 0.2, 0.5, 0.9, 0.1)
PROMPT = [1, 2, 3]
ROW = Example(id="arm", messages=(Message(role="user", content="?"), Message(role="assistant", content="!")))


def model(seed: int = 0, layers: int = 1, vocabulary: int = ARMS) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=layers,
            num_attention_heads=2,
            vocab_size=vocabulary,
            max_position_embeddings=32,
            initializer_range=0.3,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
        )
    ).eval()


def arms(policy: torch.nn.Module) -> torch.Tensor:
    """Probability of every arm."""
    with torch.no_grad():
        logits: torch.Tensor = policy(input_ids=torch.tensor([PROMPT])).logits[0, -1]
    return logits.softmax(-1)


def worth(answers: Sequence[Answered]) -> dict[str, list[float]]:
    return {"reward": [WORTH[int(answer.text or 0)] for answer in answers]}


def plan(settings: RLSettings, **more: object) -> Plan:
    return Plan(
        settings=settings,
        seed=7,
        end=0,
        prompts=lambda _round: [Prompt(ROW, PROMPT)] * settings.prompts,
        decode=lambda ids: str(ids[0]) if ids else "",
        worth=worth,
        **more,  # type: ignore[arg-type]
    )
