"""Which votes of battles a turn has, beside its feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("turns", sa.Column("votes_through", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("turns", sa.Column("votes_sha256", sa.String(64)))


def downgrade() -> None:
    raise NotImplementedError("what a turn was made of is never removed by a downgrade; restore a backup instead")
