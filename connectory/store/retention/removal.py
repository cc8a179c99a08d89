"""What is beyond its limits: found without a lock, removed in batches that are small enough for one short transaction.

Between finding and removing, and between two batches, others write. So each batch decides again in its transaction.
Nothing here decides when. A limit of None or 0 is none.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, exists, false, func, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.store.database import Store
from connectory.store.reads.rows import newest_jobs
from connectory.store.retention.batches import BatchSize, ExpiredBatch, RetentionLimits, events, intervals, notices
from connectory.store.rows import batches
from connectory.store.tables import (
    CONDITIONS,
    CONNECTORS,
    JOB_ERRORS,
    JOB_FLOORS,
    JOB_SEGMENTS,
    JOBS,
    OUTAGES,
    UNWATCHED,
)

#: Jobs that are looked through at once.
_CHUNK = 500
#: What hangs on a job by its ``job_id`` and goes before it.
_PARTS = (JOB_ERRORS, JOB_SEGMENTS)

#: When a job ended; where nobody told, when it was last seen.
job_end = func.coalesce(JOBS.c.completed_at, JOBS.c.last_seen_at, JOBS.c.observed_at)


@dataclass(frozen=True, slots=True)
class ExpiredJob:
    """A job that may go."""

    id: str
    connector_id: str | None
    created_order: int
    system_id: str
    ended_at: datetime | None


async def expired_batches(store: Store, limits: RetentionLimits, batch_size: BatchSize) -> AsyncIterator[ExpiredBatch]:
    """All that is beyond ``limits``, oldest first. Each batch is to be removed before the next is asked for."""
    async for batch in events(store, limits, batch_size):
        yield batch
    if limits.jobs_per_connector:
        for connector_id in await _crowded(store, limits.jobs_per_connector):
            behind = Rule(partial(_behind, connector_id=connector_id, most=limits.jobs_per_connector))
            async for batch in _jobs(store, behind, batch_size):
                yield batch
    if limits.jobs_from is not None:
        async for batch in _jobs(store, Rule(partial(_aged, before=limits.jobs_from)), batch_size):
            yield batch
        async for batch in _connectors(store, limits.jobs_from, batch_size):
            yield batch
    for table in (OUTAGES, UNWATCHED):
        async for batch in intervals(store, table, limits, batch_size):
            yield batch
    async for batch in notices(store, limits, batch_size):
        yield batch


# ---- jobs

_EXPIRED_JOBS = select(JOBS.c.id, JOBS.c.connector_id, JOBS.c.created_order, JOBS.c.system_id, job_end)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which jobs may go. ``criterion`` reads what it rests on, and gives what is true of the rows of those that may."""

    criterion: Callable[[AsyncConnection], Awaitable[ColumnElement[bool]]]
    #: the newest job of each connector stays, and those that its fields rest on
    spares_needed: bool = True

    async def expired(self, connection: AsyncConnection, ids: Sequence[str]) -> list[ExpiredJob]:
        """Those of these jobs that may go as things are now."""
        statement = _EXPIRED_JOBS.where(JOBS.c.id.in_(ids), await self.criterion(connection))
        found = [ExpiredJob(*row) for row in await connection.execute(statement)]
        return await _without_needed(connection, found) if self.spares_needed else found


async def _crowded(store: Store, most: int) -> list[str]:
    """Connectors that have more than ``most`` ended jobs."""
    j = JOBS.c
    ended = and_(j.connector_id.is_not(None), j.is_open.is_(False))
    counts = select(j.connector_id).where(ended).group_by(j.connector_id).having(func.count() > most)
    async with store.read() as connection:
        return [row.connector_id for row in await connection.execute(counts)]


async def _behind(connection: AsyncConnection, connector_id: str, most: int) -> ColumnElement[bool]:
    """A connector's ended jobs behind the newest so many."""
    j = JOBS.c
    of = and_(j.connector_id == connector_id, j.is_open.is_(False))
    newest_first = select(j.created_order, j.id).where(of).order_by(j.created_order.desc(), j.id.desc())
    last = (await connection.execute(newest_first.offset(most - 1).limit(1))).first()
    if last is None:
        return false()
    older = j.created_order < last.created_order
    return and_(of, or_(older, and_(j.created_order == last.created_order, j.id < last.id)))


async def _aged(connection: AsyncConnection, before: datetime) -> ColumnElement[bool]:
    """Jobs that ended before then. Their order is mostly that of their ends, and a job cannot end before it began."""
    return and_(JOBS.c.is_open.is_(False), job_end < before, JOBS.c.created_order < _microseconds(before))


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


async def _without_needed(connection: AsyncConnection, expired: Sequence[ExpiredJob]) -> list[ExpiredJob]:
    """Leave out the newest job of each connector, and the jobs that what is said of the connector rests on."""
    connectors = sorted({each.connector_id for each in expired if each.connector_id is not None})
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
        for each in expired
        if each.id not in needed and (each.connector_id is None or each.created_order < order[each.connector_id])
    ]


async def _jobs(store: Store, rule: Rule, batch_size: BatchSize) -> AsyncIterator[ExpiredBatch]:
    """Batches of the jobs that may go by ``rule``, oldest first."""
    j = JOBS.c
    beyond: Any = true()
    while True:
        async with store.read() as connection:
            which = and_(await rule.criterion(connection), beyond)
            oldest = select(j.id, j.system_id, j.created_order).where(which).order_by(j.created_order, j.id)
            found = (await connection.execute(oldest.limit(_CHUNK))).all()
        for system_id in dict.fromkeys(row.system_id for row in found):
            ids = [row.id for row in found if row.system_id == system_id]
            async for batch in _batches_of(store, rule, system_id, ids, batch_size):
                yield batch
        if len(found) < _CHUNK:
            return
        last = found[-1]
        beyond = or_(j.created_order > last.created_order, and_(j.created_order == last.created_order, j.id > last.id))


async def _batches_of(
    store: Store, rule: Rule, system_id: str, ids: Sequence[str], batch_size: BatchSize
) -> AsyncIterator[ExpiredBatch]:
    """Batches of these jobs of one system: what hangs on them first, then they themselves."""
    while ids:
        some = ids[: batch_size("jobs")]
        async with store.read() as connection:
            expired = [each.id for each in await rule.expired(connection, some)]
            hanging = await _hanging(connection, expired, batch_size)
        if hanging is not None:
            table, keys = hanging
            yield ExpiredBatch(table.name, partial(_remove_hanging, rule=rule, table=table, keys=keys), system_id)
            continue
        if expired:
            yield ExpiredBatch("jobs", partial(_remove_jobs, rule=rule, ids=expired), system_id)
        ids = ids[len(some) :]


async def _hanging(
    connection: AsyncConnection, job_ids: Sequence[str], batch_size: BatchSize
) -> tuple[Any, list[Any]] | None:
    """A table with rows of these jobs, and the keys of some of those rows; None: nothing is left."""
    for table in _PARTS:
        key = list(table.primary_key.columns)
        statement = select(*key).where(table.c.job_id.in_(job_ids)).order_by(*key).limit(batch_size(table.name))
        if found := (await connection.execute(statement)).all():
            return table, list(found)
    return None


async def _remove_hanging(connection: AsyncConnection, rule: Rule, table: Any, keys: Sequence[Any]) -> int:
    expired = {each.id for each in await rule.expired(connection, sorted({key.job_id for key in keys}))}
    columns = list(table.primary_key.columns)
    gone = delete(table).where(*(column == bindparam(f"the_{column.name}") for column in columns))
    rows = [{f"the_{name}": value for name, value in key._mapping.items()} for key in keys if key.job_id in expired]
    if rows:
        await connection.execute(gone, rows)
    return len(rows)


async def _remove_jobs(connection: AsyncConnection, rule: Rule, ids: Sequence[str]) -> int:
    """A job of which something was found meanwhile waits for the next sweep, which takes that first."""
    bare = select(JOBS.c.id).where(JOBS.c.id.in_(ids), *(~exists().where(t.c.job_id == JOBS.c.id) for t in _PARTS))
    expired = await rule.expired(connection, (await connection.execute(bare)).scalars().all())
    if not expired:
        return 0
    gone = delete(JOBS).where(JOBS.c.id.in_([each.id for each in expired]), JOBS.c.is_open.is_(False))
    rows = (await connection.execute(gone)).rowcount
    await _raise_floors(connection, expired)
    return rows


async def _raise_floors(connection: AsyncConnection, jobs: Sequence[ExpiredJob]) -> None:
    floors: dict[str, dict[str, Any]] = {}
    for each in jobs:
        subject = each.connector_id or each.system_id  # a job without a connector is its system's
        floor = floors.setdefault(subject, {"created_order": each.created_order, "ended_at": None})
        floor["created_order"] = max(each.created_order, floor["created_order"])
        floor["ended_at"] = max(filter(None, (each.ended_at, floor["ended_at"])), default=None)
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(JOB_FLOORS)

    def greater(name: str) -> Any:
        new, old = insert.excluded[name], JOB_FLOORS.c[name]
        return case((new > old, new), else_=func.coalesce(old, new))

    raised = {name: greater(name) for name in ("created_order", "ended_at")}
    moved = insert.on_conflict_do_update(index_elements=["connector_id"], set_=raised)
    await connection.execute(moved, [{"connector_id": id, **floor} for id, floor in sorted(floors.items())])


# ---- connectors


async def _connectors(store: Store, before: datetime, batch_size: BatchSize) -> AsyncIterator[ExpiredBatch]:
    """Connectors that were found gone before then, with all their jobs. One that its upstream still names stays."""
    c, last = CONNECTORS.c, ""
    gone = and_(c.removed_at < before, c.observed_at.is_not(None))
    while True:
        statement = select(c.id, c.system_id).where(gone, c.id > last).order_by(c.id).limit(batch_size("connectors"))
        async with store.read() as connection:
            found = (await connection.execute(statement)).all()
        for system_id in dict.fromkeys(row.system_id for row in found):
            ids = [row.id for row in found if row.system_id == system_id]
            are_gone = and_(c.id.in_(ids), gone)
            async for batch in _jobs(store, Rule(partial(_theirs, gone=are_gone), spares_needed=False), batch_size):
                yield batch
            yield ExpiredBatch("connectors", partial(_remove_connectors, gone=are_gone), system_id)
        if not found:
            return
        last = found[-1].id


async def _theirs(connection: AsyncConnection, gone: ColumnElement[bool]) -> ColumnElement[bool]:
    """Ended jobs of connectors of which ``gone`` is true."""
    return and_(JOBS.c.connector_id.in_(select(CONNECTORS.c.id).where(gone)), JOBS.c.is_open.is_(False))


async def _remove_connectors(connection: AsyncConnection, gone: ColumnElement[bool]) -> int:
    """A connector that has been told a job meanwhile waits for the next sweep, which takes the job first."""
    c, j = CONNECTORS.c, JOBS.c
    has_jobs = exists().where(j.connector_id == c.id, j.is_open.is_(False))
    found = await connection.execute(select(c.id).where(gone, ~has_jobs).with_for_update())
    ids = [row.id for row in found]
    for table in (JOB_FLOORS, CONDITIONS):
        await connection.execute(delete(table).where(table.c.connector_id.in_(ids)))
    await connection.execute(delete(CONNECTORS).where(c.id.in_(ids)))
    return len(ids)


# ---- what was removed does not come back


async def job_floors(connection: AsyncConnection, subjects: Sequence[str]) -> Mapping[str, int]:
    """Per connector the place up to which its jobs have been removed, and per system of its jobs without a connector
    (global ids); absent where none has."""
    found: dict[str, int] = {}
    for some in batches(subjects):
        rows = await connection.execute(select(JOB_FLOORS).where(JOB_FLOORS.c.connector_id.in_(some)))
        found |= {row.connector_id: row.created_order for row in rows}
    return found
