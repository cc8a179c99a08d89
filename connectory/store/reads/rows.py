"""Rows of connectors and jobs as the engine and retention compare with them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict

from sqlalchemy import JSON, Text, bindparam, cast, column, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import ENDED, SUCCEEDED, JobStatus, JobType
from connectory.store.rows import Row, batches
from connectory.store.tables import JOB_SEGMENTS, JOBS
from connectory.store.tables.columns import Name


class JobHead(TypedDict):
    """What a connector's row takes from one of its jobs."""

    id: str
    status: JobStatus
    indexed: int | None
    completed_at: datetime | None
    docs_in_index: int | None


#: A connector's newest content job, and its newest that has ended, succeeded, counted what the index holds.
Pick = Literal["latest", "finished", "succeeded", "counted"]
#: None where there is none.
NewestJobs = Mapping[Pick, JobHead | None]


async def rows_by_id(connection: AsyncConnection, table: Any, ids: Sequence[str]) -> dict[str, Row]:
    """Whole rows, by their id."""
    found: dict[str, Row] = {}
    for some in batches(ids):
        for row in (await connection.execute(select(table).where(table.c.id.in_(some)))).mappings():
            found[row["id"]] = dict(row)
    return found


async def newest_jobs(connection: AsyncConnection, connector_ids: Sequence[str]) -> dict[str, NewestJobs]:
    """Per connector, of global ids. Access-control jobs move no content and are left out."""
    found: dict[str, NewestJobs] = {}
    statement = _NEWEST[connection.dialect.name]
    for some in batches(connector_ids):
        picked = (await connection.execute(statement, {"asked": json.dumps(list(some))})).mappings().all()
        ids = {row[name] for row in picked for name in _PICKS if row[name] is not None}
        jobs = await _job_heads(connection, list(ids))
        for row in picked:
            found[row["id"]] = {name: jobs.get(row[name]) for name in _PICKS}
    return found


def _is_ended() -> Any:
    return JOBS.c.status.in_(list(ENDED)) | JOBS.c.completed_at.is_not(None)


def _newest(connector_id: Any, criterion: Any) -> Any:
    """The id of a connector's newest content job among those that ``criterion`` lets through."""
    of = (JOBS.c.connector_id == connector_id, JOBS.c.type != JobType.ACCESS_CONTROL)
    criteria = of if criterion is None else (*of, criterion)
    newest = select(JOBS.c.id).where(*criteria).order_by(JOBS.c.created_order.desc(), JOBS.c.id).limit(1)
    return newest.correlate_except(JOBS).scalar_subquery()


def newest_ended(connector_id: Any) -> Any:
    """The id, as a subquery, of the newest content job that has ended of the connector with this id."""
    return _newest(connector_id, _is_ended())


_PICKS: dict[Pick, Any] = {
    "latest": None,
    "finished": _is_ended(),
    "succeeded": JOBS.c.status.in_(list(SUCCEEDED)),
    "counted": JOBS.c.docs_in_index.is_not(None),
}


def _newest_of(asked: Any) -> Any:
    chosen = [_newest(asked.c.value, criterion).label(name) for name, criterion in _PICKS.items()]
    return select(asked.c.value.label("id"), *chosen)


# ids as one JSON text: a list of parameters would be a statement of its own, compiled anew, for each length
_ASKED = bindparam("asked", type_=Text)
_VALUE = column("value", Name)
_NEWEST = {
    "sqlite": _newest_of(func.json_each(_ASKED).table_valued(_VALUE)),
    "postgresql": _newest_of(func.json_array_elements_text(cast(_ASKED, JSON)).table_valued(_VALUE)),
}


async def _job_heads(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, JobHead]:
    columns = [JOBS.c[name] for name in JobHead.__annotations__]
    found: dict[str, JobHead] = {}
    for some in batches(ids):
        for row in (await connection.execute(select(*columns).where(JOBS.c.id.in_(some)))).mappings():
            found[row["id"]] = JobHead(**row)  # type: ignore[typeddict-item]
    return found


async def placed_jobs(connection: AsyncConnection, system_id: str, first: int, last: int) -> Sequence[Any]:
    """(sequence, created_order) of a system's jobs numbered from ``first`` to ``last``, and of the next one on each
    side."""
    of = select(JOBS.c.sequence, JOBS.c.created_order).where(JOBS.c.system_id == system_id)
    between = of.where(JOBS.c.sequence.between(first, last))
    below = of.where(JOBS.c.sequence < first).order_by(JOBS.c.sequence.desc()).limit(1)
    above = of.where(JOBS.c.sequence > last).order_by(JOBS.c.sequence).limit(1)
    return [tuple(row) for some in (below, between, above) for row in await connection.execute(some)]


async def jobs_to_examine(connection: AsyncConnection, system_id: str, limit: int) -> Sequence[Any]:
    """(id, connector_id, fingerprint) of jobs that want the closer look, newest first."""
    j = JOBS.c
    due = select(j.id, j.connector_id, j.fingerprint).where(
        j.system_id == system_id, j.examine_due, j.connector_id.is_not(None)
    )
    return (await connection.execute(due.order_by(j.created_order.desc(), j.id).limit(limit))).all()


async def newest_segments(connection: AsyncConnection, job_ids: Sequence[str]) -> dict[str, Row]:
    """By job the row of the newest time before it was resumed; absent where it never was."""
    s = JOB_SEGMENTS.c
    found: dict[str, Row] = {}
    for some in batches(job_ids):
        last = select(s.job_id, func.max(s.number).label("number")).where(s.job_id.in_(some)).group_by(s.job_id)
        newest = last.subquery()
        rows = select(JOB_SEGMENTS).join(newest, (s.job_id == newest.c.job_id) & (s.number == newest.c.number))
        found |= {row["job_id"]: dict(row) for row in (await connection.execute(rows)).mappings()}
    return found
