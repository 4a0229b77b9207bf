"""Which of two answers a model would rather give: held-out preference pairs before and after."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components import chat, layout
from components.config import PromotionSettings
from components.evaluation.generation import answer_losses
from components.files import read_rows
from components.noninferiority import paired_interval
from components.schema import Comparison, Preference
from components.sentences import say

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SET, TITLE = "preferences", say("set_preferences")


def load_pairs(task: str, root: Path = Path(".")) -> list[Preference]:
    """The pairs that nothing was taught from.

    Raises:
        DataError: the file is missing or a line is no pair.
    """
    return read_rows(root / layout.curated(task) / "preferences_heldout.jsonl", Preference)


def prefers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Preference]) -> list[float]:
    """1.0 for each pair whose chosen answer is the likelier one as a whole, its end included; else 0.0."""
    if not pairs:
        return []
    prompts = chat.prompts_ids(tokenizer, [pair.prompt for pair in pairs])
    answers = chat.answers_ids(tokenizer, [answer for pair in pairs for answer in (pair.chosen, pair.rejected)])
    losses = answer_losses(model, [prompt for prompt in prompts for _ in range(2)], answers)
    return [float(losses[at][0] < losses[at + 1][0]) for at in range(0, len(losses), 2)]


def comparison(
    before: Sequence[float], after: Sequence[float], promotion: PromotionSettings, seed: int
) -> Comparison | None:
    """Both models' share of pairs whose chosen answer they prefer, paired; shown, and decides nothing.

    None where there are no pairs, or where one of the models has a label head and so writes no answers.
    """
    if not before or not after:
        return None
    gains = [b - a for a, b in zip(before, after, strict=True)]
    interval = paired_interval(gains, (1 - promotion.confidence) / 2, seed + zlib.crc32(SET.encode()))
    return Comparison(
        set=SET,
        role="shown",
        examples=len(after),
        metric="preference",
        champion=round(sum(before) / len(before), 6),
        candidate=round(sum(after) / len(after), 6),
        gain=round(interval.gain, 6) + 0.0,
        lower=round(interval.lower, 6) + 0.0,
        upper=round(interval.upper, 6) + 0.0,
    )
