"""Jobs that their upstream no longer tells of are marked: they are over, though nobody knows how they ended."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)
#: a rank of JobStatus
UNKNOWN = 9


def upgrade() -> None:
    op.add_column("jobs", sa.Column("vanished_at", INSTANT, nullable=True))
    jobs = sa.table(
        "jobs",
        sa.column("id", NAME),
        sa.column("status", sa.SmallInteger()),
        sa.column("is_open", sa.Boolean()),
        sa.column("completed_at", INSTANT),
        sa.column("observed_at", INSTANT),
        sa.column("fingerprint", NAME),
        sa.column("vanished_at", INSTANT),
    )
    events = sa.table("events", sa.column("at", INSTANT), sa.column("job_id", NAME), sa.column("status", sa.Integer()))
    # Whatever an upstream tells has a fingerprint, also where its word for the status is unknown.
    vanished = sa.and_(
        jobs.c.is_open.is_(False),
        jobs.c.status == UNKNOWN,
        jobs.c.completed_at.is_(None),
        jobs.c.fingerprint.is_(None),
    )
    logged_at = sa.select(sa.func.max(events.c.at)).where(events.c.job_id == jobs.c.id, events.c.status == UNKNOWN)
    found = sa.func.coalesce(logged_at.scalar_subquery(), jobs.c.observed_at, sa.literal(datetime.now(UTC), INSTANT))
    op.execute(jobs.update().where(vanished).values(vanished_at=found))
