"""Which rows are longer than the model can read: those are left out by name, not found out by training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from components import layout
from components.chat import example_ids
from components.models import load_tokenizer
from components.schema import Dropped, Example, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Context:
    """The model's context in tokens, as the base's own tokenizer counts them. It is loaded when first needed."""

    def __init__(self, tokens: int, tokenizer: Path = layout.TOKENIZER) -> None:
        self.tokens = tokens
        self._folder = tokenizer

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        tokenizer = load_tokenizer(self._folder)
        tokenizer.model_max_length = int(1e30)  # else it warns of the very rows that are looked for
        return tokenizer

    def excess(self, messages: Sequence[Message]) -> str | None:
        """Why a conversation with its answer does not fit, or None where it does.

        Raises:
            ModelError: the base's tokenizer is missing.
        """
        needed = len(example_ids(self._tokenizer, messages)[0])
        if needed <= self.tokens:
            return None
        return f"{needed} tokens with its answer, and model.context is {self.tokens}"


def without_long(rows: Sequence[Example], context: Context) -> tuple[list[Example], list[Dropped]]:
    """The rows that fit, and the others with how long they are."""
    kept: list[Example] = []
    dropped: list[Dropped] = []
    for row in rows:
        reason = context.excess(row.messages)
        if reason is None:
            kept.append(row)
        else:
            dropped.append(
                Dropped(id=row.id, step="too long", action="dropped", reason=reason, text=row.question[:200])
            )
    return kept, dropped
