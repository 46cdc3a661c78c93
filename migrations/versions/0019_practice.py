"""the hint that completions of practice saw"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("hint", sa.Text(), nullable=True))


def downgrade() -> None:
    op.execute("DELETE FROM rollouts WHERE hint IS NOT NULL")
    op.drop_column("rollouts", "hint")
