"""The system of record: every served answer, what people said about it, and the turns that used it.

An event is acknowledged only when it is on disk. Feedback is append-only and numbered in
the order in which it became visible, so a turn is a range of numbers whose content never
changes; its SHA-256 proves that. SQLite (one file, write-ahead log) unless
SAQIA_DATABASE_URL names a PostgreSQL. Threads and processes may share one store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from components import config
from components.config import CurateSettings, SnapshotReference
from components.feedback import tables
from components.feedback.answers import AnswerTable
from components.feedback.appending import (
    Answered,
    KeyReused,
    Noted,
    UnknownInteraction,
    append_answers,
    append_feedback,
    as_feedback,
    as_interaction,
    interactions,
)
from components.feedback.battles import latest_vote, voted
from components.feedback.critical import Case, TooManyCritical, cases
from components.feedback.database import StoreBusy, StoreError, StoreFull, connect, reading, writing
from components.feedback.migrate import migrate
from components.feedback.refusals import OwnRows, Refusal
from components.feedback.turns import Turn
from components.feedback.votes import Voted
from components.schema import Feedback, FeedbackRow, Interaction

__all__ = [
    "Answered",
    "KeyReused",
    "Noted",
    "Store",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "TooManyCritical",
    "Turn",
    "UnknownInteraction",
]
T = TypeVar("T")
R = TypeVar("R")


def canonical_line(row: FeedbackRow | Voted) -> bytes:
    """A row as a snapshot holds it; a snapshot's digest is over these bytes."""
    return row.model_dump_json().encode() + b"\n"


class Store:
    """Interactions, feedback and turns in one database; made and migrated when first opened."""

    def __init__(self, url: str | None = None, busy_seconds: float = 30.0, critical_most: int | None = None) -> None:
        """Open the store at `url`, by default at this installation's place.

        `critical_most` is `curate.critical_most` of params.yaml, or None for its default.

        Raises:
            StoreError: it cannot be opened, or a newer Saqia made it.
        """
        self.url = url or config.places().database_url or ""
        self._critical_most = CurateSettings().critical_most if critical_most is None else critical_most
        self._engine = connect(self.url, busy_seconds)
        if self._engine.dialect.name == "sqlite":
            folder = Path(self._engine.url.database or "").parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"feedback store: {folder} cannot be made: {error.strerror}") from None
        migrate(self._engine)

    @property
    def engine(self) -> sa.Engine:
        """The database itself, for what else is kept in it (keys, structured answers)."""
        return self._engine

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What was served -------------------------------------------------------------------

    def add_interaction(
        self, interaction: Interaction, structured: tuple[AnswerTable, Mapping[str, Any]] | None = None
    ) -> None:
        """`add_answers` of one answer.

        Raises:
            StoreError: another answer has this id.
        """
        _raised(self.add_answers([Answered(interaction, structured)])[0])

    def add_answers(self, answers: Sequence[Answered]) -> list[Exception | None]:
        """Keep served answers, each with its row of a table of structured answers, in one commit.

        The same answer again changes nothing. Returns, in their order, what was wrong with each.
        """
        return self._together(append_answers, answers)

    def interaction(self, id: str) -> Interaction | None:
        """One served answer by its completion id."""
        with reading(self._engine) as connection:
            return interactions(connection, [id]).get(id)

    def interactions(
        self, task: str, limit: int = 100, before: datetime | None = None, version: str | None = None
    ) -> list[Interaction]:
        """A task's served answers, newest first; `before` pages on, `version` narrows to one version."""
        table = tables.interactions
        query = sa.select(table).where(table.c.task == task)
        if before is not None:
            query = query.where(table.c.created_at < before)
        if version is not None:
            query = query.where(table.c.model_version == version)
        query = query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)
        with reading(self._engine) as connection:
            return [as_interaction(row) for row in connection.execute(query).mappings()]

    # What people said ------------------------------------------------------------------

    def add_feedback(self, feedback: Feedback) -> tuple[Feedback, bool]:
        """`add_all` of one event."""
        return self.add_all([feedback])[0]

    def add_all(self, events: Sequence[Feedback]) -> list[tuple[Feedback, bool]]:
        """Append events, all or none; return each as stored, and False where it was there already (a retry).

        Raises:
            UnknownInteraction: nothing with that id was served.
            KeyReused: the idempotency key (or event id) belongs to an event with other content.
            TooManyCritical: the task has as many critical cases as it may have.
        """
        noted = _raised(self.add_said([events])[0])
        return list(zip(noted.events, noted.new, strict=True))

    def add_said(self, said: Sequence[Sequence[Feedback]]) -> list[Noted | Exception]:
        """Append what several people said, in one commit; each group of events wholly or not at all.

        Returns, in their order, what became of each group: as `add_all` raises, where it is an error.
        """
        return self._together(partial(append_feedback, critical_most=self._critical_most), said)

    def _together(
        self, append: Callable[[sa.Connection, Sequence[T]], Sequence[R]], items: Sequence[T]
    ) -> list[R | Exception]:
        """`append` of all items in one transaction; where the database refuses that, of each in its own."""
        try:
            with writing(self._engine) as connection:
                return list(append(connection, items))
        except (StoreBusy, StoreFull) as error:
            return [error for _ in items]
        except Exception as error:
            if len(items) == 1:
                return [error]
        return [outcome for item in items for outcome in self._together(append, [item])]

    def feedback_for(self, interaction_id: str) -> list[Feedback]:
        """Everything said about one answer, oldest first."""
        table = tables.feedback
        query = sa.select(table).where(table.c.interaction_id == interaction_id).order_by(table.c.seq)
        with reading(self._engine) as connection:
            return [as_feedback(row) for row in connection.execute(query).mappings()]

    def critical(self, task: str) -> list[Case]:
        """The task's cases that are marked critical now, the longest marked first."""
        with reading(self._engine) as connection:
            return cases(connection, task)

    def latest_seq(self, task: str) -> int:
        """Number of the task's newest event; 0 where there is none."""
        with reading(self._engine) as connection:
            return self._latest_seq(connection, task)

    def _latest_seq(self, connection: sa.Connection, task: str) -> int:
        query = sa.select(sa.func.max(tables.feedback.c.seq)).where(tables.feedback.c.task == task)
        return connection.execute(query).scalar() or 0

    def rows(self, task: str, after: int, through: int) -> list[FeedbackRow]:
        """A task's events with after < seq <= through, in order, each beside the answer it speaks of."""
        with reading(self._engine) as connection:
            return list(self._rows(connection, task, after, through))

    def _rows(self, connection: sa.Connection, task: str, after: int, through: int) -> Iterator[FeedbackRow]:
        said, served = tables.feedback.c, tables.interactions.c
        query = (
            sa.select(
                said.seq,
                said.id.label("event_id"),
                said.created_at,
                said.rater,
                said.kind,
                said.interaction_id,
                served.model_version,
                served.messages,
                served.answer,
                said.correction,
                said.comment,
            )
            .join_from(tables.feedback, tables.interactions)
            .where(said.task == task, said.seq > after, said.seq <= through)
            .order_by(said.seq)
        )
        for row in connection.execute(query).mappings():
            yield FeedbackRow.model_validate(dict(row))

    def votes(self, task: str, after: int, through: int) -> list[Voted]:
        """A task's votes with after < seq <= through, in order, each beside its battle."""
        with reading(self._engine) as connection:
            return list(voted(connection, task, after, through))

    def digest(self, task: str, after: int, through: int) -> str:
        """SHA-256 of a range of events, as the bytes of the snapshot file that holds them."""
        with reading(self._engine) as connection:
            return _digest(self._rows(connection, task, after, through))

    def waiting(self, task: str) -> dict[str, int]:
        """Events per kind since the last turn that ended: what the next (or the open) turn works on.

        What an earlier turn had and no served version has learned is not counted: see `components.feedback.unserved`.
        """
        table = tables.feedback
        counts = sa.select(table.c.kind, sa.func.count()).where(table.c.task == task).group_by(table.c.kind)
        with reading(self._engine) as connection:
            closed = [turn for turn in self._turns(connection, task) if turn.state == "closed" or turn.again]
            after = closed[-1].through if closed else 0
            found = dict(connection.execute(counts.where(table.c.seq > after)).tuples().all())
        return {kind: found.get(kind, 0) for kind in ("thumb_up", "thumb_down", "correction", "comment")}

    def outcomes(self, task: str, trial: str) -> dict[str, tuple[int, int]]:
        """The answers given in a canary's trial, and how many of them failed, by version.

        An answer has failed where somebody gave it a thumb down or wrote another one.
        """
        served, said = tables.interactions, tables.feedback
        corrected = sa.and_(said.c.kind == "correction", said.c.correction != served.c.answer)
        wrong = sa.or_(said.c.kind == "thumb_down", corrected)
        failed = sa.exists().where(said.c.interaction_id == served.c.id, wrong)
        query = (
            sa.select(served.c.model_version, sa.func.count(), sa.func.sum(sa.case((failed, 1), else_=0)))
            .where(served.c.task == task, served.c.parameters["trial"].as_string() == trial)
            .group_by(served.c.model_version)
        )
        with reading(self._engine) as connection:
            found = connection.execute(query).tuples().all()
        return {version: (answers, int(failures)) for version, answers, failures in found}

    # Turns -----------------------------------------------------------------------------

    def open_turn(self, task: str) -> Turn | None:
        """Begin a turn over all feedback and votes since the last one; one that is still open is continued as it was.

        Returns None where nothing new was said. Two callers at once get the same turn.
        """
        table = tables.turns
        with writing(self._engine) as connection:
            past = [turn for turn in self._turns(connection, task) if turn.state != "abandoned"]
            if past and past[-1].state == "open":
                return past[-1]
            after, votes_after = (past[-1].through, past[-1].votes_through) if past else (0, 0)
            through, votes_through = self._latest_seq(connection, task), latest_vote(connection, task)
            if through <= after:
                return None
            votes = list(voted(connection, task, votes_after, votes_through))
            connection.execute(
                sa.insert(table),
                {
                    "task": task,
                    "after": after,
                    "through": through,
                    "sha256": _digest(self._rows(connection, task, after, through)),
                    "votes_through": max(votes_after, votes_through),
                    "votes_sha256": _digest(votes) if votes else None,
                    "state": "open",
                    "opened_at": datetime.now(UTC),
                },
            )
            return self._turns(connection, task)[-1]

    def reopen_turn(self, turn: Turn, own_rows: OwnRows) -> Turn:
        """Begin the last turn, which was refused, again over the same feedback: there are more rows to judge it by.

        It is then resumed and closed like any open turn. Reopening one that is open already changes nothing.

        Args:
            own_rows: the rows there are now: for the same ones it is not reopened again.

        Raises:
            StoreError: it was not refused, or a later turn has its feedback.
        """
        table = tables.turns
        with writing(self._engine) as connection:
            past = [t for t in self._turns(connection, turn.task) if t.state != "abandoned"]
            if past and past[-1].id == turn.id and past[-1].again:
                return past[-1]
            if not past or past[-1].id != turn.id or past[-1].refusal is None:
                raise StoreError(f"turn {turn.number} of task {turn.task!r} is not the last one, or was not refused")
            refusal = past[-1].refusal.model_copy(update={"own_rows": own_rows})
            begun = {"state": "open", "opened_at": datetime.now(UTC), "closed_at": None}
            begun |= {"refusal": refusal.model_dump(mode="json")}
            connection.execute(sa.update(table).where(table.c.id == turn.id).values(begun))
            return next(t for t in self._turns(connection, turn.task) if t.id == turn.id)

    def close_turn(self, turn: Turn, version: str | None, decision: str, refusal: Refusal | None = None) -> Turn:
        """End a turn with the version it made and what was decided; saying the same again changes nothing.

        Its feedback stays taught in later turns, whatever the decision.

        Args:
            refusal: where it was refused, what would change that.

        Raises:
            StoreError: the turn was abandoned, or closed with another result.
        """
        kept = None if refusal is None else refusal.model_dump(mode="json")
        return self._end(turn, {"state": "closed", "version": version, "decision": decision}, {"refusal": kept})

    def abandon_turn(self, turn: Turn) -> Turn:
        """Give up an open turn: its feedback joins the next one. One that ran again is refused as it was before.

        Raises:
            StoreError: the turn is closed already.
        """
        if turn.again:
            return self._end(turn, {"state": "closed", "version": turn.version, "decision": turn.decision})
        return self._end(turn, {"state": "abandoned", "version": None, "decision": None})

    def _end(self, turn: Turn, result: dict[str, Any], kept: Mapping[str, Any] | None = None) -> Turn:
        """End a turn with a result, which is held against the one it has, and `kept`, which is not."""
        table = tables.turns
        with writing(self._engine) as connection:
            now = next((t for t in self._turns(connection, turn.task) if t.id == turn.id), None)
            if now is None:
                raise StoreError(f"turn {turn.number} of task {turn.task!r} is not in the feedback store {self.url}")
            if now.state != "open" and any(getattr(now, key) != value for key, value in result.items()):
                raise StoreError(
                    f"turn {now.number} of task {now.task!r} is already {now.state}"
                    + (f" (version {now.version}, {now.decision})" if now.state == "closed" else "")
                )
            if now.state == "open":
                ended = result | dict(kept or {}) | {"closed_at": datetime.now(UTC)}
                connection.execute(sa.update(table).where(table.c.id == turn.id).values(ended))
            return next(t for t in self._turns(connection, turn.task) if t.id == turn.id)

    def turns(self, task: str) -> list[Turn]:
        """All turns of a task, abandoned ones included, oldest first."""
        with reading(self._engine) as connection:
            return self._turns(connection, task)

    def _turns(self, connection: sa.Connection, task: str) -> list[Turn]:
        query = sa.select(tables.turns).where(tables.turns.c.task == task).order_by(tables.turns.c.id)
        found: list[Turn] = []
        number = 1
        for row in connection.execute(query).mappings():
            found.append(Turn.model_validate(dict(row) | {"number": number}))
            number += row["state"] != "abandoned"
        return found

    def snapshots(self, task: str) -> list[SnapshotReference]:
        """What `turn.snapshots` in params.yaml must say to teach everything so far, the open turn included."""
        return [turn.snapshot for turn in self.turns(task) if turn.state != "abandoned"]


def _digest(rows: Iterable[FeedbackRow | Voted]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(canonical_line(row))
    return digest.hexdigest()


def _raised(outcome: R | Exception) -> R:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
