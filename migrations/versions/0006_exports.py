"""exports of adapters"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exports",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", sa.Text(), nullable=True),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("check_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_exports_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name=op.f("fk_exports_checkpoint_id_checkpoints"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["check_id"], ["checks.id"], name=op.f("fk_exports_check_id_checks")),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_exports_sha256_blobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        sa.UniqueConstraint(
            "job_id",
            "checkpoint_id",
            "format",
            name=op.f("uq_exports_job_id_checkpoint_id_format"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_exports_checkpoint_id"), "exports", ["checkpoint_id"])
    op.create_index(op.f("ix_exports_check_id"), "exports", ["check_id"])
    op.create_index(op.f("ix_exports_sha256"), "exports", ["sha256"])


def downgrade() -> None:
    op.drop_table("exports")
