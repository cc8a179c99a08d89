"""Retention: a task that removes what is beyond its limits, a few rows at a time, so that no poll waits for it long."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from time import perf_counter

from connectory.config.settings import RetentionSettings
from connectory.store import Store
from connectory.store.leases.rows import RETENTION_LEASE
from connectory.store.retention.batches import ExpiredBatch, RetentionLimits
from connectory.store.retention.removal import expired_batches
from connectory.store.transactions import shielded
from connectory.store.writes.rows import hold_system

_log = logging.getLogger(__name__)
#: Seconds between sweeps.
INTERVAL = 60.0
#: Rows that one transaction removes: the first time, at least, at most.
FIRST, LEAST, MOST = 50, 10, 1_000
#: Seconds that a transaction should take: whoever else writes waits for it.
_HELD = 0.006
#: Seconds between two transactions: this many times what the last one took, and no less than that.
_REST, _SHORTEST_REST = 4, 0.01


class BatchSizes:
    """Per table, how many rows a transaction removes: as many as fit into a few milliseconds, learned as it goes."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def __call__(self, table: str) -> int:
        return self._rows.get(table, FIRST)

    def learn(self, table: str, rows: int, held: float) -> None:
        """``rows`` were removed in a transaction of ``held`` seconds. It grows by half at most: an empty lock says
        little, and the next rows may lie less well."""
        fitting = int(rows * _HELD / max(held, 1e-6))
        self._rows[table] = max(LEAST, min(MOST, fitting, self(table) * 3 // 2))


class Retention:
    """Sweeps the store for as long as it runs; of several gateways over one store, one does.

    ``clock`` tells the time (UTC-aware), ``timer`` seconds, for measuring.
    """

    def __init__(
        self,
        store: Store,
        settings: RetentionSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        self._store, self._settings, self._clock, self._timer = store, settings, clock, timer
        self.batch_sizes = BatchSizes()

    async def run(self) -> None:
        """Sweep for ever. A store that fails is logged once and tried again."""
        fails = False
        while True:
            try:
                if await self._store.leases.hold(RETENTION_LEASE) is not None:
                    await self.sweep()
            except Exception as error:
                if not fails:
                    _log.warning(f"what is too old cannot be removed: {error}", extra={"action": "retention_failed"})
                fails = True
            else:
                fails = False
            await asyncio.sleep(INTERVAL)

    async def sweep(self) -> Mapping[str, int]:
        """Remove everything that is beyond its limits now. Returns the rows that were removed, per table."""
        removed: Counter[str] = Counter()
        async for batch in expired_batches(self._store, self._limits(), self.batch_sizes):
            rows, held = await shielded(self._remove(batch))
            if rows:
                removed[batch.table] += rows
                self.batch_sizes.learn(batch.table, rows, held)
            await self._store.checkpoint()
            await asyncio.sleep(max(_SHORTEST_REST, _REST * held))
        if removed:
            summary = ", ".join(f"{rows} {table}" for table, rows in sorted(removed.items()))
            _log.info(f"removed what is beyond its limits: {summary}", extra={"action": "retention_swept", **removed})
        return removed

    async def _remove(self, batch: ExpiredBatch) -> tuple[int, float]:
        """Returns the rows that went, and the seconds for which others could not write."""
        async with self._store.write() as connection:
            if batch.system_id is not None:
                await hold_system(connection, batch.system_id)
            begun = self._timer()
            rows = await batch.remove(connection)
        return rows, self._timer() - begun

    def _limits(self) -> RetentionLimits:
        settings, now = self._settings, self._clock()

        def since(days: float) -> datetime | None:
            return now - timedelta(days=days) if days else None

        return RetentionLimits(
            events_from=since(settings.events_days),
            events=settings.events,
            jobs_from=since(settings.jobs_days),
            jobs_per_connector=settings.jobs_per_connector,
            outages_per_system=settings.outages_per_system,
            notices=settings.notices,
        )
