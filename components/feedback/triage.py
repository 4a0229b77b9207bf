"""What each feedback event is good for: to be taught, to be looked at by a person, or nothing.

One call sees the events of one turn and nothing later, so what a turn made of them never
changes. Within the turn, in this order:

1. Of several events about one answer the latest correction speaks; without one, the latest
   thumb of each person. Thumbs up and down by different people go to review.
2. A comment teaches nothing by itself. A thumb down without a correction goes to review.
3. A correction (or a confirmed answer) that is no valid answer of the task is quarantined.
4. Different corrections of the same question by different people contradict each other: all
   of them are quarantined. By one person, the latest counts. A correction outweighs a
   confirmed answer to the same question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from components.schema import Dropped, FeedbackRow

STEP = "triage"


@dataclass(frozen=True)
class Teaching:
    """An event that says what the right answer is."""

    row: FeedbackRow
    answer: str
    """In the task's canonical form."""
    question: str
    """Key of the question: equal for equal questions."""

    @property
    def corrects(self) -> bool:
        """Was the served answer wrong?"""
        return self.row.kind == "correction"


@dataclass
class Triage:
    """Where each event of a turn went; every event is in exactly one of the first three."""

    teach: list[Teaching] = field(default_factory=list)
    review: list[FeedbackRow] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    disliked: list[FeedbackRow] = field(default_factory=list)
    """Of `review`, thumbs down on answers of which nobody else thought well: those answers are known to be bad."""


def triage(
    rows: Sequence[FeedbackRow],
    canonical: Callable[[str], str | None],
    key: Callable[[FeedbackRow], str],
) -> Triage:
    """Sort a turn's events.

    `canonical` gives an answer's canonical form, or None where it is no valid answer of the
    task; `key` is equal for rows that ask the same.
    """
    result = Triage()
    by_answer: defaultdict[str, list[FeedbackRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.seq):
        if row.kind == "comment":
            result.dropped.append(drop(row, "a comment says nothing that can be taught"))
        else:
            by_answer[row.interaction_id].append(row)
    teachings: list[Teaching] = []
    for events in by_answer.values():
        speaking = _speaking(events, result)
        if speaking is None:
            continue
        said = speaking.correction if speaking.kind == "correction" else speaking.answer
        answer = canonical(said or "")
        if answer is None:
            what = "the correction" if speaking.kind == "correction" else "the confirmed answer"
            result.dropped.append(
                quarantine(speaking, f"{what} is no valid answer of this task: {(said or '')[:120]!r}")
            )
        else:
            teachings.append(Teaching(speaking, answer, key(speaking)))
    by_question: defaultdict[str, list[Teaching]] = defaultdict(list)
    for teaching in teachings:
        by_question[teaching.question].append(teaching)
    for same in by_question.values():
        result.teach += _agreed(same, result)
    result.teach.sort(key=lambda teaching: teaching.row.seq)
    return result


def _speaking(events: list[FeedbackRow], result: Triage) -> FeedbackRow | None:
    """The one event that speaks for an answer, or None where a person must look at it."""
    corrections = [row for row in events if row.kind == "correction"]
    if corrections:
        speaking = corrections[-1]
        _supersede([row for row in events if row is not speaking], speaking, result)
        return speaking
    latest: dict[str, FeedbackRow] = {}
    for row in events:
        latest.pop(row.rater, None)
        latest[row.rater] = row
    last = list(latest.values())
    down = [row for row in last if row.kind == "thumb_down"]
    speaking = (down or last)[-1]
    _supersede([row for row in events if row is not speaking], speaking, result)
    if down:
        result.review.append(speaking)
        if len(down) == len(last):
            result.disliked.append(speaking)
        return None
    return speaking


def _agreed(same: list[Teaching], result: Triage) -> list[Teaching]:
    """What is left of several answers to one question once contradictions are out."""
    if len({teaching.answer for teaching in same}) == 1:
        return same
    corrections = [teaching for teaching in same if teaching.corrects]
    if corrections and len(corrections) < len(same):
        _supersede(
            [t.row for t in same if not t.corrects], corrections[-1].row, result, "a correction of the same question"
        )
        return _agreed(corrections, result)
    if len({teaching.row.rater for teaching in same}) == 1:
        _supersede([t.row for t in same[:-1]], same[-1].row, result, "a later answer to the same question")
        return same[-1:]
    for teaching in same:
        others = ", ".join(str(other.row.seq) for other in same if other.answer != teaching.answer)
        result.dropped.append(
            quarantine(teaching.row, f"contradicts event {others} on the same question; a person must decide")
        )
    return []


def _supersede(
    rows: Iterable[FeedbackRow], by: FeedbackRow, result: Triage, what: str = "an event on the same answer"
) -> None:
    for row in rows:
        result.dropped.append(drop(row, f"superseded by event {by.seq}, {what}"))


def drop(row: FeedbackRow, reason: str, step: str = STEP) -> Dropped:
    """The row is left out."""
    return Dropped(id=row.event_id, step=step, action="dropped", reason=reason, text=text_of(row))


def quarantine(row: FeedbackRow, reason: str, step: str = STEP) -> Dropped:
    """The row is kept from training until a person has looked at it."""
    return Dropped(id=row.event_id, step=step, action="quarantined", reason=reason, text=text_of(row))


def text_of(row: FeedbackRow) -> str:
    """The question an event is about."""
    return next((m.content for m in reversed(row.messages) if m.role == "user"), "")
