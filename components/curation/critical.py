"""Cases that a reviewer marked critical: which of them have a right answer that a candidate can be held to.

A mark is about one served answer, and counts until it is taken back, in every turn from its own on. The case's right
answer is what counts for its question (`settled`), wherever the question stands: taught or locked, a critical
case is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from components.curation.settled import Body, Settled
from components.schema import Dropped, FeedbackRow

UNSAID = "nobody has confirmed the answer or written another one"
DISLIKED = "a thumb down waits for a person who writes the right answer"


@dataclass(frozen=True)
class Critical:
    """What the marks that are in force come to."""

    cases: list[Settled]
    """In the order in which their answers were said; each once, however many marks it has."""
    report: dict[str, Any]
    """For curation.json: counts, and by interaction the marks that nothing could be made of, with the reason."""


def critical_cases(
    marks: Sequence[FeedbackRow],
    key: Callable[[FeedbackRow], str],
    body: Body,
    events: Iterable[FeedbackRow],
    removed: Iterable[Dropped],
    review: Iterable[FeedbackRow],
) -> Critical:
    """Look up the right answer of each marked case.

    `marks` are events of kind critical and not_critical in their order, `key` is equal for rows that ask the same,
    `events` all other events, `removed` and `review` what became of those that do not count.
    """
    in_force: dict[str, FeedbackRow] = {}
    for row in marks:
        in_force.pop(row.interaction_id, None)
        if row.kind == "critical":
            in_force[row.interaction_id] = row
    why = _reasons(events, removed, review)
    cases: dict[str, Settled] = {}
    without: list[dict[str, Any]] = []
    contradicted: list[dict[str, Any]] = []
    for id, row in in_force.items():
        settled = body.answer_to(key(row))
        seq, reason, doubted = why.get(id, (0, UNSAID, False))
        about = {"interaction_id": id, "marked_by": row.rater, "reason": reason}
        if settled is None:
            without.append(about)
            continue
        cases[settled.row.event_id] = settled
        if doubted and seq > settled.row.seq:  # the settled answer is tested all the same: else anybody could undo it
            contradicted.append(about)
    counts = {"marked": len(in_force), "cases": len(cases)}
    ordered = sorted(cases.values(), key=lambda row: row.row.seq)
    return Critical(ordered, counts | {"without_answer": without, "contradicted": contradicted})


def _reasons(
    events: Iterable[FeedbackRow], removed: Iterable[Dropped], review: Iterable[FeedbackRow]
) -> dict[str, tuple[int, str, bool]]:
    """Interaction → number of the event that says most of why it has no right answer, the reason, and is it in doubt?

    What is quarantined says more than what waits, and that more than what was left out.
    """
    by_id = {row.event_id: row for row in events}
    weights: dict[str, int] = {}
    result: dict[str, tuple[int, str, bool]] = {}

    def note(row: FeedbackRow, weight: int, reason: str) -> None:
        before = (weights.get(row.interaction_id, 0), result.get(row.interaction_id, (0,))[0])
        if (weight, row.seq) >= before:
            weights[row.interaction_id] = weight
            result[row.interaction_id] = (row.seq, reason, weight == 3)

    for dropped in removed:
        row = by_id.get(dropped.id)
        if row is not None:
            note(row, 3 if dropped.action == "quarantined" else 1, dropped.reason)
    for row in review:
        note(row, 2, DISLIKED)
    return result
