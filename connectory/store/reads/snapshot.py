"""One snapshot of the store: everything that one operation reads."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Executable, Result, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.lanes import Lane
from connectory.model import ConditionCode, ConditionSeverity
from connectory.model.fields import COUNTER_FIELDS
from connectory.store.database import Store
from connectory.store.log.cursors import NO_STORE, Place
from connectory.store.reads.records import (
    DOWN,
    ConditionRecord,
    ConnectorRecord,
    JobRecord,
    SystemRecord,
    columns,
)
from connectory.store.tables import CONNECTORS, JOBS, LOG_ENDS, LOG_HEAD, LOG_START, SYSTEMS
from connectory.store.transactions import shielded

_SYSTEM_COLUMNS = columns(SYSTEMS, SystemRecord, "error_at")
CONNECTOR_COLUMNS = columns(CONNECTORS, ConnectorRecord, "observed_at")
JOB_COLUMNS = [*columns(JOBS, JobRecord, "observed_at"), *(JOBS.c[counter.name] for counter in COUNTER_FIELDS)]
#: Rows that are read without a pause.
_AT_ONCE = 500
_LOG_COLUMNS = [LOG_START.c.store, *(table.c[name] for table in (LOG_START, LOG_HEAD) for name in ("position", "mark"))]
#: Seconds until a statement that was told to end is told so again, as it may not have begun: the first and the longest.
_AGAIN, _LONGEST_AGAIN = 0.02, 1.0
#: Where the row's own time stands, for which the system's may stand in.
_CONNECTOR_SEEN = CONNECTOR_COLUMNS.index(CONNECTORS.c.observed_at)
_JOB_SEEN = JOB_COLUMNS.index(JOBS.c.observed_at)
#: From there on what an order may add.
_JOB_END = len(JOB_COLUMNS)


class Snapshot:
    """Reads within one read-only transaction, at one moment ``now``. Fields of one operation may ask at once.

    ``interrupt`` ends the statement that is under way on the connection.
    """

    def __init__(self, connection: AsyncConnection, now: datetime, interrupt: Callable[[], Awaitable[None]]) -> None:
        self._connection = connection
        self._interrupt = interrupt
        self._turn = asyncio.Lock()
        self.now = now
        #: the store's id
        self.store = NO_STORE
        #: of the change log, as this snapshot shows it: the newest row that is no longer kept, and the newest of all
        self.start = self.end = Place(0, None, NO_STORE)
        #: configured systems by id, in the order of their names
        self.systems: dict[str, SystemRecord] = {}
        #: SQL statements sent, for tests and metrics
        self.statements = 0
        self._is_closed = False
        #: who has sent the last statement
        self._reading: asyncio.Task[Any] | None = None

    @property
    def position(self) -> int:
        """The position of the change log that this snapshot shows."""
        return self.end.position

    async def fetch(self, statement: Executable) -> Sequence[Any]:
        """The rows. Whoever gives up waiting for a statement does not end it, as others may read here too; ``close``
        does, by the database's own means: a driver that is cut short spoils the connection for who is given it next."""
        fetching = asyncio.ensure_future(self._fetch(statement))
        # who has given up asks for no reason
        fetching.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(fetching)

    async def _fetch(self, statement: Executable) -> Sequence[Any]:
        async with self._turn:
            self._check_open()
            self._reading = asyncio.current_task()
            self.statements += 1
            result = await self._execute(statement)
            rows = list(result.fetchmany(_AT_ONCE))
            while some := result.fetchmany(_AT_ONCE):
                rows += some
                await asyncio.sleep(0)  # reading a row takes its time: others go on in between
                self._check_open()
            return rows

    async def _execute(self, statement: Executable) -> Result[Any]:
        try:
            return await self._connection.execute(statement)
        except DBAPIError:
            self._check_open()  # one that we have ended ourselves has no failure to tell
            raise

    def _check_open(self) -> None:
        """Raises CancelledError once the operation is over."""
        if self._is_closed:
            raise asyncio.CancelledError

    async def close(self) -> None:
        """End the statement under way and let no other begin, not even those that wait for their turn: the connection
        is about to be given back."""
        self._is_closed = True
        if self._reading is None or self._reading.done():
            return
        again = _AGAIN
        while not self._reading.done():
            await self._interrupt()
            await asyncio.wait([self._reading], timeout=again)
            again = min(2 * again, _LONGEST_AGAIN)
        await self._make_sure()

    async def _make_sure(self) -> None:
        """Throw the connection away unless it answers: a driver whose BEGIN was interrupted has lost count."""
        try:
            await self._connection.rollback()
            await self._connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError):
            await self._connection.invalidate()

    async def load(self) -> None:
        """Read the log's two ends and the systems: on both stores the snapshot is taken by this statement."""
        configured = SYSTEMS.c.configured.is_(True)
        rows = await self.fetch(
            select(*_LOG_COLUMNS, *_SYSTEM_COLUMNS)
            .select_from(LOG_ENDS.outerjoin(SYSTEMS, configured))
            .order_by(SYSTEMS.c.name)
        )
        width = len(_LOG_COLUMNS)
        self.store, start, start_mark, end, end_mark = rows[0][:width]
        self.start = Place(start, start_mark, self.store)
        self.end = Place(end, end_mark, self.store)
        systems = (row[width:] for row in rows)
        self.systems = {row[0]: SystemRecord(*row) for row in systems if row[0] is not None}

    def connector(self, row: Any) -> ConnectorRecord:
        """A record from CONNECTOR_COLUMNS; its system must be a configured one."""
        values: Any = row[:_CONNECTOR_SEEN]
        system = self.systems[values[1]]
        observed_at = row[_CONNECTOR_SEEN] or system.observed_at or self.now
        stale_from = system.fresh_until(observed_at)
        is_stale = self.now > stale_from
        conditions = _conditions(system, observed_at, stale_from, is_stale) if is_stale or system.health in DOWN else []
        return ConnectorRecord(*(*values, observed_at, system, is_stale, conditions))

    def job(self, row: Any) -> JobRecord:
        """A record from JOB_COLUMNS; its system must be a configured one."""
        values: Any = row[:_JOB_SEEN]
        system = self.systems[values[1]]
        observed_at = row[_JOB_SEEN] or system.observed_at or self.now
        counters = row[_JOB_SEEN + 1 : _JOB_END]
        return JobRecord(*(*values, observed_at, counters, system, self.now))


def _conditions(
    system: SystemRecord, observed_at: datetime, stale_from: datetime, is_stale: bool
) -> list[ConditionRecord]:
    """The two conditions that follow from the system and the clock alone; they are joined here, never stored."""
    found = []
    if is_stale:
        found.append(
            ConditionRecord(
                ConditionCode.STALE,
                ConditionSeverity.WARNING,
                f"Last seen more than {system.stale_after:g} seconds ago.",
                stale_from,
                {"observedAt": observed_at.isoformat(), "staleAfterSeconds": system.stale_after},
            )
        )
    if system.health in DOWN:
        code = system.error_code.name if system.error_code else None
        found.append(
            ConditionRecord(
                ConditionCode.SYSTEM_DOWN,
                ConditionSeverity.CRITICAL,
                f"{system.name} does not answer: {system.error_message or 'no reason known'}",
                system.down_since or observed_at,
                {"system": system.name, "health": system.health.name, "errorCode": code},
            )
        )
    return found


@asynccontextmanager
async def open_snapshot(
    store: Store, now: datetime, lane: Lane = Lane.HOUSE, *, patience: float = math.inf
) -> AsyncIterator[Snapshot]:
    """``lane`` and ``patience`` are as of ``Store.read``."""
    async with store.read(lane, patience=patience) as connection:
        snapshot = Snapshot(connection, now, partial(store.interrupt, connection))
        try:
            await snapshot.load()
            yield snapshot
        finally:
            await shielded(snapshot.close())
