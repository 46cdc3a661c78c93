"""a row's project is named, never assumed"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

OWNED = (
    "api_keys",
    "audit_entries",
    "checks",
    "comparisons",
    "files",
    "jobs",
    "members",
    "uploads",
    "verifiers",
    "webhooks",
)


def upgrade() -> None:
    for table in OWNED:
        op.alter_column(table, "project_id", server_default=None)


def downgrade() -> None:
    for table in OWNED:
        op.alter_column(table, "project_id", server_default="proj-default")
