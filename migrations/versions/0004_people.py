"""projects, roles, members, audit log, idempotent requests, webhooks, workers seen, comparisons"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OWNED = ("files", "jobs", "checks", "verifiers", "api_keys")
FIRST = "proj-default"


def upgrade() -> None:
    projects = op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quotas", JSONB(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.execute(projects.insert().values(id=FIRST, name="default", created_at=sa.func.now(), quotas={}))
    for table in OWNED:
        op.add_column(table, sa.Column("project_id", sa.Text(), nullable=False, server_default=FIRST))
        _belong(table)
    op.add_column("api_keys", sa.Column("role", sa.Text(), nullable=False, server_default="admin"))
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "members",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False, server_default=FIRST),
        sa.PrimaryKeyConstraint("email", name=op.f("pk_members")),
    )
    _belong("members")
    op.create_table(
        "audit_entries",
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("objects", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("project_id", sa.Text(), nullable=False, server_default=FIRST),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_entries")),
    )
    _belong("audit_entries")
    op.create_index(op.f("ix_audit_entries_project_id_number"), "audit_entries", ["project_id", "number"])
    op.create_table(
        "idempotent_requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=True),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotent_requests")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", JSONB(none_as_null=True), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False, server_default=FIRST),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    _belong("webhooks")
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("payload", JSONB(none_as_null=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("response_status", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id_webhooks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(op.f("ix_webhook_deliveries_webhook_id"), "webhook_deliveries", ["webhook_id"])
    op.create_index(op.f("ix_webhook_deliveries_status_next_at"), "webhook_deliveries", ["status", "next_at"])
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("queues", JSONB(none_as_null=True), nullable=False),
        sa.Column("devices", JSONB(none_as_null=True), nullable=False),
        sa.Column("sandbox_level", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("plan", JSONB(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False, server_default=FIRST),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparisons")),
    )
    _belong("comparisons")
    op.create_table(
        "compared_jobs",
        sa.Column("comparison_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparisons.id"],
            name=op.f("fk_compared_jobs_comparison_id_comparisons"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_compared_jobs_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("comparison_id", "job_id", name=op.f("pk_compared_jobs")),
    )
    op.create_index(op.f("ix_compared_jobs_job_id"), "compared_jobs", ["job_id"])


def _belong(table: str) -> None:
    op.create_foreign_key(op.f(f"fk_{table}_project_id_projects"), table, "projects", ["project_id"], ["id"])
    op.create_index(op.f(f"ix_{table}_project_id"), table, ["project_id"])


def downgrade() -> None:
    for table in (
        "compared_jobs",
        "comparisons",
        "workers",
        "webhook_deliveries",
        "webhooks",
        "idempotent_requests",
        "audit_entries",
    ):
        op.drop_table(table)
    op.drop_table("members")
    for column in ("expires_at", "role"):
        op.drop_column("api_keys", column)
    for table in OWNED:
        op.drop_index(op.f(f"ix_{table}_project_id"), table_name=table)
        op.drop_constraint(op.f(f"fk_{table}_project_id_projects"), table, type_="foreignkey")
        op.drop_column(table, "project_id")
    op.drop_table("projects")
