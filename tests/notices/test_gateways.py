"""Notices of whole gateways: one system killed under thirty connectors, two gateways on one PostgreSQL, ``kill -9``."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
from sqlalchemy import select

from connectory.engine import Engine
from connectory.model import JobStatus, NoticeKind, Observation, SystemHealth
from connectory.notices.deliverer import Backoff
from connectory.notices.notices import Notices, notifying
from connectory.notices.settings import ReceiverSettings
from connectory.store import Store
from connectory.store.records import DOWN
from connectory.store.tables import SYSTEMS
from sources.base import SourceUnreachable
from sources.onyx import SOURCE as ONYX
from sources.simulation import FAULTS, Clock, serve
from tests.e2e.program import configuration, serving, system
from tests.facts import Scripted, configured, connector, job
from tests.notices.receiver import SECRET, Receiver
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


#: Where kills land: before a notice is made, before it is sent, while it is being sent.
_MOMENTS = {"sqlite": ("seen", "sent"), "postgresql": ("made",)}


async def test_kill_9_loses_no_notice_and_makes_none_twice(store_url: str, tmp_path: Path) -> None:
    """The program is killed at each of its turns while a system goes down and comes back."""
    receiver, moments = Receiver(), _MOMENTS[store_url.partition(":")[0]]
    assert ONYX.simulator is not None
    upstream = ONYX.simulator(seed=4, clock=Clock())
    store = Store(store_url)
    await store.open()
    await store.upgrade()
    try:
        async with asyncio.timeout(150), serve(upstream) as running, receiver.serving():
            file = configured_program(tmp_path, store_url, running.url, receiver)
            turns = [(moment, is_down) for moment in moments for is_down in (True, False)]
            for number, (moment, is_down) in enumerate(turns):
                async with started(file):  # it goes on where the last one was killed
                    await until(health_is(store, is_down=not is_down), within=30)
                    receiver.open.set()
                    await until(delivered(store, number), within=30)
                    receiver.open.clear()
                    upstream[FAULTS].html_status = 503 if is_down else None
                    await until(turn(store, moment, number + 1, is_down), within=30, every=0.002)
            async with started(file):
                receiver.open.set()
                await until(delivered(store, len(turns)), within=30)
        rows = [row for row in await notices(store) if row["kind"] is NoticeKind.SYSTEM_DOWN]
    finally:
        await store.close()
    assert len(rows) == len(moments)
    phases = {message.id: message.told["phase"] for message in receiver.got}
    assert list(phases.values()) == ["RAISED", "RECOVERED"] * len(moments)
    assert len(receiver.got) == len(phases), "none of them was killed between an answer and its writing down"


def configured_program(folder: Path, store_url: str, upstream: str, receiver: Receiver) -> Path:
    engine = {"poll_interval": 1.0, "live_interval": 0.5, "max_backoff": 1.0}
    file = configuration(folder, store_url, system(ONYX, "onyx", upstream), **engine)
    hook = {"name": "pager", "url": receiver.url, "secret": SECRET, "conditions": ["SYSTEM_DOWN"], "timeout": 1.0}
    keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in hook.items())
    file.write_text(f"{file.read_text()}\n[[notices]]\n{keys}\n")
    return file


@asynccontextmanager
async def started(file: Path) -> AsyncIterator[None]:
    """The program, killed at the end of the block."""
    async with serving(file) as program:
        await program.ready()
        yield


def health_is(store: Store, *, is_down: bool) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        async with store.read() as connection:
            health = (await connection.execute(select(SYSTEMS.c.health))).scalar()
        return health in DOWN if is_down else health is SystemHealth.UP

    return look


def delivered(store: Store, number: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return len([row for row in await deliveries(store) if row["delivered_at"]]) == number

    return look


def turn(store: Store, moment: str, number: int, is_down: bool) -> Callable[[], Awaitable[Any]]:
    async def made() -> bool:
        return len(await deliveries(store)) == number

    async def sent() -> bool:
        rows = await deliveries(store)
        return len(rows) == number and rows[-1]["attempts"] > 0

    return {"seen": health_is(store, is_down=is_down), "made": made, "sent": sent}[moment]
