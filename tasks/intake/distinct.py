"""Keeping messages apart: no message of one set may be a near copy of one in another.

Two messages are near copies when the Jaccard similarity of their word pairs reaches 0.7;
that is stricter than the 0.8 on longer shingles that the pipeline's own checks ask for.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise

LIMIT = 0.7
_WORD = re.compile(r"[a-z0-9]+")


def shingles(text: str) -> frozenset[str]:
    """A text's word pairs, lower case and without punctuation."""
    words = _WORD.findall(text.lower().replace("'", ""))
    return frozenset(f"{a} {b}" for a, b in pairwise(words)) or frozenset(words)


class Seen:
    """The messages that were given out, searchable by near copy."""

    def __init__(self) -> None:
        self._texts: list[frozenset[str]] = []
        self._by_shingle: defaultdict[str, list[int]] = defaultdict(list)

    def has(self, text: str) -> bool:
        """Is there a near copy of this text?"""
        wanted = shingles(text)
        # A set with Jaccard >= LIMIT shares all but (1 - LIMIT) of the wanted shingles, so one of
        # any that many + 1 is among them: looking at the rarest ones is enough, and exact.
        keys = sorted(wanted, key=lambda s: (len(self._by_shingle.get(s, ())), s))[: int(len(wanted) * (1 - LIMIT)) + 1]
        candidates = sorted({i for key in keys for i in self._by_shingle.get(key, ())})
        return any(_jaccard(wanted, self._texts[i]) >= LIMIT for i in candidates)

    def add(self, text: str) -> None:
        found = shingles(text)
        for shingle in sorted(found):
            self._by_shingle[shingle].append(len(self._texts))
        self._texts.append(found)


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)
