"""versions of files, how far a file is read, checks that last"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("parent_id", sa.Text(), nullable=True))
    op.add_column("files", sa.Column("change", JSONB(none_as_null=True), nullable=True))
    op.add_column("files", sa.Column("status", sa.Text(), nullable=False, server_default="processed"))
    op.add_column("files", sa.Column("status_details", sa.Text(), nullable=True))
    op.add_column("files", sa.Column("progress", JSONB(none_as_null=True), nullable=True))
    op.create_foreign_key(
        op.f("fk_files_parent_id_files"), "files", "files", ["parent_id"], ["id"], ondelete="SET NULL"
    )
    op.create_index(op.f("ix_files_parent_id"), "files", ["parent_id"], unique=False)
    op.add_column("jobs", sa.Column("checks", JSONB(none_as_null=True), nullable=True))
    op.add_column("checks", sa.Column("file_id", sa.Text(), nullable=True))
    op.add_column("checks", sa.Column("job_id", sa.Text(), nullable=True))
    op.add_column("checks", sa.Column("progress", JSONB(none_as_null=True), nullable=True))
    for name, table in (("file_id", "files"), ("job_id", "jobs")):
        op.create_foreign_key(op.f(f"fk_checks_{name}_{table}"), "checks", table, [name], ["id"], ondelete="CASCADE")
        op.create_index(op.f(f"ix_checks_{name}"), "checks", [name], unique=False)


def downgrade() -> None:
    for name, table in (("job_id", "jobs"), ("file_id", "files")):
        op.drop_index(op.f(f"ix_checks_{name}"), table_name="checks")
        op.drop_constraint(op.f(f"fk_checks_{name}_{table}"), "checks", type_="foreignkey")
        op.drop_column("checks", name)
    op.drop_column("checks", "progress")
    op.drop_column("jobs", "checks")
    op.drop_index(op.f("ix_files_parent_id"), table_name="files")
    op.drop_constraint(op.f("fk_files_parent_id_files"), "files", type_="foreignkey")
    for column in ("progress", "status_details", "status", "change", "parent_id"):
        op.drop_column("files", column)
