"""What a job had done before its upstream resumed it: kept when the upstream counts anew in the same job.

A suspended Elastic job goes on under its id with a new start, and its worker counts from zero (elastic.md §7).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.polling.pace import SystemState
from connectory.engine.recording.changes import Row
from connectory.model import CountsFact, JobType
from connectory.slices import slices
from connectory.store.rows import batches
from connectory.store.tables import JOB_STRETCHES
from connectory.store.writes.rows import insert_rows

#: Segments of one job that are kept, the newest ones.
MOST = 100
#: Count → the jobs table's column of it.
_COUNTS = {f.name: "counted_total" if f.name == "total" else f.name for f in fields(CountsFact)}

Change = tuple[Mapping[str, Any], Mapping[str, Any]]


def was_resumed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a job began again between two rows: its start moved forward, or its progress fell to less than half.

    Streams do not count: what they have processed is a difference of two counters that are not read at once.
    """
    return _began_again(before, after) or _counts_anew(before, after)


def _began_again(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    earlier, later = before["started_at"], after["started_at"]
    return earlier is not None and later is not None and later > earlier


def _counts_anew(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    if before["type"] is JobType.STREAM or before["processed"] is None or after["processed"] is None:
        return False
    return bool(2 * after["processed"] < before["processed"])


async def keep_segments(connection: AsyncConnection, changes: Sequence[Change], state: SystemState) -> None:
    """Keep what the jobs among ``changes`` (rows before and after) had done before they were resumed.

    ``state``: the system's, before this poll; its time stands in where a job's own last sign of life is not known.
    """
    resumed = [change async for some in slices(changes) for change in some if was_resumed(*change)]
    if not resumed:
        return
    newest = await _newest(connection, [before["id"] for before, _ in resumed])
    rows = []
    for before, after in resumed:
        kept = newest.get(before["id"])
        if not _is_kept(kept, before, after):
            rows.append(_segment(before, 1 if kept is None else kept["number"] + 1, state))
    await insert_rows(connection, JOB_STRETCHES, rows)
    for row in rows:
        if row["number"] > MOST:
            beyond = JOB_STRETCHES.c.number <= row["number"] - MOST
            await connection.execute(delete(JOB_STRETCHES).where(JOB_STRETCHES.c.job_id == row["job_id"], beyond))


def _is_kept(kept: Mapping[str, Any] | None, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """A new start and new counts may come one poll apart; together they are one resumption."""
    if kept is None:
        return False
    if _began_again(before, after):
        return bool(kept["started_at"] == before["started_at"])
    return bool(kept["processed"] == before["processed"] and kept["started_at"] != before["started_at"])


def _segment(before: Mapping[str, Any], number: int, state: SystemState) -> Row:
    counts = {name: before[column] for name, column in _COUNTS.items()}
    return {
        "job_id": before["id"],
        "number": number,
        "started_at": before["started_at"],
        "ended_at": before["last_seen_at"] or before["observed_at"] or state.observed_at,
        "processed": before["processed"],
        "counts": json.dumps({name: count for name, count in counts.items() if count is not None}),
    }


async def _newest(connection: AsyncConnection, job_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    s = JOB_STRETCHES.c
    found: dict[str, Mapping[str, Any]] = {}
    for some in batches(job_ids):
        last = select(s.job_id, func.max(s.number).label("number")).where(s.job_id.in_(some)).group_by(s.job_id)
        newest = last.subquery()
        rows = select(JOB_STRETCHES).join(newest, (s.job_id == newest.c.job_id) & (s.number == newest.c.number))
        found |= {row["job_id"]: row for row in (await connection.execute(rows)).mappings()}
    return found
