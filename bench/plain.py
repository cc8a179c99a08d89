"""Plain Strawberry as a process of its own: its aiohttp view with every default, and a queue for each subscriber.

Obeys ``begin``, ``publish`` and ``weigh`` as ``bench/live_gateway.py`` does, with one job.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import strawberry
from aiohttp import web
from meters import weigh
from programs import allow_many_files, obey, run
from strawberry.aiohttp.views import GraphQLView

#: An id as long as ours.
SUBJECT = strawberry.ID("Sm9iOmJlbmNoOmpvYi0w")
TOTAL = 1_000_000


@strawberry.enum
class EventKind(Enum):
    JOB_PROGRESSED = "JOB_PROGRESSED"


@strawberry.enum
class JobStatus(Enum):
    RUNNING = "RUNNING"


@strawberry.type
class JobProgress:
    processed: int | None
    total: int | None
    percent: float | None


@strawberry.type
class JobCounts:
    indexed: int | None
    failed: int | None


@strawberry.type
class Job:
    id: strawberry.ID
    status: JobStatus
    started_at: datetime | None
    progress: JobProgress
    counts: JobCounts


@strawberry.type
class JobEvent:
    cursor: str
    at: datetime
    kind: EventKind
    job_status: JobStatus
    processed: int | None
    changed_fields: list[str]
    job: Job | None


def _moved(count: int) -> dict[str, Any]:
    progress = JobProgress(processed=count, total=TOTAL, percent=100 * count / TOTAL)
    return {"progress": progress, "counts": JobCounts(indexed=count, failed=0)}


class Board:
    """The present event, and the queues of those who want the next ones."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[JobEvent]] = set()
        now = datetime.now(UTC)
        job = Job(id=SUBJECT, status=JobStatus.RUNNING, started_at=now, **_moved(0))
        self.event = JobEvent(
            cursor="bG9nOjEwMDA", at=now, kind=EventKind.JOB_PROGRESSED, job_status=JobStatus.RUNNING, processed=0,
            changed_fields=[], job=job,
        )  # fmt: skip
        self._count = 0

    async def publish(self, times: int, moving: int) -> list[tuple[str, str, int]]:
        """So many events of the one job; as [id, cursor, monotonic nanoseconds]."""
        published = []
        for _ in range(times):
            self._count += 1
            count = 1000 * self._count
            assert self.event.job is not None
            self.event = replace(
                self.event,
                cursor=f"bG9nOjE{self._count:04}",
                at=datetime.now(UTC),
                processed=count,
                changed_fields=["processed", "counts", "progress"],
                job=replace(self.event.job, **_moved(count)),
            )
            published.append((SUBJECT, self.event.cursor, time.monotonic_ns()))
            for queue in self.queues:
                queue.put_nowait(self.event)
            await asyncio.sleep(0)
        return published


BOARD = Board()


@strawberry.type
class Query:
    hello: str = "world"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def job_progress(self, job_id: strawberry.ID) -> AsyncIterator[JobEvent]:
        queue: asyncio.Queue[JobEvent] = asyncio.Queue()
        BOARD.queues.add(queue)
        try:
            yield BOARD.event
            while True:
                yield await queue.get()
        finally:
            BOARD.queues.discard(queue)


async def _main() -> None:
    app = web.Application()
    app.router.add_route("*", "/graphql", GraphQLView(schema=strawberry.Schema(Query, subscription=Subscription)))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()

    async def begin() -> dict[str, Any]:
        return {"port": runner.addresses[0][1], "subjects": [SUBJECT]}

    try:
        await obey({"begin": begin, "publish": BOARD.publish, "weigh": weigh})
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    allow_many_files()
    sys.exit(run(_main))
