"""What training was good for, on rows that nothing was taught from: rewards before and after, and who wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from components import chat
from components.decoding import alike, decode
from components.schema import Example
from components.training.rl.plain import plain
from components.training.rl.rewards import Answered, Reward, worth

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS, BATCH = 200, 100


class HeldOut:
    """Greedy answers to the same rows by the model before and after training."""

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerBase,
        rewards: Mapping[str, tuple[float, Reward]],
        max_new_tokens: int,
    ) -> None:
        """Takes the `ROWS` rows with the smallest ids; with none nothing is measured."""
        self.examples = sorted(examples, key=lambda example: example.id)[:ROWS]
        self.tokenizer, self.rewards, self.max_new_tokens = tokenizer, rewards, max_new_tokens
        self._before: dict[str, list[float]] = {}

    def before(self, model: torch.nn.Module) -> None:
        """Ask the model that training starts from."""
        self._before = self._ask(model)

    def after(self, model: torch.nn.Module) -> dict[str, float]:
        """Mean rewards before and after, and how often the trained model's answer is worth more (a tie counts half)."""
        after = self._ask(model)
        if not self.examples:
            return {}
        found = {"heldout_rows": float(len(self.examples))}
        for name, values in after.items():
            found[f"heldout_{name}_before"] = _mean(self._before[name])
            found[f"heldout_{name}_after"] = _mean(values)
        pairs = list(zip(self._before["reward"], after["reward"], strict=True))
        found["heldout_win_rate"] = _mean([float(b > a) + 0.5 * (a == b) for a, b in pairs])
        found["heldout_changed"] = _mean([float(a != b) for a, b in pairs])
        return {name: round(value, 5) for name, value in found.items()}

    @torch.inference_mode()
    def _ask(self, model: torch.nn.Module) -> dict[str, list[float]]:
        prompts = chat.prompts_ids(self.tokenizer, [example.prompt for example in self.examples])
        end, answering = chat.end_of_turn_id(self.tokenizer), plain(model)
        room = int(getattr(answering.config, "max_position_embeddings", 0) or 1 << 30)
        answers: list[Answered | None] = [None] * len(prompts)
        for rows in alike([len(prompt) for prompt in prompts], range(len(prompts)), BATCH):
            most = [max(1, min(self.max_new_tokens, room - len(prompts[row]))) for row in rows]
            given = decode(answering, [prompts[row] for row in rows], end, most)
            for row, ids, limit in zip(rows, given, most, strict=True):
                text = str(self.tokenizer.decode(ids, skip_special_tokens=True))
                answers[row] = Answered(self.examples[row], text, len(ids) < limit)
        return worth(self.rewards, [answer for answer in answers if answer is not None])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
