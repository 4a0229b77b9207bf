"""Rows of the training data that nothing is taught from, to see how a training does or to calibrate it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, TypeVar

from components.examples.similarity import clusters
from components.schema import Message


class Asked(Protocol):
    """Whatever answers a prompt: an example, a pair."""

    @property
    def prompt(self) -> tuple[Message, ...]: ...


Row = TypeVar("Row", bound=Asked)


def kept_out(examples: Sequence[Row], rows: int, seed: int) -> tuple[list[Row], list[Row]]:
    """The examples to teach, and about `rows` others (at most half of all), none of them a near copy of a taught one.

    Whole clusters of near-duplicates are kept out, in the order of a seeded hash of their first text, so that a row
    more or less elsewhere moves no other. Both parts keep the examples' order.
    """
    rows = min(rows, len(examples) // 2)
    if rows < 1:
        return list(examples), []
    asked = ["\n".join(m.content for m in example.prompt if m.role != "system") for example in examples]
    members: defaultdict[int, list[int]] = defaultdict(list)
    for position, cluster in enumerate(clusters(asked)):
        members[cluster].append(position)
    drawn = sorted(members, key=lambda first: hashlib.sha256(f"{seed}|{asked[first]}".encode()).digest())
    held: set[int] = set()
    for first in drawn:
        if len(held) >= rows:
            break
        if len(held) + len(members[first]) <= len(examples) // 2:  # one huge cluster must not take everything
            held.update(members[first])
    taught = [example for position, example in enumerate(examples) if position not in held]
    return taught, [example for position, example in enumerate(examples) if position in held]
