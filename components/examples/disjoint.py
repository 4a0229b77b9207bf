"""The proof that no message of one set is a near copy of one in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.examples.similarity import NEAR, near_pairs
from components.schema import Example
from components.stage import StageError


def check(sets: Mapping[str, Sequence[Example]], near: float = NEAR) -> None:
    """Compare every row with every row of the other sets.

    Raises:
        StageError: two sets share a message or a near copy of one; both ids and the text are named.
    """
    where = [(name, example) for name, rows in sets.items() for example in rows]
    for i, j, similarity in near_pairs([example.question for _, example in where], near):
        (one, first), (other, second) = where[i], where[j]
        if one != other:
            raise StageError(
                f"sets {one} and {other} share a message (similarity {similarity:.2f}): rows {first.id} and "
                f"{second.id}, {second.question[:80]!r}; the generator or the split must keep them apart"
            )
