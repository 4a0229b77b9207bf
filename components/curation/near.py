"""Near-duplicate search that grows row by row: MinHash proposes, exact Jaccard decides.

Banded MinHash (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4): a pair
of similarity s becomes a candidate with probability 1 - (1 - s^r)^b. Bands are chosen so
that a pair at the limit is missed less than once in a million (at the default limit of
0.8: once in twenty million); what is proposed is then compared exactly, so nothing is
called a near-duplicate wrongly.
"""

from __future__ import annotations

from functools import lru_cache

from datasketch import MinHash, MinHashLSH

from components.examples.similarity import jaccard, shingles
from components.schema import Example, Message

PERMUTATIONS = 128
MISSED = 1e-6


def bands(near: float) -> tuple[int, int]:
    """Number and length of the bands that miss a pair of similarity `near` with probability below MISSED."""
    for r in range(PERMUTATIONS // 2, 1, -1):
        b = PERMUTATIONS // r
        if (1 - near**r) ** b < MISSED:
            return b, r
    return PERMUTATIONS, 1


def asked(messages: tuple[Message, ...]) -> str:
    """The text that two conversations are compared by: everything said before the answer, the system aside."""
    return "\n".join(m.content for m in messages if m.role != "system")


def question(example: Example) -> str:
    """`asked` of an example's prompt."""
    return asked(example.prompt)


def question_key(text: str) -> str:
    """Equal for texts that differ only in case, punctuation and spaces."""
    words = sorted(shingles(text, size=10**9))[0]
    return words or " ".join(text.split())


class NearIndex:
    """Texts by a name of their own, searchable by near-duplicate."""

    def __init__(self, near: float) -> None:
        self.near = near
        self._lsh = MinHashLSH(num_perm=PERMUTATIONS, params=bands(near))
        self._shingles: list[frozenset[str]] = []
        self._names: list[str] = []
        self._exact: dict[frozenset[str], list[int]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, text: str) -> None:
        """Remember a text."""
        found, position = shingle_set(text), len(self._names)
        self._names.append(name)
        self._shingles.append(found)
        same = self._exact.setdefault(found, [])
        # Copies of one text share one entry: a burst of thousands would otherwise fill every band.
        if not same:
            self._lsh.insert(position, signature(found), check_duplication=False)
        same.append(position)

    def matches(self, text: str) -> list[tuple[str, float]]:
        """Names of all texts at least `near` similar, in the order they were added, with their similarity."""
        found = shingle_set(text)
        hits: list[tuple[int, float]] = []
        for candidate in self._lsh.query(signature(found)):
            similarity = jaccard(self._shingles[candidate], found)
            if similarity >= self.near:
                hits += [(position, similarity) for position in self._exact[self._shingles[candidate]]]
        return [(self._names[position], similarity) for position, similarity in sorted(hits)]


def shingle_set(text: str) -> frozenset[str]:
    """A text's shingles; one without any word is compared as it is."""
    found = shingles(text)
    return found if found != frozenset([""]) else frozenset([" ".join(text.split())])


@lru_cache(maxsize=65_536)
def signature(found: frozenset[str]) -> MinHash:
    """MinHash of a shingle set, remembered: most rows are looked up in several indexes."""
    known = _EMPTY.copy()
    known.update_batch([shingle.encode() for shingle in sorted(found)])
    return known


_EMPTY = MinHash(num_perm=PERMUTATIONS, seed=1)
