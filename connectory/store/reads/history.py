"""What is kept of the past, as statements: a connector's states and jobs in buckets of time, outages, segments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Select, and_, case, func, literal, or_, select, union_all
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from connectory.model import ENDED, ConnectorHealth, EventKind, JobType
from connectory.store.retention.removal import job_end
from connectory.store.tables import EVENTS, JOB_FLOORS, JOB_SEGMENTS, JOBS, OUTAGES, UNWATCHED
from connectory.store.tables.columns import Instant

#: How bad a health is, from the best to the worst.
BADNESS = {
    ConnectorHealth.HEALTHY: 0,
    ConnectorHealth.UNKNOWN: 1,
    ConnectorHealth.DEGRADED: 2,
    ConnectorHealth.FAILING: 3,
}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, cut into equal buckets from its beginning on; its end may cut the last one short."""

    begin: datetime
    end: datetime
    step: timedelta

    @property
    def count(self) -> int:
        """How many buckets there are."""
        return -((self.begin - self.end) // self.step)

    def bounds(self, bucket: int) -> tuple[datetime, datetime]:
        """From where to where a bucket reaches."""
        start = self.begin + bucket * self.step
        return start, min(start + self.step, self.end)

    def place(self, instant: datetime) -> int:
        """The bucket of an instant; the first one ahead of the span, the last one behind it."""
        return min(max((instant - self.begin) // self.step, 0), self.count - 1)

    def bucket_of(self, instant: Any) -> Any:
        """The bucket of an instant within the span, as SQL; -1 ahead of it, ``count`` behind it."""
        into = _milliseconds(instant, literal(self.begin, Instant())) // (self.step // timedelta(milliseconds=1))
        return case((instant < self.begin, -1), (instant >= self.end, self.count), else_=into)


class _milliseconds(FunctionElement[int]):
    """From the second instant to the first."""

    inherit_cache = True
    type = BigInteger()


@compiles(_milliseconds, "sqlite")
def _on_sqlite(element: _milliseconds, compiler: Any, **more: Any) -> str:
    later, earlier = (compiler.process(each, **more) for each in element.clauses)
    return f"CAST(ROUND((julianday({later}) - julianday({earlier})) * 86400000) AS INTEGER)"


@compiles(_milliseconds, "postgresql")
def _on_postgresql(element: _milliseconds, compiler: Any, **more: Any) -> str:
    later, earlier = (compiler.process(each, **more) for each in element.clauses)
    return f"CAST(FLOOR(EXTRACT(EPOCH FROM ({later} - {earlier})) * 1000) AS BIGINT)"


def states(connector_ids: Sequence[str], span: Span) -> Select[Any]:
    """Of each connector's own rows of the log the last one per bucket and the very first one, oldest first.

    ``worst``: the greatest badness within the bucket; ``first_at``: the time of its first row; ``added`` and
    ``removed``: the newest positions so far at which it came and went.
    """
    e = EVENTS.c
    own = (
        select(
            e.connector_id, e.position, e.at, e.kind, e.status, e.health, e.previous_status, e.previous_health,
            e.processed, e.changed_fields, span.bucket_of(e.at).label("bucket"),
        )
        .where(e.connector_id.in_(connector_ids), e.job_id.is_(None))
        .subquery()
        .c
    )  # fmt: skip
    of = own.connector_id
    badness = case({health.value: bad for health, bad in BADNESS.items()}, value=own.health, else_=0)

    def newest(kind: EventKind) -> Any:
        position = case((own.kind == kind, own.position), else_=0)
        return func.max(position).over(partition_by=of, order_by=own.position)

    ranked = select(
        *own,
        func.row_number().over(partition_by=(of, own.bucket), order_by=own.position.desc()).label("from_last"),
        func.row_number().over(partition_by=of, order_by=own.position).label("from_first"),
        func.max(badness).over(partition_by=(of, own.bucket)).label("worst"),
        func.min(own.at).over(partition_by=(of, own.bucket)).label("first_at"),
        newest(EventKind.CONNECTOR_ADDED).label("added"),
        newest(EventKind.CONNECTOR_REMOVED).label("removed"),
    ).subquery()
    wanted = or_(ranked.c.from_last == 1, ranked.c.from_first == 1)
    return select(ranked).where(wanted).order_by(ranked.c.connector_id, ranked.c.position)


def ended_jobs(connector_ids: Sequence[str], span: Span) -> Select[Any]:
    """How many jobs that move content ended in each bucket: connector_id, bucket, status, count."""
    j = JOBS.c
    ended = or_(j.status.in_(list(ENDED)), j.completed_at.is_not(None))
    within = and_(job_end >= span.begin, job_end < span.end)
    ended_within = (
        select(j.connector_id, span.bucket_of(job_end).label("bucket"), j.status)
        .where(j.connector_id.in_(connector_ids), ended, within, j.type != JobType.ACCESS_CONTROL)
        .subquery()
        .c
    )
    columns = (ended_within.connector_id, ended_within.bucket, ended_within.status)
    return select(*columns, func.count().label("jobs")).group_by(*columns)


def oldest_jobs(connector_ids: Sequence[str]) -> Select[Any]:
    """The place of each connector's oldest job: connector_id, created_order."""
    j = JOBS.c
    return (
        select(j.connector_id, func.min(j.created_order))
        .where(j.connector_id.in_(connector_ids))
        .group_by(j.connector_id)
    )


def floors(connector_ids: Sequence[str]) -> Select[Any]:
    """Of connectors whose jobs were removed the place of the newest and the latest end of those: connector_id,
    created_order, ended_at."""
    f = JOB_FLOORS.c
    return select(f.connector_id, f.created_order, f.ended_at).where(f.connector_id.in_(connector_ids))


def log_begin() -> Select[Any]:
    """The time of the oldest row of the log that is kept."""
    return select(EVENTS.c.at).order_by(EVENTS.c.position).limit(1)


def interruptions(system_ids: Sequence[str], span: Span) -> Any:
    """When systems did not answer, and when nobody asked them: system_id, started_at, ended_at, was_asked; in the order
    of time."""

    def of(table: Any, was_asked: int) -> Select[Any]:
        t = table.c
        touches = and_(t.started_at < span.end, or_(t.ended_at.is_(None), t.ended_at > span.begin))
        columns = (t.system_id, t.started_at, t.ended_at, literal(was_asked).label("was_asked"))
        return select(*columns).where(t.system_id.in_(system_ids), touches)

    return union_all(of(OUTAGES, 1), of(UNWATCHED, 0)).order_by("started_at")


def segments(job_ids: Sequence[str]) -> Select[Any]:
    """What jobs had done before they were resumed, as rows of JOB_SEGMENTS, oldest first."""
    s = JOB_SEGMENTS.c
    return select(JOB_SEGMENTS).where(s.job_id.in_(job_ids)).order_by(s.job_id, s.number)
