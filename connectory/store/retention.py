"""What is beyond its limits: found without a lock, removed in portions that are small enough for one short transaction.

Nothing here decides when. A limit of None or 0 is none.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, func, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.store.database import Store
from connectory.store.portions import Limits, Portion, Stride, intervals, notices
from connectory.store.tables import (
    CONDITIONS,
    CONNECTORS,
    EVENTS,
    JOB_ERRORS,
    JOB_FLOORS,
    JOB_STRETCHES,
    JOBS,
    LOG_HEAD,
    OUTAGES,
    UNWATCHED,
)
from connectory.store.writes import batches, newest_jobs

#: Jobs that are looked through at once.
_CHUNK = 500
#: What hangs on a job by its ``job_id`` and goes before it.
_PARTS = (JOB_ERRORS, JOB_STRETCHES)

#: When a job ended; where nobody told, when it was last seen.
job_end = func.coalesce(JOBS.c.completed_at, JOBS.c.last_seen_at, JOBS.c.observed_at)


@dataclass(frozen=True, slots=True)
class Doomed:
    """A job that may go."""

    id: str
    connector_id: str | None
    created_order: int
    system_id: str
    ended_at: datetime | None


async def portions(store: Store, limits: Limits, stride: Stride) -> AsyncIterator[Portion]:
    """All that is beyond ``limits``, oldest first. Each portion is to be removed before the next is asked for."""
    async for portion in _events(store, limits, stride):
        yield portion
    if limits.jobs_per_connector:
        async for portion in _removed(store, stride, _crowded(store, limits.jobs_per_connector)):
            yield portion
    if limits.jobs_from is not None:
        async for portion in _removed(store, stride, _aged(store, limits.jobs_from)):
            yield portion
        async for portion in _connectors(store, limits.jobs_from, stride):
            yield portion
    for table in (OUTAGES, UNWATCHED):
        async for portion in intervals(store, table, limits, stride):
            yield portion
    async for portion in notices(store, limits, stride):
        yield portion


# ---- the log


async def _events(store: Store, limits: Limits, stride: Stride) -> AsyncIterator[Portion]:
    """Positions have no gaps: the log's size is head - oldest + 1, and nobody has to count."""
    at = EVENTS.c.position
    while True:
        async with store.read() as connection:
            head = (await connection.execute(select(LOG_HEAD.c.position))).scalar_one()
            oldest = (await connection.execute(select(at, EVENTS.c.at).order_by(at).limit(stride("events")))).all()
        if not oldest:
            return
        first, last = oldest[0].position, oldest[-1].position
        beyond = [head - limits.events] if limits.events else []
        if limits.events_from is not None:
            beyond += [row.position for row in oldest if row.at < limits.events_from]
        up_to = min(max(beyond, default=0), last)
        if up_to < first:
            return
        yield Portion("events", up_to - first + 1, [(delete(EVENTS).where(at <= up_to), None)])


# ---- jobs

_DOOMED = select(JOBS.c.id, JOBS.c.connector_id, JOBS.c.created_order, JOBS.c.system_id, job_end)


async def _crowded(store: Store, most: int) -> AsyncIterator[list[Doomed]]:
    """Jobs of connectors that have more than ``most`` ended ones, behind the newest so many."""
    j = JOBS.c
    ended = and_(j.connector_id.is_not(None), j.is_open.is_(False))
    async with store.read() as connection:
        counts = select(j.connector_id).where(ended).group_by(j.connector_id).having(func.count() > most)
        crowded = [row.connector_id for row in await connection.execute(counts)]
    for connector_id in crowded:
        of = _DOOMED.where(j.connector_id == connector_id, j.is_open.is_(False))
        newest_first = of.order_by(j.created_order.desc(), j.id.desc()).offset(most)
        async with store.read() as connection:
            surplus = [Doomed(*row) for row in await connection.execute(newest_first)]
            doomed = await _without_needed(connection, surplus)
        for some in batches(doomed[::-1], _CHUNK):
            yield list(some)


async def _aged(store: Store, before: datetime) -> AsyncIterator[list[Doomed]]:
    """Jobs that ended before then. Their order is mostly that of their ends, and a job cannot end before it began."""
    j = JOBS.c
    beyond: Any = true()
    while True:
        old = and_(j.is_open.is_(False), job_end < before, j.created_order < _microseconds(before), beyond)
        statement = _DOOMED.where(old).order_by(j.created_order, j.id)
        async with store.read() as connection:
            found = [Doomed(*row) for row in await connection.execute(statement.limit(_CHUNK))]
            doomed = await _without_needed(connection, found)
        if doomed:
            yield doomed
        if len(found) < _CHUNK:
            return
        last = found[-1]
        beyond = or_(j.created_order > last.created_order, and_(j.created_order == last.created_order, j.id > last.id))


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


async def _without_needed(connection: AsyncConnection, doomed: Sequence[Doomed]) -> list[Doomed]:
    """Leave out the newest job of each connector, and the jobs that what is said of the connector rests on."""
    connectors = sorted({each.connector_id for each in doomed if each.connector_id is not None})
    needed = {
        job["id"]
        for jobs in (await newest_jobs(connection, connectors)).values()
        for job in jobs.values()
        if job is not None
    }
    newest = select(JOBS.c.connector_id, func.max(JOBS.c.created_order)).group_by(JOBS.c.connector_id)
    order: dict[str, int] = {}
    for some in batches(connectors):
        order |= {row[0]: row[1] for row in await connection.execute(newest.where(JOBS.c.connector_id.in_(some)))}
    return [
        each
        for each in doomed
        if each.id not in needed and (each.connector_id is None or each.created_order < order[each.connector_id])
    ]


async def _removed(store: Store, stride: Stride, doomed: AsyncIterator[list[Doomed]]) -> AsyncIterator[Portion]:
    """Portions of these jobs: what hangs on them first, then they themselves."""
    async for left in doomed:
        while left:
            some = left[: stride("jobs")]
            async with store.read() as connection:
                portion = await _part(connection, [each.id for each in some], stride)
            if portion is None:
                portion, left = _whole_jobs(store, some), left[len(some) :]
            yield portion


async def _part(connection: AsyncConnection, job_ids: Sequence[str], stride: Stride) -> Portion | None:
    for table in _PARTS:
        key = list(table.primary_key.columns)
        statement = select(*key).where(table.c.job_id.in_(job_ids)).order_by(*key).limit(stride(table.name))
        found = (await connection.execute(statement)).all()
        if found:
            return Portion(table.name, len(found), [(delete(table).where(_is(key)), _parameters(key, found))])
    return None


def _is(key: Sequence[Any]) -> Any:
    return and_(*(column == bindparam(f"the_{column.name}") for column in key))


def _parameters(key: Sequence[Any], rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [{f"the_{column.name}": value for column, value in zip(key, row, strict=True)} for row in rows]


def _whole_jobs(store: Store, jobs: Sequence[Doomed]) -> Portion:
    """A job that was resumed meanwhile stays."""
    gone = delete(JOBS).where(JOBS.c.id.in_([each.id for each in jobs]), JOBS.c.is_open.is_(False))
    floors: dict[str, dict[str, Any]] = {}
    for each in jobs:
        subject = each.connector_id or each.system_id  # a job without a connector is its system's
        floor = floors.setdefault(subject, {"created_order": each.created_order, "ended_at": None})
        floor["created_order"] = max(each.created_order, floor["created_order"])
        floor["ended_at"] = max(filter(None, (each.ended_at, floor["ended_at"])), default=None)
    insert = (sqlite.insert if store.is_sqlite else postgresql.insert)(JOB_FLOORS)

    def greater(name: str) -> Any:
        new, old = insert.excluded[name], JOB_FLOORS.c[name]
        return case((new > old, new), else_=func.coalesce(old, new))

    raised = {name: greater(name) for name in ("created_order", "ended_at")}
    moved = insert.on_conflict_do_update(index_elements=["connector_id"], set_=raised)
    rows = [{"connector_id": id, **floor} for id, floor in sorted(floors.items())]
    return Portion("jobs", len(jobs), [(gone, None), (moved, rows)])


# ---- connectors


async def _connectors(store: Store, before: datetime, stride: Stride) -> AsyncIterator[Portion]:
    """Connectors that were found gone before then, with all their jobs. One that its upstream still names stays."""
    c, j = CONNECTORS.c, JOBS.c
    gone = and_(c.removed_at < before, c.observed_at.is_not(None))
    while True:
        async with store.read() as connection:
            ids = [row.id for row in await connection.execute(select(c.id).where(gone).limit(stride("connectors")))]
        if not ids:
            return

        async def theirs(ids: Sequence[str] = ids) -> AsyncIterator[list[Doomed]]:
            statement = _DOOMED.where(j.connector_id.in_(ids)).limit(_CHUNK)
            while True:
                async with store.read() as connection:
                    found = [Doomed(*row) for row in await connection.execute(statement.where(j.is_open.is_(False)))]
                if not found:
                    return
                yield found

        async for portion in _removed(store, stride, theirs()):
            yield portion
        theirs_too = [delete(table).where(table.c.connector_id.in_(ids)) for table in (JOB_FLOORS, CONDITIONS)]
        statements = [delete(CONNECTORS).where(c.id.in_(ids), gone), *theirs_too]
        yield Portion("connectors", len(ids), [(statement, None) for statement in statements])


# ---- what was removed does not come back


async def job_floors(connection: AsyncConnection, subjects: Sequence[str]) -> Mapping[str, int]:
    """Per connector the place up to which its jobs have been removed, and per system of its jobs without a connector
    (global ids); absent where none has."""
    found: dict[str, int] = {}
    for some in batches(subjects):
        rows = await connection.execute(select(JOB_FLOORS).where(JOB_FLOORS.c.connector_id.in_(some)))
        found |= {row.connector_id: row.created_order for row in rows}
    return found
