"""What the engine writes: rows in batches, and the log. Every function runs within the caller's transaction."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String, Text, bindparam, cast, column, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import ENDED, SUCCEEDED, ConditionCode, JobErrorFact, JobType
from connectory.store.log.cursors import draw
from connectory.store.log.notify_channel import LOG_CHANNEL
from connectory.store.tables import CONDITIONS, CONNECTORS, EVENTS, JOB_ERRORS, JOBS, LOG_HEAD, SYSTEMS
from connectory.store.tables.columns import Name

#: Rows per statement.
BATCH = 500

Row = dict[str, Any]


def batches(items: Sequence[Any], size: int = BATCH) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def rows_by_id(connection: AsyncConnection, table: Any, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Whole rows, by their id."""
    found: dict[str, Mapping[str, Any]] = {}
    for some in batches(ids):
        for row in (await connection.execute(select(table).where(table.c.id.in_(some)))).mappings():
            found[row["id"]] = dict(row)
    return found


async def insert_rows(connection: AsyncConnection, table: Any, rows: Sequence[Row]) -> None:
    for some in batches(rows):
        await connection.execute(insert(table), list(some))


async def update_rows(connection: AsyncConnection, table: Any, rows: Sequence[Row]) -> None:
    """Each row carries its id and every column that it sets; all rows the same columns."""
    if rows:
        names = [name for name in rows[0] if name != "id"]
        statement = update(table).where(table.c.id == bindparam("row_id"))
        statement = statement.values({name: bindparam(f"new_{name}") for name in names})
        for some in batches(rows):
            parameters = [{"row_id": row["id"], **{f"new_{name}": row[name] for name in names}} for row in some]
            await connection.execute(statement, parameters)


async def append_events(connection: AsyncConnection, events: Sequence[Row]) -> int:
    """Append one row or more to the log and tell its new position; on PostgreSQL the commit tells it to the other
    gateways too.

    Called last in a transaction: from here to the commit other writers wait for the log's head.
    """
    told = [LOG_HEAD.c.position]
    if connection.dialect.name == "postgresql":
        told.append(func.pg_notify(LOG_CHANNEL, cast(LOG_HEAD.c.position, String)))
    mark = draw()
    move = update(LOG_HEAD).values(position=LOG_HEAD.c.position + len(events), mark=mark).returning(*told)
    position: int = (await connection.execute(move)).scalar_one()
    at = position - len(events)
    for some in batches(events):
        await insert_rows(
            connection, EVENTS, [{**event, "position": at + n, "mark": mark} for n, event in enumerate(some, 1)]
        )
        at += len(some)
    return position


async def update_system(connection: AsyncConnection, system_id: str, state: Mapping[str, Any]) -> None:
    """Write how a poll left a system."""
    await connection.execute(update(SYSTEMS).where(SYSTEMS.c.id == system_id).values(**state))


async def hold_system(connection: AsyncConnection, system_id: str) -> None:
    """Wait for whoever writes of a system, and let nobody else do so up to the commit, whoever polls it.

    Called first in a transaction.
    """
    await connection.execute(select(SYSTEMS.c.id).where(SYSTEMS.c.id == system_id).with_for_update())


async def newest_jobs(connection: AsyncConnection, connector_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per connector the rows of its newest content jobs: ``latest``, ``finished``, ``succeeded``, ``counted``; None
    where there is none. Access-control jobs move no content and are left out."""
    found: dict[str, dict[str, Any]] = {}
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


_PICKS = {
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


async def _job_heads(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    columns = [JOBS.c[name] for name in ("id", "status", "indexed", "completed_at", "docs_in_index")]
    found: dict[str, Mapping[str, Any]] = {}
    for some in batches(ids):
        for row in (await connection.execute(select(*columns).where(JOBS.c.id.in_(some)))).mappings():
            found[row["id"]] = dict(row)
    return found


async def placed_jobs(connection: AsyncConnection, system_id: str, first: int, last: int) -> Sequence[Any]:
    """(sequence, created_order) of a system's jobs numbered from ``first`` to ``last``, and of the next one on each
    side."""
    of = select(JOBS.c.sequence, JOBS.c.created_order).where(JOBS.c.system_id == system_id)
    between = of.where(JOBS.c.sequence.between(first, last))
    below = of.where(JOBS.c.sequence < first).order_by(JOBS.c.sequence.desc()).limit(1)
    above = of.where(JOBS.c.sequence > last).order_by(JOBS.c.sequence).limit(1)
    return [tuple(row) for some in (below, between, above) for row in await connection.execute(some)]


async def mark_unseen(connection: AsyncConnection, job_ids: Sequence[str], seen: datetime) -> None:
    """Jobs without a time of their own get ``seen``: the system's, which stood in for it, goes on without them."""
    for some in batches(job_ids):
        own = JOBS.c.observed_at.is_(None)
        await connection.execute(update(JOBS).where(JOBS.c.id.in_(some), own).values(observed_at=seen))


async def mark_history_read(connection: AsyncConnection, connector_ids: Sequence[str]) -> None:
    for some in batches(connector_ids):
        await connection.execute(update(CONNECTORS).where(CONNECTORS.c.id.in_(some)).values(history_read=True))


async def replace_job_errors(connection: AsyncConnection, errors: Mapping[str, Sequence[JobErrorFact]]) -> set[str]:
    """Make these the failed documents of these jobs (global ids). Returns the jobs for which that changed anything."""
    stored: dict[str, list[JobErrorFact]] = {}
    for some in batches(list(errors)):
        statement = select(JOB_ERRORS).where(JOB_ERRORS.c.job_id.in_(some)).order_by(JOB_ERRORS.c.position)
        for row in await connection.execute(statement):
            fact = JobErrorFact(row.message, row.document_id, row.url, row.at, row.is_resolved)
            stored.setdefault(row.job_id, []).append(fact)
    changed = {job for job, facts in errors.items() if list(facts) != stored.get(job, [])}
    for some in batches(sorted(changed)):
        await connection.execute(delete(JOB_ERRORS).where(JOB_ERRORS.c.job_id.in_(some)))
    rows = [
        {"job_id": job, "position": position, **asdict(fact)}
        for job in sorted(changed)
        for position, fact in enumerate(errors[job])
    ]
    await insert_rows(connection, JOB_ERRORS, rows)
    return changed


async def delete_conditions(connection: AsyncConnection, keys: Sequence[tuple[str, ConditionCode]]) -> None:
    """By subject and code."""
    c = CONDITIONS.c
    statement = delete(CONDITIONS).where(c.subject_id == bindparam("subject"), c.code == bindparam("which"))
    for some in batches(keys):
        await connection.execute(statement, [{"subject": subject, "which": code} for subject, code in some])


async def replace_conditions(connection: AsyncConnection, rows: Sequence[Row]) -> None:
    """Write these conditions, whether or not they were there."""
    await delete_conditions(connection, [(row["subject_id"], row["code"]) for row in rows])
    await insert_rows(connection, CONDITIONS, rows)


async def jobs_to_examine(connection: AsyncConnection, system_id: str, limit: int) -> Sequence[Any]:
    """(id, connector_id, fingerprint) of jobs that want the closer look, newest first."""
    j = JOBS.c
    due = select(j.id, j.connector_id, j.fingerprint).where(
        j.system_id == system_id, j.examine_due, j.connector_id.is_not(None)
    )
    return (await connection.execute(due.order_by(j.created_order.desc(), j.id).limit(limit))).all()
