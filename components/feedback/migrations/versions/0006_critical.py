"""Marks of critical cases: kinds of feedback, found by an index of their own.

No column is new. A Saqia that does not know these kinds refuses the store by its revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    marks = sa.text("kind IN ('critical', 'not_critical')")
    op.create_index("ix_feedback_marks", "feedback", ["task", "seq"], sqlite_where=marks, postgresql_where=marks)


def downgrade() -> None:
    raise NotImplementedError("what people said is never removed by a downgrade; restore a backup instead")
