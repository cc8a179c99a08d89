"""What the tests of live answers stand on: a served gateway without systems of its own, and a scripted system whose
answers are committed, at the present, when the test says so; committing wakes the gateway as a poll would."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import aiohttp
from sqlalchemy import select

from connectory.config.settings import ServerSettings
from connectory.engine import Engine
from connectory.model import EventKind, JobStatus
from connectory.store import Store
from connectory.store.log.bus import Bus
from connectory.store.tables import EVENTS
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from connectory.store.writes.registration import Registration, register_systems
from connectory.store.writes.rows import append_events
from connectory.web.app import build_app
from connectory.web.serving import serving
from tests.engine.stage import Stage
from tests.live.client import Listener, PairClient, SocketClient, SseClient, Stream

Transport = Literal["websocket", "sse", "both"]


class LiveStage(Stage):
    """A stage whose polls happen now and wake whoever follows the log."""

    bus: Bus

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def poll(self, *said: Any, **more: Any) -> int | None:
        position = await super().poll(*said, **more)
        if position is not None:
            self.bus.wake(position)
        return position

    def job_id(self, id: str) -> str:
        return global_id(JOB, self.name, id)

    def connector_id(self, id: str) -> str:
        return global_id(CONNECTOR, self.name, id)


class Ground:
    """A served gateway: its store, its bus, and clients of ``transport``; "both": whatever is asked is asked on either
    transport, and has to be told alike on both."""

    def __init__(self, url: str, session: aiohttp.ClientSession, store: Store, bus: Bus, transport: Transport) -> None:
        self.url, self.session, self.store, self.bus, self.transport = url, session, store, bus, transport
        self.listeners: list[Listener] = []
        self.stages: dict[str, LiveStage] = {}

    @property
    def stage(self) -> LiveStage:
        """The first system."""
        return next(iter(self.stages.values()))

    async def configure(self, *names: str, stale_after: float = 90.0) -> None:
        """Make exactly these the configured systems."""
        await register_systems(self.store, [Registration(name, "scripted", (), stale_after) for name in names])
        for name in names:
            if name not in self.stages:
                stage = self.stages[name] = LiveStage(self.store, name, frozenset())
                stage.bus = self.bus
                await stage.restart()

    async def connect(self, session: aiohttp.ClientSession | None = None) -> Listener:
        """A client with connections of its own."""
        session = session or self.session
        transports = ("websocket", "sse") if self.transport == "both" else (self.transport,)
        listeners: list[Listener] = [
            await SocketClient.connect(session, self.url) if transport == "websocket" else SseClient(session, self.url)
            for transport in transports
        ]
        listener = listeners[0] if len(listeners) == 1 else PairClient(*listeners)
        self.listeners.append(listener)
        return listener

    async def subscribe(self, query: str, **variables: Any) -> Stream:
        """An operation of a client of its own."""
        return await (await self.connect()).subscribe(query, variables)

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of a query without errors."""
        body = {"query": query, "variables": variables}
        async with self.session.post(f"{self.url}/graphql", json=body) as response:
            answer = await response.json(content_type=None)
        assert "errors" not in answer, answer
        return answer["data"]

    def line(self, n: int, id: str = "j", **more: Any) -> dict[str, Any]:
        """A line of the log: job ``id`` has come to ``n``."""
        told = {
            "at": self.stage.now,
            "kind": EventKind.JOB_PROGRESSED,
            "system_id": self.stage.id,
            "connector_id": self.stage.connector_id("a"),
            "job_id": self.stage.job_id(id),
            "status": JobStatus.RUNNING.value,
            "previous_status": JobStatus.RUNNING.value,
            "health": None,
            "previous_health": None,
            "processed": n,
            "changed_fields": "progress",
            "message": None,
        }
        return told | more

    async def append(self, rows: Iterable[dict[str, Any]]) -> int:
        """Lines of the log without anything behind them, in one commit; gives the new position."""
        async with self.store.write() as connection:
            position = await append_events(connection, list(rows))
        self.bus.wake(position)
        return position

    async def log(self, *criteria: Any) -> Sequence[Any]:
        """Rows of the log as the table has them, oldest first."""
        async with self.store.read() as connection:
            statement = select(EVENTS).where(*criteria).order_by(EVENTS.c.position)
            return (await connection.execute(statement)).all()

    async def close(self) -> None:
        for listener in self.listeners:
            await listener.close()


@asynccontextmanager
async def grounds(store_url: str, transport: Transport = "both", **server: Any) -> AsyncIterator[Ground]:
    """A gateway over an empty store with one system, ``scripted``; ``server`` are keys of ``[server]``."""
    store, bus = Store(store_url), Bus()
    app = build_app(store, Engine(store, [], bus=bus), ServerSettings(port=0, **server))
    timeout = aiohttp.ClientTimeout(total=30)
    async with serving(app, "127.0.0.1", 0) as url, aiohttp.ClientSession(timeout=timeout) as session:
        ground = Ground(url, session, store, bus, transport)
        await ground.configure("scripted")
        try:
            yield ground
        finally:
            await ground.close()
