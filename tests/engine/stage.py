"""One system whose answers are committed as the poller does it, at the times that the test tells."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.memory.known import recall
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.pace import Pace, SystemState, after_answer
from connectory.engine.recording.commit import Commit
from connectory.engine.recording.conditions import Judgeable, Judgement
from connectory.model import ConnectorFact, EventKind, HistoryBatch, JobFact, Known, Observation, Problem
from connectory.store import Store
from connectory.store.leases.rows import Lease, lease_of
from connectory.store.tables import CONDITIONS, CONNECTORS, EVENTS, JOBS, SYSTEMS
from connectory.store.tables.identity import CONNECTOR, JOB, SYSTEM, global_id
from connectory.store.writes.registration import Registration, register_systems
from sources.base import ROLLED_UP
from tests.facts import at, configured

PACE = Pace(15.0, 60.0, 300.0)


class Stage:
    """Use ``await Stage.open(store)``. Seconds are counted from tests.facts.T0; every poll comes 15 seconds later."""

    def __init__(self, store: Store, name: str, rolls_up: frozenset[str]) -> None:
        self.store, self.name, self.rolls_up = store, name, rolls_up
        self.id = global_id(SYSTEM, name)
        #: nobody has taken it
        self.lease = Lease(lease_of(name), 0)
        self.known = Known()
        self.state = SystemState()
        self.memory = SystemMemory()
        self.seconds = 0.0
        #: connectors that the last poll told enough of
        self.judgeable = Judgeable(Observation(connectors=[]), self.known, by_poll=True)

    @classmethod
    async def open(cls, store: Store, name: str = "scripted", rolls_up: frozenset[str] = ROLLED_UP) -> "Stage":
        stage = cls(store, name, rolls_up)
        await register_systems(store, [Registration(name, "scripted", (), 90.0)])
        await stage.restart()
        return stage

    async def take_over(self) -> None:
        """As another process does that takes the lease."""
        async with self.store.write() as connection:
            raised = update(SYSTEMS).where(SYSTEMS.c.id == self.id).values(fence=SYSTEMS.c.fence + 1)
            fence = (await connection.execute(raised.returning(SYSTEMS.c.fence))).scalar_one()
        self.lease = Lease(self.lease.name, fence)

    async def restart(self) -> None:
        """Forget everything and read it back."""
        async with self.store.read() as connection:
            self.known, self.state = await recall(connection, self.id)
            self.memory = SystemMemory()
            await self.memory.recall(connection, self.id, self.now)

    @property
    def now(self) -> datetime:
        return at(self.seconds)

    async def poll(
        self,
        connectors: Sequence[ConnectorFact],
        jobs: Sequence[JobFact] = (),
        *,
        complete: bool = True,
        owed: Iterable[str] = (),
        gone: Iterable[str] = (),
        canceled: Iterable[str] = (),
        problems: Sequence[Problem] = (),
    ) -> int | None:
        self.seconds += 15
        observation = Observation(
            connectors=connectors,
            jobs=jobs,
            complete=complete,
            owed=frozenset(owed),
            gone_jobs=frozenset(gone),
            canceled_jobs=frozenset(canceled),
            problems=problems,
        )
        after = after_answer(self.state, problems, complete=complete, started=self.now, now=self.now, pace=PACE)
        position = await self._commit().poll(observation, self.state, after)
        self.state = after
        self.judgeable = Judgeable(observation, self.known, by_poll=True)
        return position

    async def judge(self, *, kind: dict[str, Any] | None = None, **thresholds: float) -> int | None:
        """Judge what the last poll told, as a system of that kind (fields of SourceKind)."""
        system = configured(None, self.name)
        system = replace(system, kind=replace(system.kind, **(kind or {})), thresholds=Thresholds(**thresholds))
        return await Judgement(self.store, system, self.memory, self.now, lease=self.lease).run(self.judgeable)

    async def conditions(self, id: str | None = None) -> dict[str, Any]:
        """Rows of the conditions by code, of one subject (a global id) or all."""
        found = await rows(self.store, CONDITIONS)
        return {row["code"].name: row for row in found if id in (None, row["subject_id"])}

    async def history(self, jobs: Sequence[JobFact], *finished: str) -> int | None:
        self.seconds += 1
        return await self._commit().history(HistoryBatch(jobs=jobs, finished=frozenset(finished)), self.state)

    def _commit(self) -> Commit:
        return Commit(
            self.store, self.id, self.name, self.rolls_up, self.known, self.now, lease=self.lease, memory=self.memory
        )

    async def connector(self, id: str = "a") -> dict[str, Any]:
        return await self._row(CONNECTORS, global_id(CONNECTOR, self.name, id))

    async def job(self, id: str) -> dict[str, Any]:
        return await self._row(JOBS, global_id(JOB, self.name, id))

    async def system(self) -> dict[str, Any]:
        return await self._row(SYSTEMS, self.id)

    async def _row(self, table: Any, id: str) -> dict[str, Any]:
        async with self.store.read() as connection:
            return dict((await connection.execute(select(table).where(table.c.id == id))).mappings().one())

    async def events(self, beyond: int = 0) -> list[dict[str, Any]]:
        """Rows of the log, in order."""
        async with self.store.read() as connection:
            statement = select(EVENTS).where(EVENTS.c.position > beyond).order_by(EVENTS.c.position)
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

    async def kinds(self, beyond: int = 0) -> list[EventKind]:
        return [event["kind"] for event in await self.events(beyond)]


async def rows(store: Store, table: Any) -> list[dict[str, Any]]:
    """A whole table."""
    async with store.read() as connection:
        statement = select(table).order_by(*table.primary_key.columns)
        return [dict(row) for row in (await connection.execute(statement)).mappings()]
