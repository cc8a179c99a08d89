"""What outlives the upstream: outages, earlier stretches of resumed jobs, and up to where jobs have been removed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "outages",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("system_id", NAME, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("code", sa.SmallInteger(), nullable=False),
        sa.Column("message", NAME, nullable=False),
    )
    op.create_index("ix_outages_system", "outages", ["system_id", "id"])
    # those that are down while the store is upgraded
    op.execute(
        "INSERT INTO outages (system_id, started_at, code, message) "
        "SELECT id, down_since, error_code, COALESCE(error_message, '') FROM systems "
        "WHERE down_since IS NOT NULL AND error_code IS NOT NULL"
    )
    op.create_table(
        "job_stretches",
        sa.Column("job_id", NAME, primary_key=True, nullable=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("processed", sa.BigInteger(), nullable=True),
        sa.Column("counts", NAME, nullable=False),
    )
    op.create_table(
        "job_floors",
        sa.Column("connector_id", NAME, primary_key=True, nullable=False),
        sa.Column("created_order", sa.BigInteger(), nullable=False),
    )
    op.create_index(
        "ix_events_own",
        "events",
        ["connector_id", "position"],
        sqlite_where=sa.text("job_id IS NULL"),
        postgresql_where=sa.text("job_id IS NULL"),
    )
