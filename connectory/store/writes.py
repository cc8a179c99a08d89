"""What the engine writes: rows in batches, and the log. Every function runs within the caller's transaction."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, column, insert, select, update, values
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import ENDED, SUCCEEDED, JobType
from connectory.store.columns import Name
from connectory.store.tables import CONNECTORS, EVENTS, JOBS, LOG_HEAD, SYSTEMS

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
    """Append to the log and tell its new position.

    Called last in a transaction: from here to the commit other writers wait for the log's head.
    """
    move = update(LOG_HEAD).values(position=LOG_HEAD.c.position + len(events)).returning(LOG_HEAD.c.position)
    position: int = (await connection.execute(move)).scalar_one()
    first = position - len(events) + 1
    await insert_rows(connection, EVENTS, [{"position": first + n, **event} for n, event in enumerate(events)])
    return position


async def update_system(
    connection: AsyncConnection, system_id: str, state: Mapping[str, Any], *, last_poll_at: datetime | None
) -> bool:
    """Write how a poll left a system. False, and nothing written, when its last poll is another than ``last_poll_at``.

    Called first in a transaction: the row lock keeps two writers of one system apart.
    """
    same = SYSTEMS.c.last_poll_at.is_not_distinct_from(last_poll_at)
    written = await connection.execute(update(SYSTEMS).where(SYSTEMS.c.id == system_id, same).values(**state))
    return bool(written.rowcount)


async def newest_jobs(connection: AsyncConnection, connector_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per connector the rows of its newest content jobs: ``latest``, ``finished``, ``succeeded``, ``counted``; None
    where there is none. Access-control jobs move no content and are left out."""
    found: dict[str, dict[str, Any]] = {}
    for some in batches(connector_ids):
        asked = values(column("id", Name), name="asked").data([(id,) for id in some]).cte("asked_for")
        picks = {
            "latest": None,
            "finished": _is_ended(),
            "succeeded": JOBS.c.status.in_(list(SUCCEEDED)),
            "counted": JOBS.c.docs_in_index.is_not(None),
        }
        chosen = [_newest(asked.c.id, criterion).label(name) for name, criterion in picks.items()]
        picked = (await connection.execute(select(asked.c.id, *chosen))).mappings().all()
        ids = {row[name] for row in picked for name in picks if row[name] is not None}
        jobs = await _job_heads(connection, list(ids))
        for row in picked:
            found[row["id"]] = {name: jobs.get(row[name]) for name in picks}
    return found


def _is_ended() -> Any:
    return JOBS.c.status.in_(list(ENDED)) | JOBS.c.completed_at.is_not(None)


def _newest(connector_id: Any, criterion: Any) -> Any:
    of = (JOBS.c.connector_id == connector_id, JOBS.c.type != JobType.ACCESS_CONTROL)
    criteria = of if criterion is None else (*of, criterion)
    newest = select(JOBS.c.id).where(*criteria).order_by(JOBS.c.created_order.desc(), JOBS.c.id).limit(1)
    return newest.scalar_subquery()


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


async def mark_history_read(connection: AsyncConnection, connector_ids: Sequence[str]) -> None:
    for some in batches(connector_ids):
        await connection.execute(update(CONNECTORS).where(CONNECTORS.c.id.in_(some)).values(history_read=True))
