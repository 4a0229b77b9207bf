"""Gold questions: served answers of which the right one is known, put among reviewers' items like any other.

How far a reviewer agrees with them says how far they can be trusted (`components.feedback.reputation`); looks at them
teach nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Set
from datetime import UTC, datetime

import sqlalchemy as sa

from components.feedback import tables
from components.feedback.appending import append_feedback
from components.feedback.draw import fraction
from components.schema import Feedback


def known(connection: sa.Connection, interaction_id: str) -> str | None:
    """The known answer, where this is a gold question."""
    table = tables.gold_questions.c
    found = connection.execute(sa.select(table.answer).where(table.interaction_id == interaction_id)).scalar()
    return None if found is None else str(found)


def every(connection: sa.Connection, task: str) -> dict[str, str]:
    """Interaction id → known answer, of every gold question of a task."""
    table = tables.gold_questions.c
    query = sa.select(table.interaction_id, table.answer).where(table.task == task)
    return dict(connection.execute(query.order_by(table.interaction_id)).tuples().all())


def add(connection: sa.Connection, task: str, interaction_id: str, answer: str, added_by: str) -> None:
    """Make a served answer a gold question; its answer is feedback by `added_by`, whose word stands."""
    now = datetime.now(UTC)
    event = Feedback(
        id=f"fb-{secrets.token_hex(16)}",
        interaction_id=interaction_id,
        created_at=now,
        rater=added_by,
        kind="correction",
        correction=answer,
        comment="gold question",
    )
    append_feedback(connection, [[event]])
    values: dict[str, object] = {"interaction_id": interaction_id, "task": task}
    values |= {"answer": answer, "added_by": added_by, "created_at": now}
    connection.execute(sa.insert(tables.gold_questions), values)


def next_for(
    connection: sa.Connection, task: str, reviewer: str, taken: Set[str], share: float, seed: int
) -> str | None:
    """The gold question for a reviewer's next look, if a seeded draw says that this look is one of the `share`."""
    table, look = tables.gold_questions.c, tables.looks.c
    mine = sa.select(look.interaction_id).where(look.reviewer == reviewer, look.task == task)
    number = connection.execute(sa.select(sa.func.count()).select_from(mine.subquery())).scalar() or 0
    if fraction(seed, "gold", reviewer, str(number)) >= share:
        return None
    query = sa.select(table.interaction_id).where(table.task == task, table.interaction_id.not_in(mine))
    unseen = [id for id in connection.execute(query).scalars() if id not in taken]
    return min(unseen, key=lambda id: fraction(seed, "gold", reviewer, id)) if unseen else None
