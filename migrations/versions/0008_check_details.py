"""the details of checks apart from what lists of jobs show"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SHORT = """
    SELECT jsonb_object_agg(key, CASE jsonb_typeof(value)
        WHEN 'object' THEN jsonb_build_object(
            'verdict', value -> 'verdict', 'summary', value -> 'summary', 'findings', value -> 'findings')
        ELSE value END)
    FROM jsonb_each(checks)
"""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("check_details", JSONB(none_as_null=True), nullable=True))
    op.execute(
        f"UPDATE jobs SET check_details = checks - 'overridden_at', checks = ({SHORT}) WHERE checks IS NOT NULL"  # noqa: S608
    )


def downgrade() -> None:
    op.execute("UPDATE jobs SET checks = checks || check_details WHERE check_details IS NOT NULL")
    op.drop_column("jobs", "check_details")
