"""What an answer's confidence was, the review queue (looks, leases, gold questions), battles and their votes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("interactions", sa.Column("logprob", sa.Float))
    op.add_column("interactions", sa.Column("valid", sa.Boolean))
    op.add_column("interactions", sa.Column("question", sa.String(16)))
    op.add_column("feedback", sa.Column("key", sa.String(50)))
    op.create_index("ix_interactions_task_question", "interactions", ["task", "question"])
    op.create_table(
        "review_leases",
        sa.Column("interaction_id", sa.String(200), nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("reviewer", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(30), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("interaction_id", name="pk_review_leases"),
        sa.ForeignKeyConstraint(["interaction_id"], ["interactions.id"], name="fk_review_leases_interaction_id"),
    )
    op.create_table(
        "looks",
        sa.Column("seq", sequence, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("interaction_id", sa.String(200), nullable=False),
        sa.Column("reviewer", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(30), nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("correction", sa.Text),
        sa.Column("comment", sa.Text),
        sa.Column("gold", sa.Boolean, nullable=False),
        sa.Column("event_id", sa.String(200)),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_looks"),
        sa.UniqueConstraint("id", name="uq_looks_id"),
        sa.ForeignKeyConstraint(["interaction_id"], ["interactions.id"], name="fk_looks_interaction_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_looks_task_seq", "looks", ["task", "seq"])
    op.create_index("ix_looks_interaction_id", "looks", ["interaction_id"])
    op.create_table(
        "gold_questions",
        sa.Column("interaction_id", sa.String(200), nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("added_by", sa.String(200), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("interaction_id", name="pk_gold_questions"),
        sa.ForeignKeyConstraint(["interaction_id"], ["interactions.id"], name="fk_gold_questions_interaction_id"),
    )
    op.create_table(
        "battles",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("version_a", sa.String(200), nullable=False),
        sa.Column("version_b", sa.String(200), nullable=False),
        sa.Column("answer_a", sa.Text, nullable=False),
        sa.Column("answer_b", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_battles"),
    )
    op.create_index("ix_battles_task_created_at", "battles", ["task", "created_at"])
    op.create_table(
        "votes",
        sa.Column("seq", sequence, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("battle_id", sa.String(200), nullable=False),
        sa.Column("voter", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("first", sa.String(1), nullable=False),
        sa.Column("vote", sa.String(20), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_votes"),
        sa.UniqueConstraint("id", name="uq_votes_id"),
        sa.UniqueConstraint("battle_id", "voter", "first", name="uq_votes_battle_id_voter_first"),
        sa.ForeignKeyConstraint(["battle_id"], ["battles.id"], name="fk_votes_battle_id"),
        sqlite_autoincrement=True,
    )
    _append_only("looks", "gold_questions", "battles", "votes")


def _append_only(*names: str) -> None:
    """What people looked at and voted for cannot be changed or removed by accident; 0001 made the function."""
    if op.get_bind().dialect.name == "sqlite":
        for table in names:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
    elif op.get_bind().dialect.name == "postgresql":
        for table in names:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
            )


def downgrade() -> None:
    raise NotImplementedError("what people looked at is never removed by a downgrade; restore a backup instead")
