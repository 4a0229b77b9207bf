"""Keeping evaluation messages out of the pre-training text, near copies included."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from components.examples.similarity import shingles

LIMIT = 0.8


def without(documents: Iterable[str], messages: Sequence[str]) -> Iterator[str]:
    """The documents that hold none of the messages: none with 80% of a message's shingles in it.

    That is stricter than a Jaccard similarity of 0.8, since a document may be longer than
    the message that it holds.
    """
    sets = [shingles(message) for message in messages]
    frequency = Counter(shingle for found in sets for shingle in found)
    index: defaultdict[str, list[int]] = defaultdict(list)
    for i, found in enumerate(sets):
        # A document that lacks more than a fifth of the shingles is no near copy, so one that
        # is must hold one of any fifth-and-one of them: the rarest make the shortest lists.
        missing = int(len(found) * (1 - LIMIT) + 1e-9)
        for shingle in sorted(found, key=lambda s: (frequency[s], s))[: missing + 1]:
            index[shingle].append(i)
    for document in documents:
        held = shingles(document)
        candidates = {i for shingle in held if shingle in index for i in index[shingle]}
        if not any(len(sets[i] & held) >= LIMIT * len(sets[i]) for i in candidates):
            yield document
