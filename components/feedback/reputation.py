"""How far a rater can be trusted: how often they say of an answer what others, above all trusted people, say of it.

A question that a trusted person has answered is a gold question for everybody else: the review queue
puts such among its items (`ReviewQueue.add_gold`), and what others make of them is compared. Where a rater
has met enough of these, only they count, so that strangers who agree with one another gain nothing by it.

Everything is a function of the events handed in, so a turn's reputations never change afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Literal

from components.feedback.statistics import wilson
from components.schema import FeedbackRow, Record

ENOUGH = 5
"""Comparisons below which nothing is held against anybody."""

Said = tuple[Literal["is", "is not"], str]
"""What the right answer to a question is, or is not, in canonical form."""


class Reputation(Record):
    """One rater's agreement with others."""

    rater: str
    agreed: int
    compared: int
    with_trusted: bool
    """Only comparisons with trusted people were counted: there were enough of them."""
    score: float
    """(agreed + 1) / (compared + 2): 0.5 for somebody nobody knows, and never quite 0 or 1."""

    @property
    def surely_at_most(self) -> float:
        """Upper end of Wilson's 95 % interval of their agreement; 1 where too little is known."""
        return wilson(self.agreed, self.compared)[1] if self.compared >= ENOUGH else 1.0


def reputations(
    rows: Iterable[FeedbackRow],
    canonical: Callable[[str], str | None],
    key: Callable[[FeedbackRow], str],
    trusted: Collection[str],
) -> dict[str, Reputation]:
    """Everybody who said something that another said something about, too.

    Args:
        canonical: an answer's canonical form, or None where it is no valid answer of the task.
        key: equal for rows that ask the same.
    """
    by_question: defaultdict[str, dict[str, Said]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row.seq):
        said = _said(row, canonical)
        if said is not None:
            by_question[key(row)][row.rater] = said  # the later one counts
    with_all: defaultdict[str, list[bool]] = defaultdict(list)
    with_trusted: defaultdict[str, list[bool]] = defaultdict(list)
    for said_by in by_question.values():
        for rater, said in said_by.items():
            for other, others in said_by.items():
                same = None if other == rater else agrees(said, others)
                if same is not None:
                    with_all[rater].append(same)
                    if other in trusted:
                        with_trusted[rater].append(same)
    found = {}
    for rater, outcomes in with_all.items():
        gold = len(with_trusted[rater]) >= ENOUGH
        counted = with_trusted[rater] if gold else outcomes
        agreed, compared = sum(counted), len(counted)
        found[rater] = Reputation(
            rater=rater, agreed=agreed, compared=compared, with_trusted=gold, score=(agreed + 1) / (compared + 2)
        )
    return found


def agrees(one: Said, other: Said) -> bool | None:
    """Can both be right? None where neither says enough: two different answers are both wrong."""
    if one[0] == other[0]:
        if one[0] == "is not" and one[1] != other[1]:
            return None
        return one[1] == other[1]
    return one[1] != other[1]


def _said(row: FeedbackRow, canonical: Callable[[str], str | None]) -> Said | None:
    match row.kind:
        case "correction":
            return "is", _form(row.correction or "", canonical)
        case "thumb_up":
            return "is", _form(row.answer, canonical)
        case "thumb_down":
            return "is not", _form(row.answer, canonical)
        case "comment" | "critical" | "not_critical":
            return None


def _form(answer: str, canonical: Callable[[str], str | None]) -> str:
    found = canonical(answer)
    return answer.strip() if found is None else found
