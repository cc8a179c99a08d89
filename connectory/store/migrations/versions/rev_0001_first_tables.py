"""The first tables: systems, connectors, jobs, their failed documents, and the change log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "systems",
        sa.Column("id", NAME, primary_key=True, nullable=False),
        sa.Column("name", NAME, unique=True, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("configured", sa.Boolean(), nullable=False),
        sa.Column("health", sa.SmallInteger(), nullable=False),
        sa.Column("capabilities", NAME, nullable=False),
        sa.Column("stale_after", sa.Float(), nullable=False),
        sa.Column("last_poll_at", INSTANT, nullable=True),
        sa.Column("last_success_at", INSTANT, nullable=True),
        sa.Column("observed_at", INSTANT, nullable=True),
        sa.Column("next_poll_at", INSTANT, nullable=True),
        sa.Column("down_since", INSTANT, nullable=True),
        sa.Column("consecutive_failures", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.SmallInteger(), nullable=True),
        sa.Column("error_message", NAME, nullable=True),
        sa.Column("error_at", INSTANT, nullable=True),
    )
    op.create_table(
        "connectors",
        sa.Column("id", NAME, primary_key=True, nullable=False),
        sa.Column("system_id", NAME, nullable=False),
        sa.Column("external_id", NAME, nullable=False),
        sa.Column("url", NAME, nullable=True),
        sa.Column("name", NAME, nullable=False),
        sa.Column("name_key", NAME, nullable=False),
        sa.Column("source", NAME, nullable=False),
        sa.Column("mode", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("upstream_status", NAME, nullable=True),
        sa.Column("health", sa.SmallInteger(), nullable=False),
        sa.Column("access_type", sa.SmallInteger(), nullable=True),
        sa.Column("in_progress", sa.Boolean(), nullable=False),
        sa.Column("in_repeated_error_state", sa.Boolean(), nullable=True),
        sa.Column("is_editable", sa.Boolean(), nullable=True),
        sa.Column("is_unhealthy", sa.Boolean(), nullable=False),
        sa.Column("docs_indexed", sa.BigInteger(), nullable=True),
        sa.Column("latest_job_docs_indexed", sa.BigInteger(), nullable=True),
        sa.Column("last_job_status", sa.SmallInteger(), nullable=True),
        sa.Column("last_finished_job_status", sa.SmallInteger(), nullable=True),
        sa.Column("last_success_at", INSTANT, nullable=True),
        sa.Column("last_sync_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=True),
        sa.Column("updated_at", INSTANT, nullable=True),
        sa.Column("error_message", NAME, nullable=True),
        sa.Column("details_type", NAME, nullable=True),
        sa.Column("details", NAME, nullable=True),
        sa.Column("latest_job_id", NAME, nullable=True),
        sa.Column("removed_at", INSTANT, nullable=True),
        sa.Column("observed_at", INSTANT, nullable=True),
        sa.Column("missed_polls", sa.Integer(), nullable=False),
        sa.Column("fingerprint", NAME, nullable=True),
        sa.Column("history_read", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_connectors_access", "connectors", ["access_type"])
    op.create_index("ix_connectors_docs", "connectors", ["docs_indexed", "id"])
    op.create_index("ix_connectors_health", "connectors", ["health", "id"])
    op.create_index("ix_connectors_last_job", "connectors", ["last_job_status"])
    op.create_index("ix_connectors_mode", "connectors", ["mode"])
    op.create_index("ix_connectors_name", "connectors", ["name_key", "id"])
    op.create_index("ix_connectors_progress", "connectors", ["in_progress"])
    op.create_index("ix_connectors_removed", "connectors", ["removed_at"])
    op.create_index("ix_connectors_source", "connectors", ["source", "id"])
    op.create_index("ix_connectors_status", "connectors", ["status", "id"])
    op.create_index("ix_connectors_success", "connectors", ["last_success_at", "id"])
    op.create_index("ix_connectors_system", "connectors", ["system_id", "external_id"], unique=True)
    op.create_table(
        "jobs",
        sa.Column("id", NAME, primary_key=True, nullable=False),
        sa.Column("system_id", NAME, nullable=False),
        sa.Column("external_id", NAME, nullable=False),
        sa.Column("connector_id", NAME, nullable=True),
        sa.Column("source", NAME, nullable=True),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("upstream_status", NAME, nullable=True),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("trigger", sa.SmallInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("indexed", sa.BigInteger(), nullable=True),
        sa.Column("added", sa.BigInteger(), nullable=True),
        sa.Column("updated", sa.BigInteger(), nullable=True),
        sa.Column("deleted", sa.BigInteger(), nullable=True),
        sa.Column("unchanged", sa.BigInteger(), nullable=True),
        sa.Column("failed", sa.BigInteger(), nullable=True),
        sa.Column("access_denied", sa.BigInteger(), nullable=True),
        sa.Column("filter_denied", sa.BigInteger(), nullable=True),
        sa.Column("robots_denied", sa.BigInteger(), nullable=True),
        sa.Column("not_found", sa.BigInteger(), nullable=True),
        sa.Column("counted_total", sa.BigInteger(), nullable=True),
        sa.Column("volume_bytes", sa.BigInteger(), nullable=True),
        sa.Column("processed", sa.BigInteger(), nullable=True),
        sa.Column("expected_total", sa.BigInteger(), nullable=True),
        sa.Column("stages", NAME, nullable=True),
        sa.Column("docs_in_index", sa.BigInteger(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=True),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("completed_at", INSTANT, nullable=True),
        sa.Column("cancel_requested_at", INSTANT, nullable=True),
        sa.Column("canceled_at", INSTANT, nullable=True),
        sa.Column("last_seen_at", INSTANT, nullable=True),
        sa.Column("error_message", NAME, nullable=True),
        sa.Column("worker_hostname", NAME, nullable=True),
        sa.Column("details_type", NAME, nullable=True),
        sa.Column("details", NAME, nullable=True),
        sa.Column("created_order", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("observed_at", INSTANT, nullable=True),
        sa.Column("fingerprint", NAME, nullable=True),
    )
    op.create_index("ix_jobs_completed", "jobs", ["completed_at", "id"])
    op.create_index("ix_jobs_connector", "jobs", ["connector_id", "created_order", "id"])
    op.create_index("ix_jobs_indexed", "jobs", ["indexed", "id"])
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["system_id", "external_id"],
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_index("ix_jobs_order", "jobs", ["created_order", "id"])
    op.create_index("ix_jobs_sequence", "jobs", ["system_id", "sequence"])
    op.create_index("ix_jobs_source", "jobs", ["source"])
    op.create_index("ix_jobs_started", "jobs", ["started_at", "id"])
    op.create_index("ix_jobs_status", "jobs", ["status", "id"])
    op.create_index("ix_jobs_system", "jobs", ["system_id", "created_order", "id"])
    op.create_index("ix_jobs_trigger", "jobs", ["trigger"])
    op.create_index("ix_jobs_type", "jobs", ["type"])
    op.create_table(
        "job_errors",
        sa.Column("job_id", NAME, primary_key=True, nullable=False),
        sa.Column("position", sa.BigInteger(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("document_id", NAME, nullable=True),
        sa.Column("url", NAME, nullable=True),
        sa.Column("message", NAME, nullable=False),
        sa.Column("at", INSTANT, nullable=True),
        sa.Column("is_resolved", sa.Boolean(), nullable=True),
    )
    op.create_table(
        "events",
        sa.Column("position", sa.BigInteger(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("system_id", NAME, nullable=False),
        sa.Column("connector_id", NAME, nullable=True),
        sa.Column("job_id", NAME, nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("previous_status", sa.Integer(), nullable=True),
        sa.Column("health", sa.Integer(), nullable=True),
        sa.Column("previous_health", sa.Integer(), nullable=True),
        sa.Column("processed", sa.BigInteger(), nullable=True),
        sa.Column("changed_fields", NAME, nullable=True),
        sa.Column("message", NAME, nullable=True),
    )
    op.create_index("ix_events_connector", "events", ["connector_id", "position"])
    op.create_index("ix_events_job", "events", ["job_id", "position"])
    op.create_index("ix_events_system", "events", ["system_id", "position"])
    op.create_table(
        "log_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(sa.table("log_head", sa.column("id"), sa.column("position")), [{"id": 1, "position": 0}])
