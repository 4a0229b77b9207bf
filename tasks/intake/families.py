"""What a symptom family is: one complaint and the many ways in which people put it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tasks.intake.pattern import expand
from tasks.intake.rules import Danger

Kind = Literal["n", "c", "g"]
"""n: noun phrase after "I have"; c: whole clause; g: -ing phrase after "I've been" or "I keep"."""


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
        return tuple(_phrasing(self.name, text) for text in self.seen)

    @cached_property
    def unseen_phrasings(self) -> tuple[Phrasing, ...]:
        return tuple(_phrasing(self.name, text) for text in self.unseen)


def _phrasing(family: str, text: str) -> Phrasing:
    kind, _, pattern = text.partition(": ")
    if kind == "n":
        return Phrasing("n", expand(pattern))
    if kind == "c":
        return Phrasing("c", expand(pattern))
    if kind == "g":
        return Phrasing("g", expand(pattern))
    raise ValueError(f"family {family}: {text!r} must begin with n:, c: or g:")
