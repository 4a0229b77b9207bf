"""Near-duplicate search that grows row by row, by names of the caller's own.

The same search as everywhere (`components.examples.similarity`), so that splitting and curation
call the same texts near.
"""

from __future__ import annotations

from components.examples.similarity import Neighbours, asked, question_key, shingles
from components.schema import Example

__all__ = ["NearIndex", "asked", "question", "question_key", "shingle_set"]


def question(example: Example) -> str:
    """`asked` of an example's prompt."""
    return asked(example.prompt)


class NearIndex:
    """Texts by a name of their own, searchable by near-duplicate."""

    def __init__(self, near: float) -> None:
        self._neighbours = Neighbours(near)
        self._names: list[list[tuple[int, str]]] = []
        """Of each distinct text, when each of its names was added."""
        self._exact: dict[frozenset[str], int] = {}
        self._added = 0

    def __len__(self) -> int:
        return self._added

    def add(self, name: str, text: str) -> None:
        """Remember a text."""
        found = shingle_set(text)
        # Copies of one text share one entry: a burst of thousands would otherwise be compared one by one.
        if found not in self._exact:
            self._exact[found] = self._neighbours.add(found)
            self._names.append([])
        self._names[self._exact[found]].append((self._added, name))
        self._added += 1

    def matches(self, text: str) -> list[tuple[str, float]]:
        """Names of all texts at least `near` similar, in the order they were added, with their similarity."""
        hits = [
            (added, name, similarity)
            for position, similarity in self._neighbours.of(shingle_set(text))
            for added, name in self._names[position]
        ]
        return [(name, similarity) for _, name, similarity in sorted(hits)]


def shingle_set(text: str) -> frozenset[str]:
    """A text's shingles; one without any word is compared as it is."""
    found = shingles(text)
    return found if found != frozenset([""]) else frozenset([" ".join(text.split())])
