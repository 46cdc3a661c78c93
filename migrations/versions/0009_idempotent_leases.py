"""a lease for requests with an Idempotency-Key that are at work"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "idempotent_requests",
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.alter_column("idempotent_requests", "leased_until", server_default=None)


def downgrade() -> None:
    op.drop_column("idempotent_requests", "leased_until")
