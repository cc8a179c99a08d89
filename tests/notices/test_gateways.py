"""Notices of whole gateways: one system killed under thirty connectors, two gateways on one PostgreSQL."""

from collections.abc import Awaitable, Callable
from random import Random

import asyncpg

from connectory.engine import Engine
from connectory.model import JobStatus, Observation
from connectory.notices.deliverer import Backoff
from connectory.notices.notices import Notices, notifying
from connectory.notices.settings import ReceiverSettings
from connectory.store import Store
from sources.base import SourceUnreachable
from tests.facts import Scripted, configured, connector, job
from tests.notices.receiver import Receiver
from tests.notices.scene import deliveries, notices
from tests.wait import until

_END_HOLDERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Gateway:
    """A process of its own as far as the database can tell."""

    def __init__(self, url: str, source: Scripted, *receivers: ReceiverSettings) -> None:
        self.store = Store(url)
        self.engine = Engine(self.store, [configured(source)])
        self.notices = Notices(
            self.store, self.engine.bus, receivers, chance=Random(id(self)), backoff=Backoff(0.1, 0.5)
        )

    async def __aenter__(self) -> "Gateway":
        await self.store.open()
        await self.store.upgrade()
        await self.engine.start()
        self._notifying = notifying(self.notices)
        await self._notifying.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._notifying.__aexit__(None, None, None)
        await self.engine.stop()
        await self.store.close()


def thirty() -> Scripted:
    """Thirty connectors, each with a job at work."""
    source, names = Scripted(), [f"c{n}" for n in range(30)]
    jobs = [job(f"j-{name}", name, JobStatus.RUNNING) for name in names]
    source.says = source.sees = Observation(connectors=[connector(name) for name in names], jobs=jobs)
    return source


async def test_one_system_is_killed_while_thirty_connectors_run(store_url: str) -> None:
    source, receiver = thirty(), Receiver()
    well = source.says
    async with receiver.serving(), Gateway(store_url, source, receiver.settings()) as gateway:

        async def polled() -> bool:
            return source.polls > 2

        await until(polled)
        for time in range(1, 4):
            source.says = SourceUnreachable("connection refused")
            await until(delivered(gateway.store, 2 * time - 1))
            source.says = well
            await until(delivered(gateway.store, 2 * time))
    title = "scripted is down"
    assert [message.what for message in receiver.got] == [("RAISED", title), ("RECOVERED", title)] * 3


async def test_of_two_gateways_on_one_postgresql_one_tells(postgres_url: str) -> None:
    source, receiver = thirty(), Receiver()
    well = source.says
    settings = receiver.settings()
    async with (
        receiver.serving(),
        Gateway(postgres_url, source, settings) as one,
        Gateway(postgres_url, source, settings) as two,
    ):
        for time in range(1, 5):
            source.says = SourceUnreachable("connection refused")
            await until(delivered(one.store, 2 * time - 1))
            if time % 2:  # whoever is at work loses its lease, and perhaps the other one takes over
                await end_holders(postgres_url)
            source.says = well
            await until(delivered(two.store, 2 * time), within=20)
        rows = await notices(one.store)
    assert len(rows) == 4
    assert all(row["recovered_at"] for row in rows)
    assert [message.told["phase"] for message in receiver.got] == ["RAISED", "RECOVERED"] * 4
    assert len({message.id for message in receiver.got}) == 8


async def end_holders(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(_END_HOLDERS)
    finally:
        await connection.close()


def delivered(store: Store, number: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return len([row for row in await deliveries(store) if row["delivered_at"]]) == number

    return look
