"""What is read of a system beside its polls: the past of its connectors, and a closer look at jobs that have ended."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from operator import methodcaller

from connectory.engine.pace import problem_of
from connectory.engine.polling.system_session import SystemSession
from connectory.model import JobFindings, Known
from connectory.store.reads.rows import jobs_to_examine
from connectory.store.tables.identity import external_id
from sources.base import Source, SourceAuthFailed, SourceError, SourceMismatch

_log = logging.getLogger(__name__)
#: Jobs that the closer look takes at once.
_EXAMINED_AT_ONCE = 50


class Background:
    """At most one task of each sort. What is left undone stays owed in the store until a later poll takes it up."""

    def __init__(self, session: SystemSession, source: Source) -> None:
        self._session, self._source = session, source
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: how often in a row work broke off, and until when it is left alone for that
        self._failures = 0
        self._from: datetime | None = None

    def start(self, known: Known) -> None:
        """Begin with what is owed and not under way yet."""
        unread = frozenset(name for name, memory in known.connectors.items() if not memory.history_read)
        if unread and self._may_start("history"):
            self._begin("history", known, partial(self._read_history, known, unread))
        if self._session.system.kind.examines and self._may_start("examination"):
            self._begin("examination", known, partial(self._examine, known))

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _may_start(self, what: str) -> bool:
        task = self._tasks.get(what)
        return (task is None or task.done()) and self._session.seconds_until(self._from) == 0

    def _begin(self, what: str, known: Known, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks[what] = asyncio.create_task(
            self._run(what, known, work), name=f"{what} {self._session.system.name}"
        )

    async def _run(self, what: str, known: Known, work: Callable[[], Awaitable[None]]) -> None:
        session = self._session
        try:
            await work()
            self._failures, self._from = 0, None
        except SourceError as error:
            self._leave_alone()
            await session.hold([problem_of(error)])
            _log.info(
                f"the {what} of {session.system.name} is not complete yet: {error}",
                extra={"action": f"{what}_paused", "system": session.system.name},
            )
        except Exception:
            session.forget(known)
            self._leave_alone()
            session.say_exception(f"the {what} could not be read or stored; it will be read again", f"{what}_failed")

    def _leave_alone(self) -> None:
        """It may have asked for a great deal: it backs off like a poll that fails."""
        self._failures += 1
        self._from = self._session.after_backoff(self._failures)

    async def _read_history(self, known: Known, connectors: frozenset[str]) -> None:
        async for batch in self._source.history(known, connectors):
            if not await self._session.commit(known, methodcaller("history", batch, self._session.state)):
                return  # the next poll starts again

    async def _examine(self, known: Known) -> None:
        """Connector by connector, until no job is left that wants the closer look."""
        while True:
            async with self._session.store.read() as connection:
                due = await jobs_to_examine(connection, self._session.id, _EXAMINED_AT_ONCE)
            if not due:
                return
            by_connector: dict[str, list[str]] = defaultdict(list)
            for job, connector, _ in due:
                by_connector[connector].append(job)
            asked = {job: fingerprint for job, _, fingerprint in due}
            for connector, jobs in by_connector.items():
                found = await self._find(external_id(connector), jobs)
                if not await self._session.commit(known, methodcaller("findings", found, asked)):
                    return

    async def _find(self, connector: str, jobs: Sequence[str]) -> dict[str, JobFindings | None]:
        try:
            found = await self._source.examine(connector, frozenset(external_id(job) for job in jobs))
        except (SourceAuthFailed, SourceMismatch) as error:
            # the list is ours to read and this is not: asking again would not help
            _log.info(
                f"{self._session.system.name} does not let us look closer at {connector}: {error}",
                extra={"action": "examination_refused", "system": self._session.system.name},
            )
            found = {}
        return {job: found.get(external_id(job)) for job in jobs}
