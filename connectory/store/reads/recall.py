"""What the engine reads back of a system: what is known of it, how open jobs moved, how past ones went, and which
conditions hold."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import column, func, literal, select, union_all, values
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import ENDED, ConnectorStatus, JobStatus, JobTrigger, JobType
from connectory.slices import slices
from connectory.store.rows import Row, batches
from connectory.store.tables import CONDITIONS, CONNECTORS, EVENTS, JOBS, OUTAGES, SYSTEMS
from connectory.store.tables.columns import Name

#: Past runs that are looked at, per connector.
RUNS = 20
#: Lines of the log that are read of an open job.
TRACES = 200
#: Past outages that are looked at, per system.
OUTAGES_KEPT = 100
#: Jobs whose lines are read by one statement; SQLite takes some 500 parts.
_TRACED_AT_ONCE = 100
#: Connectors whose runs are read by one statement; what else there is to do goes on in between.
_READ_AT_ONCE = 100


class Trace(NamedTuple):
    """A line of the log about a job."""

    job_id: str
    position: int
    at: datetime
    status: int | None
    previous_status: int | None
    processed: int | None
    changed_fields: str | None


async def system_columns(connection: AsyncConnection, system_id: str, columns: Sequence[str]) -> Row:
    """These columns of a system's row."""
    found = await connection.execute(select(*(SYSTEMS.c[name] for name in columns)).where(SYSTEMS.c.id == system_id))
    return dict(found.mappings().one())


class StoredConnector(NamedTuple):
    """What adapters are told of a connector; ids are global."""

    id: str
    fingerprint: str | None
    latest_job_id: str | None
    history_read: bool
    missed_polls: int
    #: None: the last answer had it
    observed_at: datetime | None
    removed_at: datetime | None


async def stored_connectors(connection: AsyncConnection, system_id: str) -> list[StoredConnector]:
    """All of a system, removed ones too."""
    wanted = select(*(CONNECTORS.c[name] for name in StoredConnector._fields))
    rows = slices(await connection.execute(wanted.where(CONNECTORS.c.system_id == system_id)))
    return [StoredConnector(*row) async for some in rows for row in some]


async def newest_order(connection: AsyncConnection, system_id: str) -> int | None:
    """The place of a system's newest job: microseconds since 1970; None where it has none."""
    newest = select(func.max(JOBS.c.created_order)).where(JOBS.c.system_id == system_id)
    order: int | None = (await connection.execute(newest)).scalar()
    return order


async def stored_conditions(connection: AsyncConnection, system_id: str) -> Sequence[Any]:
    """Rows of the conditions of a system."""
    return (await connection.execute(select(CONDITIONS).where(CONDITIONS.c.system_id == system_id))).all()


async def open_jobs(connection: AsyncConnection, system_id: str, columns: Sequence[str]) -> Sequence[Row]:
    """These columns of a system's open jobs."""
    statement = select(*(JOBS.c[name] for name in columns)).where(JOBS.c.system_id == system_id, JOBS.c.is_open)
    rows = slices((await connection.execute(statement)).mappings())
    return [dict(row) async for some in rows for row in some]


async def job_traces(connection: AsyncConnection, job_ids: Sequence[str]) -> Sequence[Trace]:
    """The newest lines of the log about each of these jobs, oldest first, as far as they are kept."""
    e, found = EVENTS.c, []
    columns = (e.job_id, e.position, e.at, e.status, e.previous_status, e.processed, e.changed_fields)
    for some in batches(job_ids, _TRACED_AT_ONCE):
        newest = [
            select(*columns).where(e.job_id == literal(id, Name)).order_by(e.position.desc()).limit(TRACES).subquery()
            for id in some
        ]
        found += [Trace(*row) for row in await connection.execute(union_all(*(select(each) for each in newest)))]
    return sorted(found, key=lambda trace: trace.position)


class LastSeen(NamedTuple):
    """What the engine remembers of a connector, as it was seen last; None where it was not."""

    status: ConnectorStatus | None = None
    status_since: datetime | None = None
    first_seen_at: datetime | None = None
    blocks_since: datetime | None = None
    worker_seen_at: datetime | None = None
    worker_moved_at: datetime | None = None
    parse_errors: int | None = None
    transport_errors: int | None = None


async def last_seen(connection: AsyncConnection, system_id: str) -> dict[str, tuple[datetime, LastSeen]]:
    """Connectors that are not removed, and when they were seen last."""
    c, s = CONNECTORS.c, SYSTEMS.c
    at = func.coalesce(c.observed_at, s.observed_at)
    known = (
        select(c.id, at.label("at"), *(c[name] for name in LastSeen._fields))
        .join(SYSTEMS, s.id == c.system_id)
        .where(c.system_id == system_id, c.removed_at.is_(None), at.is_not(None))
    )
    rows = slices(await connection.execute(known))
    return {id: (at, LastSeen(*seen)) async for some in rows for id, at, *seen in some}


async def past_outages(connection: AsyncConnection, system_id: str) -> list[tuple[datetime, datetime]]:
    """When the newest outages that are over began and ended, oldest first."""
    o = OUTAGES.c
    over = select(o.started_at, o.ended_at).where(o.system_id == system_id, o.ended_at.is_not(None))
    newest = await connection.execute(over.order_by(o.id.desc()).limit(OUTAGES_KEPT))
    return [(begin, end) for begin, end in newest][::-1]


class PastRun(NamedTuple):
    """An ended job, by the jobs table's columns."""

    id: str
    connector_id: str
    status: JobStatus
    type: JobType
    trigger: JobTrigger
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    processed: int | None
    failed: int | None
    error_message: str | None
    longest_quiet: float | None


async def past_runs(connection: AsyncConnection, connector_ids: Sequence[str]) -> dict[str, list[PastRun]]:
    """Per connector its ended jobs that move content, newest first, at most RUNS; an entry for each."""
    found: dict[str, list[PastRun]] = {id: [] for id in connector_ids}
    j, ended = JOBS.c, JOBS.c.status.in_(list(ENDED)) | JOBS.c.completed_at.is_not(None)
    for some in batches(connector_ids, _READ_AT_ONCE):
        asked = values(column("id", Name), name="asked").data([(id,) for id in some]).cte("asked_for")
        of = (j.connector_id == asked.c.id, j.type != JobType.ACCESS_CONTROL, ended)
        # the place of the last one that is wanted: an index leads to it, however long the past is
        last = select(j.created_order).where(*of).order_by(j.created_order.desc()).limit(1).offset(RUNS - 1)
        least = func.coalesce(last.scalar_subquery(), -(2**63))
        bounds = select(asked.c.id, least.label("least")).cte("bounds")
        within = (j.connector_id == bounds.c.id, j.created_order >= bounds.c.least)
        wanted = (
            select(*(j[name] for name in PastRun._fields))
            .select_from(bounds)
            .join(JOBS, within[0] & within[1])
            .where(j.type != JobType.ACCESS_CONTROL, ended)
            .order_by(j.created_order.desc(), j.id)
        )
        for row in await connection.execute(wanted):
            if len(found[row.connector_id]) < RUNS:
                found[row.connector_id].append(PastRun(*row))
    return found
