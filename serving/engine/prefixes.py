"""Beginnings that prompts share (a system message, the turns so far), computed once.

What is worth keeping shows itself: a beginning is kept when a second prompt has it. Keys and
values depend on the version, so each version has its own. Least recently used goes first.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch

SHORTEST = 16
"""Tokens below which a lookup costs about as much as it saves."""
REMEMBERED = 16
"""Prompts of a version that a new one is compared with."""


@dataclass(frozen=True, eq=False)
class Prefix:
    """Keys and values of a beginning."""

    model: str
    tokens: tuple[int, ...]
    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """Per layer [1, heads, tokens, dimension]."""

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return sum(t.numel() * t.element_size() for pair in self.layers for t in pair)


class Prefixes:
    """All that is kept, in at most `limit` bytes; 0 keeps nothing. Used by the engine's thread alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Prefix] = OrderedDict()
        self._recent: dict[str, deque[tuple[int, ...]]] = {}
        self.bytes = 0
        self.tokens_saved = 0
        """Prompt tokens that were not computed again."""

    @property
    def kept(self) -> tuple[Prefix, ...]:
        """What is kept now, the least recently used first."""
        return tuple(self._kept.values())

    def find(self, model: str, prompt: tuple[int, ...]) -> Prefix | None:
        """The longest kept beginning of this prompt. One token at least is left to run: it gives the first logits."""
        found: Prefix | None = None
        for prefix in self._kept.values():
            known = len(prefix.tokens)
            longer = found is None or known > len(found.tokens)
            if longer and prefix.model == model and known < len(prompt) and prompt[:known] == prefix.tokens:
                found = prefix
        if found is not None:
            self._kept.move_to_end((model, found.tokens))
            self.tokens_saved += len(found.tokens)
        return found

    def learn(
        self,
        model: str,
        prompt: tuple[int, ...],
        states: Sequence[tuple[torch.Tensor, torch.Tensor]],
        line: int,
        known: int,
    ) -> None:
        """Keep the longest beginning that an earlier prompt had, too.

        It must be longer than what was `known` by enough to be worth it: messages that happen to
        begin with the same word would else leave a beginning each, and part one batch into many.

        states: per layer keys and values [rows, heads, columns, dimension] whose row `line` ends with this prompt.
        """
        if not self._limit:
            return
        recent = self._recent.setdefault(model, deque(maxlen=REMEMBERED))
        shared = max((common(prompt, other) for other in recent), default=0)
        shared = min(shared, len(prompt) - 1)
        recent.append(prompt)
        if shared < known + SHORTEST or (model, prompt[:shared]) in self._kept:
            return
        first = states[0][0].shape[-2] - len(prompt)
        layers = tuple(
            (
                keys[line : line + 1, :, first : first + shared].clone(),
                values[line : line + 1, :, first : first + shared].clone(),
            )
            for keys, values in states
        )
        prefix = Prefix(model, prompt[:shared], layers)
        if prefix.bytes > self._limit:
            return
        self._kept[model, prefix.tokens] = prefix
        self.bytes += prefix.bytes
        while self.bytes > self._limit:
            _, gone = self._kept.popitem(last=False)
            self.bytes -= gone.bytes

    def drop(self, model: str) -> None:
        """A version is gone, and its keys and values with it."""
        self._recent.pop(model, None)
        for key in [key for key in self._kept if key[0] == model]:
            self.bytes -= self._kept.pop(key).bytes


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the beginning that two sequences share."""
    for at, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return at
    return min(len(left), len(right))
