"""Near-duplicate search that grows row by row: MinHash proposes, exact Jaccard decides.

The same hashes and bands as `components.examples.similarity`, so that splitting and curation
call the same texts near.
"""

from __future__ import annotations

from datasketch import MinHashLSH

from components.examples.similarity import PERMUTATIONS, bands, jaccard, shingles, signature
from components.schema import Example, Message


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
