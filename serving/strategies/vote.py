"""Self-consistency (Wang et al. 2022): several samples of one question, and the answer that most of them give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Vote:
    """How it went."""

    winner: int
    """Index of the sample that speaks for its party: the first one of it."""
    share: float
    """Votes for it of all samples, invalid ones included."""
    samples: int
    valid: int


def vote(answers: Sequence[str], normal: Callable[[str], str | None]) -> Vote:
    """The majority by normalised answer; `normal` gives None where an answer is invalid and has no vote.

    Of equally strong parties the one that spoke first wins. Where all are invalid, the first
    sample is the answer, with a share of 0.
    """
    parties = [normal(answer) for answer in answers]
    votes = Counter(party for party in parties if party is not None)
    if not votes:
        return Vote(0, 0.0, len(answers), 0)
    strongest, count = max(votes.items(), key=lambda item: (item[1], -parties.index(item[0])))
    return Vote(parties.index(strongest), count / len(answers), len(answers), sum(votes.values()))
