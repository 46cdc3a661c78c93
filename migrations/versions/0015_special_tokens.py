"""jobs of before `skip_special_tokens` was a setting left special tokens out"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """UPDATE jobs SET spec = spec || '{"skip_special_tokens": true}' """
        "WHERE NOT jsonb_exists(spec, 'skip_special_tokens')"
    )


def downgrade() -> None:
    op.execute("UPDATE jobs SET spec = spec - 'skip_special_tokens'")
