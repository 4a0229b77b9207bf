"""Which texts are near copies of one another: MinHash finds candidates, exact Jaccard decides.

MinHash with banded locality-sensitive hashing: Leskovec, Rajaraman, Ullman, Mining of
Massive Datasets, chapter 3. The bands are chosen so that a pair at the asked similarity is
missed at most once in a million; a candidate that is not near enough is thrown out by its
exact similarity, so none is reported wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from datasketch import MinHash, MinHashLSH

NEAR = 0.8
SHINGLE = 3
"""Words a shingle."""
PERMUTATIONS = 128
MISSED = 1e-6
"""Most probability with which a pair at the limit may be missed."""
_WORD = re.compile(r"\w+")


def shingles(text: str, size: int = SHINGLE) -> frozenset[str]:
    """Runs of `size` words, lower case, punctuation aside; a shorter text is one shingle."""
    words = _WORD.findall(text.casefold().replace("'", "").replace("’", ""))
    if len(words) < size:
        return frozenset([" ".join(words)])
    return frozenset(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Shared shingles over all shingles, from 0 to 1."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if a or b else 1.0


def near_pairs(texts: Sequence[str], near: float = NEAR) -> Iterator[tuple[int, int, float]]:
    """Pairs of positions `i < j` whose texts' Jaccard similarity is at least `near`, with that similarity.

    Exact copies beyond the first are paired with the first only.
    """
    sets = [shingles(text) for text in texts]
    first: dict[frozenset[str], int] = {}
    index = MinHashLSH(num_perm=PERMUTATIONS, params=bands(near))
    for j, found in enumerate(sets):
        if found in first:
            yield first[found], j, 1.0
            continue
        first[found] = j
        hashes = signature(found)
        for i in sorted(index.query(hashes)):
            similarity = jaccard(sets[i], found)
            if similarity >= near:
                yield i, j, similarity
        index.insert(j, hashes, check_duplication=False)


def bands(near: float) -> tuple[int, int]:
    """Bands and rows a band: the most rows (fewest needless candidates) with which a pair is hardly ever missed.

    A pair of similarity s shares no band with probability (1 - s^rows)^bands.
    """
    found = [r for r in range(1, PERMUTATIONS // 2 + 1) if (1 - near**r) ** (PERMUTATIONS // r) <= MISSED]
    rows = max(found, default=1)
    return PERMUTATIONS // rows, rows


@lru_cache(maxsize=65_536)
def signature(found: frozenset[str]) -> MinHash:
    """MinHash of a shingle set, remembered: most rows are looked up in several indexes."""
    known = _EMPTY.copy()
    known.update_batch([shingle.encode() for shingle in sorted(found)])
    return known


_EMPTY = MinHash(num_perm=PERMUTATIONS, seed=1)


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
