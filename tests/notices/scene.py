"""One or more systems in a store whose facts and conditions the test writes, and a notifier at the test's own time."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from sqlalchemy import select

from connectory.engine.pace import after_failure
from connectory.engine.recording.events import connector_event
from connectory.model import ConditionCode, ConditionSeverity, Problem, SystemErrorCode
from connectory.notices.notifier import Notifier
from connectory.notices.settings import ReceiverSettings
from connectory.store import Store
from connectory.store.leases.rows import NOTICES_LEASE, Lease
from connectory.store.reads.rows import rows_by_id
from connectory.store.tables import CONNECTORS, DELIVERIES, NOTICES
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from connectory.store.writes.rows import append_events, delete_conditions, replace_conditions
from tests.engine.stage import PACE, Stage


class Scene(Stage):
    """As Stage; ``look`` lets the notifier look at the scene's present."""

    receivers: Sequence[ReceiverSettings] = ()

    def notifier(self) -> Notifier:
        lease = Lease(NOTICES_LEASE, 0)
        return Notifier(self.store, self.receivers, lease=lease, clock=lambda: self.now, chance=Random(5))

    async def fail(self, code: SystemErrorCode = SystemErrorCode.UNREACHABLE) -> None:
        """A poll that reads nothing."""
        self.seconds += 15
        problem = Problem(code, "Nobody answers.")
        after = after_failure(self.state, problem, started=self.now, now=self.now, pace=PACE, chance=Random(1))
        await self._commit().failure(self.state, after)
        self.state = after

    async def holds(
        self,
        code: ConditionCode,
        connector: str = "a",
        job: str | None = None,
        severity: ConditionSeverity = ConditionSeverity.WARNING,
        message: str = "So it is.",
        **evidence: Any,
    ) -> None:
        """As the engine writes a condition."""
        connector_id = global_id(CONNECTOR, self.name, connector)
        job_id = None if job is None else global_id(JOB, self.name, job)
        row = {
            "subject_id": job_id or connector_id,
            "code": code,
            "system_id": self.id,
            "connector_id": connector_id,
            "job_id": job_id,
            "severity": severity,
            "since": self.now,
            "message": message,
            "evidence": json.dumps(evidence),
        }
        async with self.store.write() as connection:
            await replace_conditions(connection, [row])
            await self._say(connection, connector_id)

    async def clears(self, code: ConditionCode, connector: str = "a", job: str | None = None) -> None:
        connector_id = global_id(CONNECTOR, self.name, connector)
        subject = connector_id if job is None else global_id(JOB, self.name, job)
        async with self.store.write() as connection:
            await delete_conditions(connection, [(subject, code)])
            await self._say(connection, connector_id)

    async def _say(self, connection: Any, connector_id: str) -> None:
        row = dict((await rows_by_id(connection, CONNECTORS, [connector_id]))[connector_id])
        event = connector_event(row, row, self.now, conditions_changed=True)
        assert event is not None
        await append_events(connection, [event])


async def table(store: Store, of: Any, order: Any) -> list[dict[str, Any]]:
    async with store.read() as connection:
        return [dict(row) for row in (await connection.execute(select(of).order_by(order))).mappings()]


async def notices(store: Store) -> list[dict[str, Any]]:
    """Those that were raised, oldest first."""
    return [row for row in await table(store, NOTICES, NOTICES.c.raised_at) if row["raised_at"] is not None]


async def deliveries(store: Store) -> list[dict[str, Any]]:
    return await table(store, DELIVERIES, DELIVERIES.c.sequence)


async def told(store: Store) -> list[tuple[str, str]]:
    """Receiver and phase of each delivery, in order."""
    return [(row["receiver"], row["phase"].name) for row in await deliveries(store)]
