"""how long workers held each job, without the pauses between"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("held_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("held_s", sa.Float(), nullable=False, server_default="0"))
    # Where its pauses lay is not known of a job from before: it keeps the hours it was counted with.
    until = "coalesce(finished_at, progress_at, now())"
    op.execute(
        f"UPDATE jobs SET held_s = extract(epoch FROM {until} - started_at) "  # noqa: S608
        "WHERE started_at IS NOT NULL AND lease_until IS NULL"
    )
    op.execute("UPDATE jobs SET held_since = started_at WHERE lease_until IS NOT NULL")


def downgrade() -> None:
    op.drop_column("jobs", "held_s")
    op.drop_column("jobs", "held_since")
