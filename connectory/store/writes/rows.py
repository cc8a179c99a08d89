"""What the engine writes: rows in batches, and the log. Every function runs within the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import String, bindparam, cast, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import ConditionCode, JobErrorFact
from connectory.store.log.cursors import draw
from connectory.store.log.notify_channel import LOG_CHANNEL
from connectory.store.rows import Row, batches
from connectory.store.tables import CONDITIONS, CONNECTORS, EVENTS, JOB_ERRORS, JOB_SEGMENTS, JOBS, LOG_HEAD, SYSTEMS


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
    returned = [LOG_HEAD.c.position]
    if connection.dialect.name == "postgresql":
        returned.append(func.pg_notify(LOG_CHANNEL, cast(LOG_HEAD.c.position, String)))
    mark = draw()
    move = update(LOG_HEAD).values(position=LOG_HEAD.c.position + len(events), mark=mark).returning(*returned)
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


async def write_segments(connection: AsyncConnection, rows: Sequence[Row], most: int) -> None:
    """Add what jobs had done before they were resumed; of each job the newest ``most`` are kept."""
    s = JOB_SEGMENTS.c
    await insert_rows(connection, JOB_SEGMENTS, rows)
    for row in rows:
        if row["number"] > most:
            beyond = delete(JOB_SEGMENTS).where(s.job_id == row["job_id"], s.number <= row["number"] - most)
            await connection.execute(beyond)
