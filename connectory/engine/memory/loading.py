"""What the engine knows of a system before it asks: read back from the store."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.polling.pace import SystemState
from connectory.model import RUNNING, Known, KnownConnector
from connectory.slices import slices
from connectory.store.tables import CONNECTORS, JOBS, SYSTEMS
from connectory.store.tables.identity import external_id

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def recall(connection: AsyncConnection, system_id: str) -> tuple[Known, SystemState]:
    """The memory of earlier polls, whichever process made them."""
    return await _known(connection, system_id), await _state(connection, system_id)


async def _known(connection: AsyncConnection, system_id: str) -> Known:
    c, j = CONNECTORS.c, JOBS.c
    columns = (
        c.id,
        c.fingerprint,
        c.latest_job_id,
        c.history_read,
        c.missed_polls,
        c.observed_at,
        c.removed_at,
    )
    known = Known()
    async for some in slices(await connection.execute(select(*columns).where(c.system_id == system_id))):
        for row in some:
            known.connectors[external_id(row.id)] = KnownConnector(
                fingerprint=row.fingerprint,
                latest_job=None if row.latest_job_id is None else external_id(row.latest_job_id),
                history_read=row.history_read,
                missed_polls=row.missed_polls,
                is_missing=row.observed_at is not None,
                is_removed=row.removed_at is not None,
            )
    open_jobs = select(j.id, j.connector_id, j.status).where(j.system_id == system_id, j.is_open)
    async for jobs in slices(await connection.execute(open_jobs)):
        for job, connector_id, status in jobs:
            known.open_jobs[external_id(job)] = None if connector_id is None else external_id(connector_id)
            if status in RUNNING:
                known.running_jobs.add(external_id(job))
    newest = (await connection.execute(select(func.max(j.created_order)).where(j.system_id == system_id))).scalar()
    known.newest_job_at = None if newest is None else _EPOCH + timedelta(microseconds=newest)
    return known


async def _state(connection: AsyncConnection, system_id: str) -> SystemState:
    names = SystemState.__dataclass_fields__
    row: Any = (
        await connection.execute(select(*(SYSTEMS.c[name] for name in names)).where(SYSTEMS.c.id == system_id))
    ).one()
    return SystemState(**row._mapping)
