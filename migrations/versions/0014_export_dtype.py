"""exports in a requested dtype"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BEFORE, AFTER = "uq_exports_job_id_checkpoint_id_format", "uq_exports_job_id_checkpoint_id_format_dtype"


def upgrade() -> None:
    op.add_column("exports", sa.Column("dtype", sa.Text(), nullable=True))
    op.drop_constraint(BEFORE, "exports", type_="unique")
    op.create_unique_constraint(
        AFTER, "exports", ["job_id", "checkpoint_id", "format", "dtype"], postgresql_nulls_not_distinct=True
    )


def downgrade() -> None:
    op.execute("DELETE FROM exports WHERE dtype IS NOT NULL")
    op.drop_constraint(AFTER, "exports", type_="unique")
    op.create_unique_constraint(
        BEFORE, "exports", ["job_id", "checkpoint_id", "format"], postgresql_nulls_not_distinct=True
    )
    op.drop_column("exports", "dtype")
