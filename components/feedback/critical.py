"""Cases that a reviewer marked critical: no version may break one of them, so there are few.

A mark is a feedback event like any other (kind `critical`, and `not_critical` takes it back), whoever says it; the
latest of an answer counts. How many there may be is decided while the event is written, in its transaction, so that
a mark that was accepted is in force from then on.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa

from components.feedback import tables
from components.feedback.database import StoreError
from components.schema import MARKS, Feedback, Record
from components.sentences import say


class TooManyCritical(StoreError):
    """The task has as many critical cases as it may have; nothing was written."""


class Case(Record):
    """One critical case: the served answer that the mark is about."""

    interaction_id: str
    question: str
    rater: str
    """Who marked it."""
    created_at: datetime
    comment: str | None = None
    """Why, where they said so."""


def cases(connection: sa.Connection, task: str) -> list[Case]:
    """The task's critical cases, the longest marked first."""
    said, served = tables.feedback.c, tables.interactions.c
    query = (
        sa.select(said.interaction_id, said.kind, said.rater, said.created_at, said.comment, served.messages)
        .join_from(tables.feedback, tables.interactions)
        .where(said.task == task, said.kind.in_(MARKS))
        .order_by(said.seq)
    )
    result: dict[str, Case] = {}
    for row in connection.execute(query).mappings():
        id = row["interaction_id"]
        if row["kind"] == "not_critical":
            result.pop(id, None)
        elif id not in result:  # marked again, it stays as old as it is
            question = "\n".join(m["content"] for m in row["messages"] if m["role"] != "system")
            values = {key: row[key] for key in ("interaction_id", "rater", "created_at", "comment")}
            result[id] = Case(question=question, **values)
    return list(result.values())


def is_critical(connection: sa.Connection, interaction_id: str) -> bool:
    """Is the mark of this answer in force?"""
    table = tables.feedback.c
    of = sa.and_(table.interaction_id == interaction_id, table.kind.in_(MARKS))
    query = sa.select(table.kind).where(of).order_by(table.seq.desc()).limit(1)
    return connection.execute(query).scalar() == "critical"


def mark(interaction_id: str, rater: str, critical: bool = True, comment: str | None = None) -> Feedback:
    """The event that marks an answer's case, or takes the mark back."""
    return Feedback(
        id=f"fb-{secrets.token_hex(16)}",
        interaction_id=interaction_id,
        created_at=datetime.now(UTC),
        rater=rater,
        kind="critical" if critical else "not_critical",
        comment=comment,
    )


def marked(connection: sa.Connection, interaction_id: str, rater: str, critical: bool | None) -> list[Feedback]:
    """The event that makes a case critical or not, if that is a change; None changes nothing."""
    if critical is None or critical == is_critical(connection, interaction_id):
        return []
    return [mark(interaction_id, rater, critical)]


class Marks:
    """Marks as they are stored, and as this transaction changes them. It reads nothing before the first mark."""

    def __init__(self, connection: sa.Connection, most: int) -> None:
        self._connection = connection
        self._most = most
        self._in_force: dict[str, set[str]] = {}

    def add(self, events: Sequence[tuple[str, Feedback]]) -> None:
        """Take over what new events, each with its task, mark.

        Raises:
            TooManyCritical: then none of them is taken over.
        """
        changed: dict[str, set[str]] = {}
        for task, event in events:
            if event.kind not in MARKS:
                continue
            after = changed.setdefault(task, set(self._of(task)))
            (after.add if event.kind == "critical" else after.discard)(event.interaction_id)
        for task, after in changed.items():
            before = self._of(task)
            # What is critical already stays so where the bound was lowered.
            if len(after) > self._most and after - before:
                raise TooManyCritical(say("critical_full", count=len(before)))
        self._in_force |= changed

    def _of(self, task: str) -> set[str]:
        if task not in self._in_force:
            self._in_force[task] = {case.interaction_id for case in cases(self._connection, task)}
        return self._in_force[task]
