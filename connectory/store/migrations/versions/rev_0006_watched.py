"""What the engine saw move: kept, for a restart must neither forget nor invent it."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)
#: ranks of JobType and ConditionCode
STREAM, NO_PROGRESS = 3, 2


def upgrade() -> None:
    op.add_column("connectors", sa.Column("first_seen_at", INSTANT, nullable=True))
    op.add_column("connectors", sa.Column("worker_seen_at", INSTANT, nullable=True))
    op.add_column("connectors", sa.Column("worker_moved_at", INSTANT, nullable=True))
    op.add_column("connectors", sa.Column("parse_errors", sa.BigInteger(), nullable=True))
    op.add_column("connectors", sa.Column("transport_errors", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("waiting_since", INSTANT, nullable=True))
    # Those that are there are known from now on.
    connectors = sa.table("connectors", sa.column("first_seen_at", INSTANT))
    op.execute(connectors.update().values(first_seen_at=datetime.now(UTC)))
    jobs = sa.table(
        "jobs",
        sa.column("id", NAME),
        sa.column("type"),
        sa.column("is_open"),
        sa.column("counted_total"),
        sa.column("processed"),
        sa.column("waiting_since", INSTANT),
    )
    conditions = sa.table("conditions", sa.column("subject_id", NAME), sa.column("code"))
    # What stands still has been told of; of the others it is known from now on.
    told = sa.select(conditions.c.subject_id).where(conditions.c.code == NO_PROGRESS)
    waits = sa.and_(jobs.c.is_open, jobs.c.type == STREAM, jobs.c.counted_total > jobs.c.processed)
    op.execute(jobs.update().where(waits, jobs.c.id.not_in(told)).values(waiting_since=datetime.now(UTC)))
