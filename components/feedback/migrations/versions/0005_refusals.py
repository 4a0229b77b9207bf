"""What would change a turn's refusal, and what was there when it was refused."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("turns", sa.Column("refusal", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    raise NotImplementedError("what a turn was refused for is never removed by a downgrade; restore a backup instead")
