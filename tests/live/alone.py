"""The live side alone, without transports and engine: who follows, and a job that moves when the test says so."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from connectory.execution.operation import Operation
from connectory.live.live import Live
from connectory.model import JobStatus, Role
from connectory.store import Store
from connectory.store.log.bus import Bus
from connectory.store.log.tail import Tail
from connectory.store.tables.identity import JOB, global_id
from resolvers.context import Context, Viewer
from schema import build_schema
from tests.api.world import Writer
from tests.cursors import log_position
from tests.facts import at, connector, job
from tests.live.preparing import prepare
from tests.wait import until

JOB_ID = global_id(JOB, "alpha", "1")
PROGRESS = """subscription ($id: ID!, $after: String) {
  jobProgress(jobId: $id, after: $after) { kind processed job { progress { processed } connector { name } } } }"""
EVENTS = "subscription ($after: String) { events(after: $after) { kind cursor ... on JobEvent { processed } } }"
EVENTS_AFTER = 'subscription { events(after: "?") { cursor } }'
SUMMARIES = "subscription { sourceSummaryChanged { source totalConnectors runningJobs } }"


class Reader:
    """A sink that keeps what it is sent, at the pace that the test sets."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.cursors: list[str] = []
        self.is_ready = True
        self.is_complete = False
        self._reads = asyncio.Event()

    async def send(self, body: bytes, cursor: str) -> None:
        assert self.is_ready, "a client that does not read was sent more"
        self.results.append(json.loads(body))
        self.cursors.append(cursor)

    @property
    def positions(self) -> list[int]:
        return [log_position(cursor) for cursor in self.cursors]

    async def send_all(self, results: Sequence[tuple[bytes, str]]) -> None:
        for body, cursor in results:
            await self.send(body, cursor)

    async def drained(self) -> None:
        await self._reads.wait()

    async def complete(self) -> None:
        self.is_complete = True

    def stop(self) -> None:
        self.is_ready = False
        self._reads.clear()

    def read_on(self) -> None:
        self.is_ready = True
        self._reads.set()

    def said(self, field: str, *path: str) -> list[Any]:
        """The values of one field, in order."""
        found = [result["data"][field] for result in self.results]
        for name in path:
            found = [value[name] for value in found]
        return found

    async def has(self, count: int) -> None:
        async def look() -> bool:
            return len(self.results) >= count

        await until(look)


class Watches:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def watch(self, ids: Any) -> None:
        self.ids += ids

    def unwatch(self, ids: Any) -> None:
        for id in ids:
            self.ids.remove(id)


class Ground:
    """The live side alone: no transport and no engine."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self.store, self.writer = store, writer
        self.schema = build_schema()
        self.tail = Tail(store, Bus(), poll_interval=0.02)
        self.watches = Watches()
        self.viewer = Viewer("somebody", Role.VIEWER)
        self.live = Live(
            self.schema,
            store,
            lambda viewer: Context(store, viewer),
            self.tail,
            self.watches,
            clock=lambda: datetime.now(UTC),
        )
        self.moves = 0

    async def follow(self, query: str, *, last_event_id: str | None = None, **variables: Any) -> Reader:
        reader = Reader()
        prepared = prepare(self.schema, Operation(query, variables))
        await self.live.subscribe(prepared, reader, self.viewer, last_event_id=last_event_id)
        return reader

    async def move(self, times: int = 1, status: JobStatus = JobStatus.RUNNING) -> None:
        """The job gets on: one commit for each step."""
        for _ in range(times):
            self.moves += 1
            ended = at(self.moves) if status.ended else None
            fact = job("1", status=status, processed=self.moves, completed_at=ended)
            await self.writer.poll(at(self.moves), [connector("a")], [fact])

    def go_on(self) -> None:
        self._following = asyncio.create_task(self.tail.run(), name="tail")

    async def stand_still(self) -> None:
        """The log is not read for a while."""
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    async def head(self) -> int:
        """The log's end, once the tail has come there."""

        async def look() -> int:
            async with self.store.read() as connection:
                head: int = (await connection.exec_driver_sql("SELECT position FROM log_head")).scalar_one()
            return head if self.tail.position == head else 0

        return await until(look)


async def until_last(reader: Reader, processed: int) -> None:
    async def look() -> bool:
        return bool(reader.said("jobProgress", "processed")[-1] == processed)

    await until(look)
