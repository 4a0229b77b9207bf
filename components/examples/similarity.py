"""Which texts are near copies of one another: an exact search over shared shingles.

Two sets of Jaccard similarity t or more share all but (1 - t) of either one's shingles. So any
floor((1 - t) n) + 1 of a set's n shingles hold one that the other has, too, and to look only at
those that the fewest texts have finds every near copy with few comparisons (prefix filtering:
Chaudhuri, Ganti, Kaushik, A Primitive Operator for Similarity Joins in Data Cleaning, ICDE 2006).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from components.schema import Message

NEAR = 0.8
SHINGLE = 3
"""Words a shingle."""
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """A text's words, lower case, punctuation and apostrophes aside."""
    return _WORD.findall(text.casefold().replace("'", "").replace("’", ""))


def asked(messages: Iterable[Message]) -> str:
    """The text that two conversations are compared by: everything said before the answer, the system aside."""
    return "\n".join(m.content for m in messages if m.role != "system")


@lru_cache(maxsize=65_536)
def question_key(text: str) -> str:
    """Equal for texts that differ only in case, punctuation and spaces."""
    return " ".join(words(text)) or " ".join(text.split())


@lru_cache(maxsize=65_536)
def shingles(text: str, size: int = SHINGLE) -> frozenset[str]:
    """Runs of `size` words; a shorter text is one shingle. Remembered: most texts are looked up several times."""
    said = words(text)
    if len(said) < size:
        return frozenset([" ".join(said)])
    return frozenset(" ".join(said[i : i + size]) for i in range(len(said) - size + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Shared shingles over all shingles, from 0 to 1."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if a or b else 1.0


class Neighbours:
    """Shingle sets, each searchable for those near to it; it grows set by set, and misses none."""

    def __init__(self, near: float) -> None:
        self.near = near
        self.sets: list[frozenset[str]] = []
        self._having: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, found: frozenset[str]) -> int:
        """Remember a set; return its position."""
        position = len(self.sets)
        self.sets.append(found)
        for shingle in found:
            self._having[shingle].append(position)
        return position

    def of(self, wanted: frozenset[str]) -> list[tuple[int, float]]:
        """Positions of all sets at least `near` similar, in order, with their similarity."""
        lists = sorted((self._having.get(shingle, ()) for shingle in wanted), key=len)
        enough = int(len(wanted) * (1 - self.near) + 1e-9) + 1
        found = []
        for position in sorted(set().union(*lists[:enough])):
            similarity = jaccard(self.sets[position], wanted)
            if similarity >= self.near:
                found.append((position, similarity))
        return found


def near_pairs(texts: Sequence[str], near: float = NEAR) -> Iterator[tuple[int, int, float]]:
    """Pairs of positions `i < j` whose texts' Jaccard similarity is at least `near`, with that similarity.

    Exact copies beyond the first are paired with the first only.
    """
    first: dict[frozenset[str], int] = {}
    index = Neighbours(near)
    places: list[int] = []
    for j, text in enumerate(texts):
        found = shingles(text)
        if found in first:
            yield first[found], j, 1.0
            continue
        first[found] = j
        for i, similarity in index.of(found):
            yield places[i], j, similarity
        index.add(found)
        places.append(j)


def clusters(texts: Sequence[str], near: float = NEAR) -> list[int]:
    """For each text the position of its cluster's first text; near copies of near copies are one cluster."""
    parent = list(range(len(texts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j, _ in near_pairs(texts, near):
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    return [root(i) for i in range(len(texts))]
