"""What people say of any part that hurts, dealt out so that each family is tested on some of it unseen.

Every one of these clauses is taught with most of the painful families and kept from one
in four of them: the unseen test then asks for the known words in a new combination.
"""

from __future__ import annotations

CLAUSES = (
    "[{b} is giving|{b} gives] me grief",
    "{b} [is playing up|keeps playing up]",
    "{b} [is acting up|acts up] again",
    "{b} won't stop hurting",
    "{b} is [really |]bothering me",
    "the pain is in {b}",
    "{b} [is|feels] [tender|painful]",
    "I can't get rid of the pain in {b}",
    "there's something wrong with {b}, it hurts",
    "{b} hurts more [at night|in the morning|in the evening]",
    "I keep rubbing {b} because it aches",
    "{b} [is hurting|keeps hurting]",
)
_SHARE = 4


def seen(body: str, turn: int) -> tuple[str, ...]:
    """Patterns taught for a body part; `turn` is the family's number among the painful ones."""
    return tuple(f"c: {c.replace('{b}', body)}" for i, c in enumerate(CLAUSES) if (i + turn) % _SHARE)


def unseen(body: str, turn: int) -> tuple[str, ...]:
    """Patterns of the same clauses that this family is never taught with."""
    return tuple(f"c: {c.replace('{b}', body)}" for i, c in enumerate(CLAUSES) if not (i + turn) % _SHARE)
