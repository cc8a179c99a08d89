"""What people are told: notices, their deliveries, and how far the notifier has come."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _notices()
    _deliveries()
    op.create_table(
        "notifier",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO notifier (id, position, turn, sequence) VALUES (1, NULL, 0, 0)")


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", NAME, primary_key=True, nullable=False),
        sa.Column("key", NAME, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("code", sa.SmallInteger(), nullable=True),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("system_id", NAME, nullable=False),
        sa.Column("connector_id", NAME, nullable=True),
        sa.Column("job_id", NAME, nullable=True),
        sa.Column("title", NAME, nullable=False),
        sa.Column("message", NAME, nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("raised_at", INSTANT, nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("recovered_at", INSTANT, nullable=True),
        sa.Column("recovery_message", NAME, nullable=True),
        sa.Column("acknowledged_at", INSTANT, nullable=True),
        sa.Column("acknowledged_by", NAME, nullable=True),
    )
    op.create_index("ix_notices_raised", "notices", ["raised_at", "id"])
    op.create_index("ix_notices_system", "notices", ["system_id", "raised_at"])
    still = sa.text("recovered_at IS NULL")
    op.create_index("ix_notices_open", "notices", ["key"], unique=True, sqlite_where=still, postgresql_where=still)


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", NAME, primary_key=True, nullable=False),
        sa.Column("notice_id", NAME, nullable=False),
        sa.Column("receiver", NAME, nullable=False),
        sa.Column("phase", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("payload", NAME, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", INSTANT, nullable=False),
        sa.Column("delivered_at", INSTANT, nullable=True),
        sa.Column("dead_at", INSTANT, nullable=True),
        sa.Column("last_error", NAME, nullable=True),
    )
    op.create_index("ix_deliveries_notice", "deliveries", ["notice_id"])
    waiting = sa.text("delivered_at IS NULL AND dead_at IS NULL")
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["receiver", "sequence"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
