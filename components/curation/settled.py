"""Feedback of several turns as one body of answers: duplicates out, edits in, contradictions aside.

A turn is settled by looking only at the turns before it. A later correction replaces an
earlier answer to the same question where it speaks of the same served answer or comes from
the same or a trusted person; from somebody else it is quarantined, so that what was taught and proved
is not undone by whoever speaks last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from components.curation.near import NearIndex
from components.feedback.triage import Teaching, drop, quarantine
from components.schema import Dropped, FeedbackRow

STEP = "settle"


@dataclass(frozen=True)
class Settled:
    """An answer that counts, and the turn it came in."""

    row: FeedbackRow
    answer: str
    question: str
    text: str
    turn: int
    replaces: Settled | None = None
    """The earlier turn's answer that this one takes the place of."""

    @property
    def corrects(self) -> bool:
        return self.row.kind == "correction"


class Body:
    """Every answer that counts so far, by question."""

    def __init__(self, near: float, any_answer: bool, trusted: Collection[str] = ()) -> None:
        """`any_answer`: answers are free text, so near questions are duplicates whatever their answers.

        `trusted`: people who may replace anybody's answer.
        """
        self._any_answer = any_answer
        self._trusted = trusted
        self._by_question: dict[str, Settled] = {}
        self._by_event: dict[str, Settled] = {}
        self._twin_of: dict[str, str] = {}
        """Question that was left out as a near-duplicate → the one that counts for it."""
        self._index = NearIndex(near)

    def settle(self, teachings: Iterable[tuple[Teaching, str]], turn: int) -> tuple[list[Settled], list[Dropped]]:
        """A turn's teachings (each with the text it is compared by): those that count, and why the others don't."""
        kept: list[Settled] = []
        dropped: list[Dropped] = []
        for teaching, text in teachings:
            before = self._by_question.get(teaching.question)
            row = Settled(teaching.row, teaching.answer, teaching.question, text, turn, before)
            if before is not None and before.answer == row.answer:
                dropped.append(drop(row.row, f"says the same as event {before.row.seq} on the same question", STEP))
                continue
            if before is not None and not self._may_replace(before, row):
                reason = f"contradicts event {before.row.seq} of turn {before.turn} on the same question"
                dropped.append(quarantine(row.row, reason + "; a person must decide", STEP))
                continue
            twin = None if before is not None else self._twin(row)
            if twin is not None:
                self._twin_of[row.question] = twin.question
                dropped.append(drop(row.row, f"a near-duplicate of event {twin.row.seq} with the same answer", STEP))
                continue
            if before is not None:
                del self._by_event[before.row.event_id]
            else:
                self._index.add(row.question, text)
            self._by_question[row.question] = self._by_event[row.row.event_id] = row
            kept.append(row)
        return kept, dropped

    def forget(self, row: Settled) -> None:
        """A row that was not used after all (the rater cap): what it replaced counts again."""
        del self._by_event[row.row.event_id]
        del self._by_question[row.question]
        if row.replaces is not None:
            self._by_question[row.question] = self._by_event[row.replaces.row.event_id] = row.replaces

    def answer_to(self, question: str) -> Settled | None:
        """What counts for a question, by its key; for a near-duplicate that was left out, what counts in its place."""
        return self._by_question.get(question) or self._by_question.get(self._twin_of.get(question, ""))

    def rows(self) -> list[Settled]:
        """What counts now, in the order it was said."""
        return sorted(self._by_event.values(), key=lambda row: row.row.seq)

    @staticmethod
    def superseded(rows: Iterable[Settled]) -> list[Dropped]:
        """Records of the earlier answers that these rows replaced."""
        return [
            drop(row.replaces.row, f"superseded by event {row.row.seq} of turn {row.turn} on the same question", STEP)
            for row in rows
            if row.replaces is not None
        ]

    def _may_replace(self, before: Settled, row: Settled) -> bool:
        same_answer_meant = before.row.interaction_id == row.row.interaction_id
        same_person = before.row.rater == row.row.rater
        allowed = same_answer_meant or same_person or not before.corrects or row.row.rater in self._trusted
        return row.corrects and allowed

    def _twin(self, row: Settled) -> Settled | None:
        for name, _ in self._index.matches(row.text):
            other = self._by_question.get(name)
            if other is not None and (self._any_answer or other.answer == row.answer):
                return other
        return None
