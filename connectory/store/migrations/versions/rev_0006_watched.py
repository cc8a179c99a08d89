"""What the engine saw move, and when it did not watch: kept, for a restart must neither forget nor invent it."""

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
    op.add_column("jobs", sa.Column("moved_at", INSTANT, nullable=True))
    op.create_table(
        "unwatched",
        sa.Column("id", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("system_id", NAME, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=False),
    )
    op.create_index("ix_unwatched_system", "unwatched", ["system_id", "id"])
    op.add_column("job_floors", sa.Column("ended_at", INSTANT, nullable=True))
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
        sa.column("moved_at", INSTANT),
    )
    events = sa.table(
        "events",
        sa.column("at", INSTANT),
        sa.column("job_id", NAME),
        sa.column("status"),
        sa.column("previous_status"),
        sa.column("changed_fields"),
    )
    conditions = sa.table("conditions", sa.column("subject_id", NAME), sa.column("code"))
    # What stands still has been told of; of the others it is known from now on.
    standing = sa.select(conditions.c.subject_id).where(conditions.c.code == NO_PROGRESS)
    waits = sa.and_(jobs.c.is_open, jobs.c.type == STREAM, jobs.c.counted_total > jobs.c.processed)
    op.execute(jobs.update().where(waits, jobs.c.id.not_in(standing)).values(waiting_since=datetime.now(UTC)))
    # Of all that is open the log tells when it moved, as far as it goes back.
    fields, turned = events.c.changed_fields, events.c.status.is_distinct_from(events.c.previous_status)
    moves = sa.or_(turned, fields.contains("progress"), fields.contains("counts"))
    last = sa.select(sa.func.max(events.c.at)).where(events.c.job_id == jobs.c.id, moves).scalar_subquery()
    op.execute(jobs.update().where(jobs.c.is_open).values(moved_at=last))
