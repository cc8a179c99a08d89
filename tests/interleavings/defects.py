"""Defects that the product once had, as patches that put them back: a walk that misses them proves nothing."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import and_, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.polling import system_session as session
from connectory.engine.recording.commit import Commit
from connectory.store import Store
from connectory.store.retention import removal as retention
from connectory.store.retention.batches import BatchSize, ExpiredBatch
from connectory.store.tables import CONDITIONS, CONNECTORS, JOB_FLOORS, JOBS

Defect = Callable[[pytest.MonkeyPatch], None]

# ---- answers beside the polls are stored whoever polls by then


class _Unguarded(Commit):
    def __init__(self, store: Store, *given: Any, **named: Any) -> None:
        super().__init__(store, *given, **named)
        self._write = store.write

    async def look(self, *given: Any) -> int | None:
        self._begin = self._write
        return await super().look(*given)

    async def findings(self, *given: Any) -> int | None:
        self._begin = self._write
        return await super().findings(*given)

    async def history(self, *given: Any) -> int | None:
        self._begin = self._write
        return await super().history(*given)


def store_late_answers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "Commit", _Unguarded)


# ---- retention asks once which connectors are removed, and takes all that is theirs


async def _connectors(store: Store, before: datetime, stride: BatchSize) -> AsyncIterator[ExpiredBatch]:
    c = CONNECTORS.c
    gone = and_(c.removed_at < before, c.observed_at.is_not(None))
    async with store.read() as connection:
        found = (await connection.execute(select(c.id, c.system_id).where(gone))).all()
    for system_id in sorted({row.system_id for row in found}):
        ids = [row.id for row in found if row.system_id == system_id]
        theirs = and_(JOBS.c.connector_id.in_(ids), JOBS.c.is_open.is_(False))

        async def criterion(_: AsyncConnection, theirs: Any = theirs) -> Any:
            return theirs

        async for portion in retention._jobs(store, retention.Rule(criterion, spares_needed=False), stride):
            yield portion
        yield ExpiredBatch("connectors", partial(_remove, ids=ids, gone=gone), system_id)


async def _remove(connection: AsyncConnection, ids: Sequence[str], gone: Any) -> int:
    for table in (JOB_FLOORS, CONDITIONS):
        await connection.execute(delete(table).where(table.c.connector_id.in_(ids)))
    rows: int = (await connection.execute(delete(CONNECTORS).where(CONNECTORS.c.id.in_(ids), gone))).rowcount
    return rows


def ask_once_what_is_removed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(retention, "_connectors", _connectors)
