"""The store's tables, as SQLAlchemy sees them; migrations/ makes and changes them.

Only types that SQLite and PostgreSQL both keep unchanged are used, so that a snapshot's
digest is the same whichever of the two holds it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets time zones, so one is put on again when reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


interactions = Table(
    "interactions",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("task", String(100), nullable=False),
    Column("model_version", String(100), nullable=False),
    Column("messages", JSON, nullable=False),
    Column("answer", Text, nullable=False),
    Column("finish_reason", String(50), nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("latency_ms", Float, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("logprob", Float),
    Column("valid", Boolean),
    Column("question", String(16)),
    Index(None, "task", "created_at"),
    Index(None, "task", "question"),
)

# SQLite numbers only an INTEGER primary key by itself; PostgreSQL wants 64 bits for a log that never ends.
Sequence = BigInteger().with_variant(Integer, "sqlite")

feedback = Table(
    "feedback",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(200), nullable=False, unique=True),
    Column("interaction_id", String(200), ForeignKey(interactions.c.id), nullable=False),
    Column("task", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("rater", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("correction", Text),
    Column("comment", Text),
    Column("idempotency_key", String(200)),
    Column("key", String(50)),
    UniqueConstraint("interaction_id", "idempotency_key"),
    Index(None, "task", "seq"),
    Index(
        "ix_feedback_marks",
        "task",
        "seq",
        sqlite_where=text("kind IN ('critical', 'not_critical')"),
        postgresql_where=text("kind IN ('critical', 'not_critical')"),
    ),
    sqlite_autoincrement=True,
)

turns = Table(
    "turns",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("task", String(100), nullable=False),
    Column("after", BigInteger, nullable=False),
    Column("through", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("votes_through", BigInteger, nullable=False, server_default="0"),
    Column("votes_sha256", String(64)),
    Column("state", String(20), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Column("version", String(100)),
    Column("decision", String(100)),
    Column("refusal", JSON(none_as_null=True)),
    Index(
        "uq_turns_one_open",
        "task",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    sqlite_autoincrement=True,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(50), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("hint", String(20), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Index(
        "uq_api_keys_one_live_name",
        "name",
        unique=True,
        sqlite_where=text("revoked_at IS NULL"),
        postgresql_where=text("revoked_at IS NULL"),
    ),
)

answer_tables = Table(
    "answer_tables",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("task", String(100), nullable=False),
    Column("schema_sha256", String(64), nullable=False),
    Column("schema", JSON, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("task", "schema_sha256"),
)

review_leases = Table(
    "review_leases",
    metadata,
    Column("interaction_id", String(200), ForeignKey(interactions.c.id), primary_key=True),
    Column("task", String(100), nullable=False),
    Column("reviewer", String(200), nullable=False),
    Column("reason", String(30), nullable=False),
    Column("detail", Text, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

looks = Table(
    "looks",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(200), nullable=False, unique=True),
    Column("task", String(100), nullable=False),
    Column("interaction_id", String(200), ForeignKey(interactions.c.id), nullable=False),
    Column("reviewer", String(200), nullable=False),
    Column("reason", String(30), nullable=False),
    Column("action", String(20), nullable=False),
    Column("correction", Text),
    Column("comment", Text),
    Column("gold", Boolean, nullable=False),
    Column("event_id", String(200)),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "task", "seq"),
    Index(None, "interaction_id"),
    sqlite_autoincrement=True,
)

gold_questions = Table(
    "gold_questions",
    metadata,
    Column("interaction_id", String(200), ForeignKey(interactions.c.id), primary_key=True),
    Column("task", String(100), nullable=False),
    Column("answer", Text, nullable=False),
    Column("added_by", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

battles = Table(
    "battles",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("task", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("messages", JSON, nullable=False),
    Column("version_a", String(200), nullable=False),
    Column("version_b", String(200), nullable=False),
    Column("answer_a", Text, nullable=False),
    Column("answer_b", Text, nullable=False),
    Index(None, "task", "created_at"),
)

votes = Table(
    "votes",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", String(200), nullable=False, unique=True),
    Column("battle_id", String(200), ForeignKey(battles.c.id), nullable=False),
    Column("voter", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("first", String(1), nullable=False),
    Column("vote", String(20), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("battle_id", "voter", "first"),
    sqlite_autoincrement=True,
)
