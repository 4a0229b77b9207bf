"""API keys, and the list of the tables that hold structured answers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(50), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("hint", sa.String(20), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("revoked_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
    )
    live = sa.text("revoked_at IS NULL")
    op.create_index(
        "uq_api_keys_one_live_name", "api_keys", ["name"], unique=True, sqlite_where=live, postgresql_where=live
    )
    op.create_table(
        "answer_tables",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("schema_sha256", sa.String(64), nullable=False),
        sa.Column("schema", sa.JSON, nullable=False),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_answer_tables"),
        sa.UniqueConstraint("task", "schema_sha256", name="uq_answer_tables_task_schema_sha256"),
    )


def downgrade() -> None:
    raise NotImplementedError("stored answers are never removed by a downgrade; restore a backup instead")
