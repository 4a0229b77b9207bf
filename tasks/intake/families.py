"""What a symptom family is: one complaint and the many ways in which people put it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tasks.intake.pattern import expand
from tasks.intake.rules import Danger

Kind = Literal["n", "c", "g"]
"""n: noun phrase after "I have"; c: whole clause; g: -ing phrase after "I've been" or "I keep"."""


PAINKILLERS = ("paracetamol", "ibuprofen", "aspirin", "naproxen", "codeine")


@dataclass(frozen=True)
class Phrasing:
    """One way to say a complaint: its kind and its texts (`{site}` stands for the body part)."""

    kind: Kind
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """One complaint. `seen` phrasings may be taught, `unseen` ones only ever test.

    `sites` are the note's values for the place; one phrasing says one of them with `{site}`
    or, where there is a single one, leaves it to the reader's knowledge of the body.
    Phrasings say nothing of severity or duration: those are said apart, or not at all.
    """

    name: str
    danger: Danger
    sites: tuple[str, ...]
    remedies: tuple[str, ...]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]

    @cached_property
    def seen_phrasings(self) -> tuple[Phrasing, ...]:
        """What may be taught: without any text in which an unseen one stands word for word."""
        held_back = [text for phrasing in map(self._phrasing, self.unseen) for text in phrasing.texts]
        return self._without(self.seen, lambda text: any(_holds(text, other) for other in held_back))

    @cached_property
    def unseen_phrasings(self) -> tuple[Phrasing, ...]:
        """What only tests: without any text in which a taught one (of three words or more) stands."""
        taught = [t for phrasing in self.seen_phrasings for t in phrasing.texts if t.count(" ") >= 2]
        return self._without(self.unseen, lambda text: any(_holds(text, other) for other in taught))

    def _without(self, patterns: tuple[str, ...], refuse: Callable[[str], bool]) -> tuple[Phrasing, ...]:
        kept = []
        for phrasing in map(self._phrasing, patterns):
            texts = tuple(text for text in phrasing.texts if not refuse(text))
            if texts:
                kept.append(Phrasing(phrasing.kind, texts))
        return tuple(kept)

    def _phrasing(self, text: str) -> Phrasing:
        kind, _, pattern = text.partition(": ")
        if kind == "n":
            return Phrasing("n", expand(pattern))
        if kind == "c":
            return Phrasing("c", expand(pattern))
        if kind == "g":
            return Phrasing("g", expand(pattern))
        raise ValueError(f"family {self.name}: {text!r} must begin with n:, c: or g:")


def _holds(text: str, other: str) -> bool:
    """Does `other` stand in `text`, word for word?"""
    return f" {other} " in f" {text} "
