"""images of files"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "file_images",
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_file_images_file_id_files"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_file_images_sha256_blobs")),
        sa.PrimaryKeyConstraint("file_id", "sha256", name=op.f("pk_file_images")),
    )
    op.create_index(op.f("ix_file_images_sha256"), "file_images", ["sha256"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_file_images_sha256"), table_name="file_images")
    op.drop_table("file_images")
