"""graders of jobs from before `range` was a setting of theirs had no bounds"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """UPDATE jobs SET grader = '{"range": [-1000000.0, 1000000.0]}'::jsonb || grader """
        "WHERE grader->>'type' IN ('python', 'multi')"
    )
    op.execute(
        """UPDATE jobs SET grader = jsonb_set(grader, '{graders}', (
            SELECT jsonb_object_agg(part.key, CASE part.value->>'type'
                WHEN 'python' THEN '{"range": [-1000000.0, 1000000.0]}'::jsonb || part.value ELSE part.value END)
            FROM jsonb_each(grader->'graders') AS part
        ))
        WHERE grader->>'type' = 'multi'"""
    )


def downgrade() -> None:
    """Leave the ranges: without them, graders would have narrower ones than before."""
