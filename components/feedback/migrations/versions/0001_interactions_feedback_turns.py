"""Interactions, feedback and turns."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "interactions",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("model_version", sa.String(100), nullable=False),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("finish_reason", sa.String(50), nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("latency_ms", sa.Float, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_interactions"),
    )
    op.create_index("ix_interactions_task_created_at", "interactions", ["task", "created_at"])
    op.create_table(
        "feedback",
        sa.Column("seq", sequence, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("interaction_id", sa.String(200), nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("rater", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("correction", sa.Text),
        sa.Column("comment", sa.Text),
        sa.Column("idempotency_key", sa.String(200)),
        sa.PrimaryKeyConstraint("seq", name="pk_feedback"),
        sa.ForeignKeyConstraint(["interaction_id"], ["interactions.id"], name="fk_feedback_interaction_id"),
        sa.UniqueConstraint("id", name="uq_feedback_id"),
        sa.UniqueConstraint("interaction_id", "idempotency_key", name="uq_feedback_interaction_id_idempotency_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_feedback_task_seq", "feedback", ["task", "seq"])
    op.create_table(
        "turns",
        sa.Column("id", sequence, autoincrement=True, nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("after", sa.BigInteger, nullable=False),
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("closed_at", moment),
        sa.Column("version", sa.String(100)),
        sa.Column("decision", sa.String(100)),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
        sqlite_autoincrement=True,
    )
    only_open = sa.text("state = 'open'")
    op.create_index(
        "uq_turns_one_open", "turns", ["task"], unique=True, sqlite_where=only_open, postgresql_where=only_open
    )
    _append_only()


def _append_only() -> None:
    """What people said, and what they said it about, cannot be changed or removed by accident."""
    if op.get_bind().dialect.name == "sqlite":
        for table in ("interactions", "feedback"):
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
    elif op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        for table in ("interactions", "feedback"):
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
            )


def downgrade() -> None:
    raise NotImplementedError("what people said is never removed by a downgrade; restore a backup instead")
