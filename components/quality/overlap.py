"""An exact search for near-duplicates between two sets of texts, independent of how curation looked for them.

Prefix filtering (Chaudhuri, Ganti, Kaushik, A Primitive Operator for Similarity Joins in Data
Cleaning, ICDE 2006): with shingles in one global order, rarest first, two sets of Jaccard
similarity t or more share at least one of the first |s| - ceil(t |s|) + 1 of each. So only
those are indexed and looked up, and no pair is missed.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from components.curation.near import shingle_set
from components.examples.similarity import jaccard


def nearest(texts: Sequence[str], others: Sequence[str], near: float) -> list[tuple[int, float] | None]:
    """For each text the most similar of the others, if its similarity is at least `near`."""
    wanted = [shingle_set(text) for text in texts]
    held = [shingle_set(text) for text in others]
    frequency = Counter(shingle for found in (*wanted, *held) for shingle in found)

    def prefix(found: frozenset[str]) -> list[str]:
        length = len(found) - math.ceil(near * len(found) - 1e-9) + 1
        return sorted(found, key=lambda shingle: (frequency[shingle], shingle))[:length]

    index: defaultdict[str, list[int]] = defaultdict(list)
    for position, found in enumerate(held):
        for shingle in prefix(found):
            index[shingle].append(position)
    result: list[tuple[int, float] | None] = []
    for found in wanted:
        best: tuple[int, float] | None = None
        for position in sorted({i for shingle in prefix(found) for i in index.get(shingle, ())}):
            similarity = jaccard(found, held[position])
            if similarity >= near and (best is None or similarity > best[1]):
                best = (position, similarity)
        result.append(best)
    return result
