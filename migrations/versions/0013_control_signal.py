"""the name of a job's control signal"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("jobs", "wish", new_column_name="control_signal")


def downgrade() -> None:
    op.alter_column("jobs", "control_signal", new_column_name="wish")
