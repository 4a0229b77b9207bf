"""Append answers, and what people said of them: many in one transaction, each with its own outcome.

A commit and a statement cost the same for one row as for fifty, so requests that come together
are written together: two questions to the database and one insert for all of them. What is
wrong with one is told to that one, and is found before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from components.feedback import tables
from components.feedback.answers import AnswerTable
from components.feedback.critical import Marks
from components.feedback.database import StoreError
from components.schema import Feedback, Interaction, Message, content_id

SAID = ("interaction_id", "rater", "kind", "correction", "comment")
"""What makes an event that comes again the same one."""


class UnknownInteraction(StoreError):
    """Feedback speaks of an answer that was never served here."""


class KeyReused(StoreError):
    """An idempotency key came again with other content: not a retry, and not to be lost silently."""


@dataclass(frozen=True)
class Answered:
    """An answer to keep, and its row in a table of structured answers."""

    interaction: Interaction
    structured: tuple[AnswerTable, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Noted:
    """What became of what one person said of one answer."""

    events: tuple[Feedback, ...]
    """As they are stored, in the order in which they were given."""
    new: tuple[bool, ...]
    """False where the event was there already: a retry."""
    version: str
    """Which version had answered."""


def append_answers(connection: sa.Connection, answers: Sequence[Answered]) -> list[StoreError | None]:
    """Keep what is not kept yet; an error where another answer has the id."""
    ids = [answer.interaction.id for answer in answers]
    known = {id: (found.messages, found.answer) for id, found in interactions(connection, ids).items()}
    outcomes: list[StoreError | None] = []
    new: list[Answered] = []
    rows: list[dict[str, Any]] = []
    for answer in answers:
        one, text = answer.interaction, storable(answer.interaction.answer)
        content = (one.messages, text)
        if one.id not in known:
            known[one.id] = content
            new.append(answer)
            stored = {"created_at": one.created_at, "answer": text, "question": question_id(one.messages)}
            rows.append(one.model_dump(mode="json") | stored)
        same = known[one.id] == content
        outcomes.append(None if same else StoreError(f"interaction {one.id!r} is already stored with another content"))
    if rows:
        connection.execute(sa.insert(tables.interactions), rows)
    for answer in new:
        if answer.structured is not None:
            table, row = answer.structured
            table.insert(connection, answer.interaction, row)
    return outcomes


def interactions(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Interaction]:
    """Those of the answers that are kept."""
    table = tables.interactions
    found = connection.execute(sa.select(table).where(table.c.id.in_(ids))).mappings()
    return {row["id"]: as_interaction(row) for row in found}


def as_interaction(row: Any) -> Interaction:
    """A row of the table as the answer it holds."""
    return Interaction.model_validate({key: row[key] for key in Interaction.model_fields})


def question_id(messages: Sequence[Message]) -> str:
    """Equal for the same conversation, whichever version was asked and with whatever system message."""
    return content_id(*(text for m in messages if m.role != "system" for text in (m.role, m.content)))


def append_feedback(
    connection: sa.Connection, said: Sequence[Sequence[Feedback]], critical_most: int = 0
) -> list[Noted | StoreError]:
    """Append groups of events, each group wholly or, where one of its events cannot be, not at all.

    A group is what one person said of one answer in one go. `critical_most` cases of a task may be critical.
    """
    every = [event for events in said for event in events]
    served = _served(connection, {event.interaction_id for event in every})
    known = _Known(connection, every)
    marks = Marks(connection, critical_most)
    outcomes: list[Noted | StoreError] = []
    rows: list[dict[str, Any]] = []
    for events in said:
        try:
            noted = [_weighed(_cleaned(event), served, known) for event in events]
            marks.add([(served[event.interaction_id][0], event) for event, new in noted if new])
        except StoreError as error:
            known.forget()
            outcomes.append(error)
            continue
        rows += [_row(event, served) for event in known.keep()]
        version = served[events[0].interaction_id][1]
        outcomes.append(Noted(tuple(event for event, _ in noted), tuple(new for _, new in noted), version))
    if rows:
        connection.execute(sa.insert(tables.feedback), rows)
    return outcomes


class _Known:
    """Events that are stored, or will be with this transaction, by what makes another one a retry of them."""

    def __init__(self, connection: sa.Connection, events: Sequence[Feedback]) -> None:
        table = tables.feedback
        # Not all that was said of these answers: one that people speak of thousands of times would slow each of them.
        keyed = [event for event in events if event.idempotency_key is not None]
        by_key = sa.and_(
            table.c.interaction_id.in_(sorted({event.interaction_id for event in keyed})),
            table.c.idempotency_key.in_(sorted({event.idempotency_key or "" for event in keyed})),
        )
        same = sa.or_(by_key, table.c.id.in_([event.id for event in events]))
        self._by_id: dict[str, Feedback] = {}
        self._by_key: dict[tuple[str, str], Feedback] = {}
        self._new: list[Feedback] = []
        for row in connection.execute(sa.select(table).where(same)).mappings():
            self._put(as_feedback(row))

    def find(self, event: Feedback) -> Feedback | None:
        """The event that this one repeats."""
        found = self._by_id.get(event.id)
        if found is None and event.idempotency_key is not None:
            found = self._by_key.get((event.interaction_id, event.idempotency_key))
        return found

    def add(self, event: Feedback) -> None:
        """A new one, until `keep` or `forget`."""
        self._new.append(event)
        self._put(event)

    def keep(self) -> list[Feedback]:
        """The new ones since last time stay; return them."""
        kept, self._new = self._new, []
        return kept

    def forget(self) -> None:
        """The new ones since last time are not stored after all."""
        for event in self.keep():
            del self._by_id[event.id]
            self._by_key.pop((event.interaction_id, event.idempotency_key or ""), None)

    def _put(self, event: Feedback) -> None:
        self._by_id[event.id] = event
        if event.idempotency_key is not None:
            self._by_key[event.interaction_id, event.idempotency_key] = event


def _served(connection: sa.Connection, ids: set[str]) -> dict[str, tuple[str, str]]:
    """Task and version of each answer that was served here."""
    table = tables.interactions.c
    query = sa.select(table.id, table.task, table.model_version).where(table.id.in_(sorted(ids)))
    return {id: (task, version) for id, task, version in connection.execute(query).tuples()}


def _cleaned(event: Feedback) -> Feedback:
    """The event with texts that both databases can hold."""
    texts = {key: getattr(event, key) for key in ("correction", "comment", "rater")}
    if not any(text and "\x00" in text for text in texts.values()):
        return event
    return event.model_copy(update={key: text and storable(text) for key, text in texts.items()})


def _weighed(event: Feedback, served: Mapping[str, tuple[str, str]], known: _Known) -> tuple[Feedback, bool]:
    """The event as it is or will be stored, and whether it is new.

    Raises:
        UnknownInteraction: nothing with that id was served.
        KeyReused: the idempotency key (or event id) belongs to an event with other content.
    """
    if event.interaction_id not in served:
        raise UnknownInteraction(
            f"no answer with id {event.interaction_id!r} was served here: send the `id` of the completion"
        )
    found = known.find(event)
    if found is None:
        known.add(event)
        return event, True
    if any(getattr(found, key) != getattr(event, key) for key in SAID):
        raise KeyReused(
            f"idempotency key {event.idempotency_key!r} (event {found.id}) was used for another "
            "event of this answer: send a new key with a new event"
        )
    return found, False


def _row(event: Feedback, served: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    task = served[event.interaction_id][0]
    return event.model_dump(mode="json") | {"created_at": event.created_at, "task": task}


def as_feedback(row: Any) -> Feedback:
    """A row of the table as the event it holds."""
    return Feedback.model_validate({key: row[key] for key in Feedback.model_fields})


def storable(text: str) -> str:
    """PostgreSQL's text cannot hold NUL; both databases keep the same replacement instead."""
    return text.replace("\x00", "�")
