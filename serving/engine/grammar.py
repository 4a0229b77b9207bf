"""Answers that follow a grammar: JSON of any kind, or JSON of one schema (llguidance).

A grammar is compiled once per tokenizer and copied for every row. At each step the row's
state says which tokens may come next; all others get probability zero, so a whole answer
always satisfies the grammar. Only `max_tokens` can cut it short.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from serving.engine.interface import EngineError

if TYPE_CHECKING:
    import torch
    from llguidance import LLMatcher
    from transformers import PreTrainedTokenizerBase

COMPACT: Any = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
"""No free whitespace: it costs tokens, and a small model can lose itself in it."""


class GrammarError(ValueError):
    """The schema cannot be turned into a grammar; the message says which part of it."""


@lru_cache(maxsize=256)
def json_grammar(schema: str) -> str:
    """The grammar of JSON that satisfies a schema (JSON text; `{"type": "object"}` for any object).

    Raises:
        GrammarError: the schema is wrong or uses something that cannot be enforced.
    """
    from llguidance import LLMatcher

    try:
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=COMPACT)
        error = LLMatcher.validate_grammar(grammar)
    except ValueError as problem:
        raise GrammarError(str(problem).splitlines()[0]) from None
    if error:
        raise GrammarError(error.splitlines()[0])
    return grammar


class Grammars:
    """The compiled grammars of one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary: int, end_ids: frozenset[int]) -> None:
        from llguidance.hf import from_tokenizer

        self._tokenizer = from_tokenizer(cast(Any, tokenizer), n_vocab=vocabulary, eos_token=sorted(end_ids))
        self._compiled: dict[str, LLMatcher] = {}

    def start(self, grammar: str) -> Constraint:
        """A fresh state at the grammar's beginning.

        Raises:
            EngineError: the grammar cannot be followed with this vocabulary.
        """
        from llguidance import LLMatcher

        if grammar not in self._compiled:
            matcher = LLMatcher(self._tokenizer, grammar)
            if matcher.is_error():
                raise EngineError(f"the grammar cannot be used: {matcher.get_error().splitlines()[0]}")
            if len(self._compiled) >= 64:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[grammar] = matcher
        return Constraint(self._compiled[grammar].deep_copy())


class Constraint:
    """Where one row stands in its grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def allow(self, logits: torch.Tensor) -> torch.Tensor:
        """One row's logits [vocabulary] with every token that may not come next at -inf."""
        import numpy as np
        import torch

        mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed = torch.from_numpy(np.unpackbits(mask, bitorder="little").view(np.bool_)).to(logits.device)
        if (more := logits.shape[-1] - len(allowed)) > 0:
            allowed = torch.nn.functional.pad(allowed, (0, more))
        return logits.masked_fill(~allowed[: logits.shape[-1]], -torch.inf)

    def allows(self, token: int) -> bool:
        """May this token come next? The end of the answer may where the grammar can end."""
        return bool(self._matcher.validate_tokens([token]) == 1)

    def accept(self, token: int) -> bool:
        """Move on by one token; True when the grammar has ended and nothing can follow.

        Raises:
            EngineError: the token was not allowed here.
        """
        if not self._matcher.consume_token(token):
            raise EngineError(f"the grammar lost its way: {self._matcher.get_error()}")
        return bool(self._matcher.is_stopped())
