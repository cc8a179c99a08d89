"""A source whose answers and a store whose transactions wait until the test lets them go."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.lanes import Lane
from connectory.model import HistoryBatch, JobFindings, Known, Observation
from connectory.store import Store
from sources.base import Source, SourceError
from tests.facts import at
from tests.interleavings.upstream import Upstream
from tests.wait import PATIENCE

#: Turns of the event loop after which nothing comes of itself any more.
_CALM = 25

#: Later than any job.
_EVER = at(10**9)

Kind = Literal["poll", "look", "history", "findings"]


@dataclass(eq=False)
class Answer:
    """What an upstream said: ``content`` as of ``revision``, or that it failed."""

    kind: Kind
    revision: int
    content: Any
    #: how many answers had been stored when it was asked for
    asked: int = 0
    is_stored: bool = False
    #: whatever is written from now on is not this answer
    is_over: bool = False


#: What was let go last in the present task, so that a transaction is known to store it.
DELIVERED: ContextVar[Answer | None] = ContextVar("delivered", default=None)

#: Leases are taken at once.
_LEASING: ContextVar[bool] = ContextVar("leasing", default=False)


@dataclass(eq=False)
class Call:
    """A question that an upstream has not answered yet. ``upstream`` is as it was when it came."""

    kind: Kind
    known: Known
    upstream: Upstream
    #: what a look and a closer look are asked for; what the history is
    jobs: frozenset[str] = frozenset()
    connectors: frozenset[str] = frozenset()
    before: datetime = _EVER
    #: how many answers had been stored then
    asked: int = 0
    answer: "asyncio.Future[Answer | SourceError]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def answered(self, upstream: Upstream, content: Any) -> Answer:
        return Answer(self.kind, upstream.revision, content, self.asked)


class HeldSource(Source):
    """``arrived`` is awaited with each call before it waits."""

    def __init__(self, upstream: Upstream, arrived: Callable[[Call], Awaitable[None]]) -> None:
        self.upstream, self.calls = upstream, list[Call]()
        self._arrived = arrived

    async def _ask(self, kind: Kind, known: Known, **asked: Any) -> Any:
        call = Call(kind, known, self.upstream.copy(), **asked)
        await self._arrived(call)
        self.calls.append(call)
        try:
            answer = await call.answer
        finally:
            self.calls.remove(call)
        if isinstance(answer, SourceError):
            DELIVERED.set(call.answered(call.upstream, None))
            raise answer
        DELIVERED.set(answer)
        return answer.content

    async def poll(self, known: Known) -> Observation:
        answer: Observation = await self._ask("poll", known)
        return answer

    async def look(self, known: Known, jobs: frozenset[str]) -> Observation:
        answer: Observation = await self._ask("look", known, jobs=jobs)
        return answer

    async def history(self, known: Known, connectors: frozenset[str]) -> AsyncIterator[HistoryBatch]:
        before = _EVER
        while True:
            batch: HistoryBatch = await self._ask("history", known, connectors=connectors, before=before)
            yield batch
            if not batch.jobs:
                return
            before = min(each.order_at for each in batch.jobs)

    async def examine(self, connector: str, jobs: frozenset[str]) -> Mapping[str, JobFindings]:
        found: Mapping[str, JobFindings] = await self._ask("findings", Known(), jobs=jobs)
        return found


class Activity:
    """What is under way in the stores of a test and ends by itself."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def calm(self) -> None:
        """Until everything waits for the test."""
        async with asyncio.timeout(PATIENCE):
            turns = 0
            while turns < _CALM:
                if self._idle.is_set():
                    await asyncio.sleep(0)
                    turns += 1
                else:
                    await self._idle.wait()
                    turns = 0


class HeldStore(Store):
    """A process's connections to the store. While ``is_shut``, transactions wait before they begin.

    ``committed`` is awaited after each commit with the answer that it stored, where it stored one.
    """

    def __init__(self, url: str, activity: Activity, committed: Callable[[Answer | None], Awaitable[None]]) -> None:
        super().__init__(url)
        self._activity, self._committed = activity, committed
        self.is_shut = False
        #: transactions that wait at the door
        self.waiting: list[asyncio.Future[None]] = []
        #: the next transaction fails: before its commit, or so that nobody hears of it
        self.fails: Literal["before", "after"] | None = None
        hold = self.leases.hold

        async def held(name: str) -> Any:
            _LEASING.set(True)  # also in what it starts
            try:
                with activity.one():
                    return await hold(name)
            finally:
                _LEASING.set(False)

        self.leases.hold = held  # type: ignore[method-assign]

    @asynccontextmanager
    async def read(self, lane: Lane = Lane.HOUSE, *, patience: float = math.inf) -> AsyncIterator[AsyncConnection]:
        with self._activity.one():
            async with super().read(lane, patience=patience) as connection:
                yield connection

    @asynccontextmanager
    async def write(self, *, hurried: bool = False) -> AsyncIterator[AsyncConnection]:
        if _LEASING.get():
            with self._activity.one():
                async with super().write(hurried=hurried) as connection:
                    yield connection
            return
        answer = _to_be_stored()
        if self.is_shut:
            await self._wait()
        with self._activity.one():
            async with super().write(hurried=hurried) as connection:
                yield connection
                fails, self.fails = self.fails, None
                if fails == "before":
                    raise broken()
            if answer is not None:
                answer.is_stored = True
            await self._committed(answer)
            if fails == "after":
                raise broken()

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        finally:
            self.waiting.remove(turn)

    def let_go(self) -> None:
        """Let the one that has waited the longest go on."""
        self.waiting[0].set_result(None)

    def lose_waiting(self) -> None:
        """The process ends: what waits at the door does not come to pass, and nothing waits there any more."""
        self.is_shut = False
        for turn in self.waiting:
            turn.set_exception(ConnectionError("the process has ended"))


def _to_be_stored() -> Answer | None:
    answer = DELIVERED.get()
    return None if answer is None or answer.is_stored or answer.is_over else answer


def broken() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("the connection was lost"))
