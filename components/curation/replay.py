"""Which of the task's own rows are never taught, and which are taught again beside corrections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from components.curation.near import NearIndex, question, question_key
from components.feedback.draw import fraction
from components.schema import Example, Judged, Preference

Row = TypeVar("Row", Example, Preference, Judged)

MOST = 0.2
"""No more than this share of the rows is held back, so that a small task still has rows to teach."""


def clusters(rows: Sequence[Example], near: float) -> list[list[Example]]:
    """Rows grouped so that near-duplicates, and near-duplicates of those, stand together."""
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    index = NearIndex(near)
    for position, row in enumerate(rows):
        for name, _ in index.matches(question(row)):
            a, b = sorted((root(int(name)), root(position)))
            parent[b] = a
        index.add(str(position), question(row))
    grouped: defaultdict[int, list[Example]] = defaultdict(list)
    for position, row in enumerate(rows):
        grouped[root(position)].append(row)
    return list(grouped.values())


def sizes(rows: int, replay: int, tuning: int) -> tuple[int, int]:
    """How many of so many rows are held back for replay and for tuning at most."""
    room = int(rows * MOST)
    tuning = min(tuning, room // 3)
    return min(replay, room - tuning), tuning


def held_back(
    rows: Sequence[Example], replay: int, tuning: int, near: float, seed: int
) -> tuple[frozenset[str], frozenset[str]]:
    """Ids of about `replay` and `tuning` rows, whole clusters in the order of a seeded hash: the same whatever
    feedback says. Together at most `MOST` of the rows, and those for tuning at most a third of that."""
    replay, tuning = sizes(len(rows), replay, tuning)
    chosen: tuple[set[str], set[str]] = (set(), set())
    drawn = sorted(clusters(rows, near), key=lambda c: fraction(seed, "replay", question_key(question(c[0]))))
    for cluster in drawn:
        for ids, most in zip(chosen, (replay, tuning), strict=True):
            if len(ids) + len(cluster) <= most:
                ids.update(row.id for row in cluster)
                break
    return frozenset(chosen[0]), frozenset(chosen[1])


def sample(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` rows by a seeded hash, in their own order; a larger count keeps the smaller one's rows."""
    drawn = {row.id for row in sorted(rows, key=lambda row: fraction(seed, "sample", row.id))[:count]}
    return [row for row in rows if row.id in drawn]
