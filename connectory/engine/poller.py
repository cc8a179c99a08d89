"""The loop of one system: poll, diff, commit, wake; between polls it looks at what runs, and in the background it reads
the history and takes a closer look at what has ended."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy.exc import IntegrityError, StatementError

from connectory.bus import Bus
from connectory.engine.commit import Commit, Overtaken
from connectory.engine.configured import ConfiguredSystem
from connectory.engine.memory import recall
from connectory.engine.pace import SystemState, after_answer, after_failure, asked_to_wait, backoff
from connectory.model import (
    ActionFailureCode,
    ActionRefusal,
    JobFindings,
    Known,
    Observation,
    Problem,
    SystemErrorCode,
)
from connectory.store import Store
from connectory.store.identity import SYSTEM, external_id, global_id
from connectory.store.records import DOWN
from connectory.store.writes import jobs_to_examine
from sources.base import Source, SourceAuthFailed, SourceError, SourceMismatch

_log = logging.getLogger(__name__)
#: Jobs that the closer look takes at once.
_EXAMINED_AT_ONCE = 50


def _problem(error: SourceError) -> Problem:
    code = getattr(error, "code", SystemErrorCode.MISMATCH)
    return Problem(code, str(error), getattr(error, "retry_after", None))


def _lies_in_the_facts(error: Exception) -> bool:
    """Whether a commit failed for what it was to store, and not because of the store."""
    if isinstance(error, IntegrityError):  # a row that is there already is another writer's doing
        return "null" in str(error.orig).lower()
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, AttributeError | OverflowError | TypeError | ValueError):
        reason = reason.orig if isinstance(reason, StatementError) else reason.__cause__
    return reason is not None


async def _whole(commit: Coroutine[Any, Any, int | None]) -> int | None:
    """A commit comes to its end even if we are to stop: a driver that is cut short may keep its locks."""
    task = asyncio.ensure_future(commit)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class Poller:
    """Polls one system for ever. Nothing that an upstream does ends it, and no trouble with the store either."""

    def __init__(
        self, store: Store, system: ConfiguredSystem, bus: Bus, *, clock: Callable[[], datetime], chance: Random
    ) -> None:
        self.system = system
        self._database, self._bus, self._clock, self._chance = store, bus, clock, chance
        self._id = global_id(SYSTEM, system.name)
        self._source: Source = system.kind.open(system.settings)
        self._known: Known | None = None
        self._state = SystemState()
        #: one commit at a time: polls and history share the memory
        self._turn = asyncio.Lock()
        self._history: asyncio.Task[None] | None = None
        self._examination: asyncio.Task[None] | None = None
        #: how often in a row work in the background broke off, and until when it is left alone for that
        self._background_failures = 0
        self._background_from: datetime | None = None
        #: those who wait for a poll that begins after they asked
        self._waiting: list[asyncio.Future[ActionRefusal | None]] = []
        self._asked = asyncio.Event()
        #: the term of the lease under which the memory was read
        self._term: int | None = None
        self._is_closed = False
        #: what a Retry-After forbids to ask before
        self._not_before: datetime | None = None

    async def run(self) -> None:
        try:
            while not self._is_closed:
                wait = self.system.poll_interval
                waiting, self._waiting = self._waiting, []
                self._asked.clear()
                outcome = None
                try:
                    if await self._recall():
                        wait = self._seconds_until(self._not_before) or await self._poll()
                    else:
                        outcome = _refusal(f"another gateway polls {self.system.name}; ask that one")
                except Overtaken:
                    self._known = None
                    _log.info(
                        f"{self.system.name}: another process has polled it meanwhile; the poll will be made again",
                        extra={"action": "poll_overtaken", "system": self.system.name},
                    )
                except Exception:
                    self._known = None  # the store knows better than we do what it has
                    self._say_exception("the poll could not be stored; it will be made again", "store_failed")
                finally:
                    _answer(waiting, outcome)
                await self._idle(wait)
        finally:
            _answer(self._waiting, _refusal("the gateway is being stopped"))
            for task in (self._history, self._examination):
                await _end(task)

    async def close(self) -> None:
        """Give the connections back; a poll that does not end is the last one."""
        self._is_closed = True
        await self._source.close()

    async def refresh(self) -> ActionRefusal | None:
        """Poll now: a back-off and an authentication hold are skipped, a Retry-After never.

        Answers once a poll that began after the call is done or failed: with None, or with why there was none.
        """
        held = self._seconds_until(self._not_before)
        if held > 0:
            return _refusal(f"{self.system.name} asked us to wait", held)
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._asked.set()
        refusal: ActionRefusal | None = await waiter
        return refusal

    async def _idle(self, seconds: float) -> None:
        """Until the next poll is due or somebody asks for one; meanwhile look at what runs, every live_interval."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        live = self._state.health not in DOWN
        while (left := end - loop.time()) > 0:
            live = live and self._may_look()
            pause = min(left, self.system.live_interval) if live else left
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._asked.wait()
                    return
            left = end - loop.time()
            if live and left > 0:
                live = await self._look(left)
        more = self._seconds_until(self._not_before)
        if more > 0:  # what goes on beside the polls was asked to wait
            await self._idle(more)

    # ---- the live lane

    def _may_look(self) -> bool:
        return bool(self._known and self._known.running_jobs) and self._seconds_until(self._not_before) == 0

    async def _look(self, seconds: float) -> bool:
        """One look at the running jobs, within so many seconds. False: no more before the next poll."""
        known = self._known
        if known is None:
            return False
        try:
            async with asyncio.timeout(seconds):
                observation = await self._source.look(known, frozenset(known.running_jobs))
            self._heed(observation.problems, self._clock())
            await self._keep(known, lambda commit: commit.look(observation, self._state))
        except SourceError as error:
            self._heed([_problem(error)], self._clock())  # the next poll tells everybody
            return False
        except TimeoutError:
            return False
        except Exception:
            self._forget(known)
            self._say_exception("what runs could not be looked at", "look_failed")
            return False
        self._start_examination(known)
        return True

    async def _keep(self, known: Known, write: Callable[[Commit], Coroutine[Any, Any, int | None]]) -> bool:
        """Commit what was seen beside the polls, and wake. False: the memory that it rests on was lost meanwhile."""
        async with self._turn:
            if known is not self._known:
                return False
            position = await _whole(write(self._commit(known, self._clock())))
        if position is not None:
            self._bus.wake(position)
        return True

    def _forget(self, known: Known) -> None:
        if known is self._known:
            self._known = None  # the store knows better than we do what it has

    async def _recall(self) -> bool:
        """Make sure that this process is the one to poll, and that it remembers. False: another one polls."""
        term = await self._database.leases.hold(self.system.name)
        if term != self._term:
            self._known, self._term = None, term
        if term is None:
            return False
        if self._known is None:
            async with self._database.read() as connection:
                self._known, self._state = await recall(connection, self._id)
            if self._state.error_code is SystemErrorCode.RATE_LIMITED:
                self._not_before = self._state.next_poll_at  # a restart does not shorten what was asked for
        return True

    async def _poll(self) -> float:
        """One poll and its commit. Returns the seconds to wait before the next."""
        known, started = self._known, self._clock()
        assert known is not None
        try:
            observation = await self._source.poll(known)
        except SourceError as error:
            await self._failed(_problem(error), started)
        except Exception as error:
            # an adapter's own mistake: told as a mismatch, logged with its traceback, and never the end of the loop
            self._say_exception("the adapter failed", "adapter_failed")
            await self._failed(Problem(SystemErrorCode.MISMATCH, f"the adapter failed: {error!r}"), started)
        else:
            await self._answered(observation, started, known)
        return self._seconds_until(self._state.next_poll_at)

    async def _answered(self, observation: Observation, started: datetime, known: Known) -> None:
        now, before = self._clock(), self._state
        self._heed(observation.problems, now)
        after = after_answer(
            before, observation.problems, complete=observation.complete, started=started, now=now, pace=self.system.pace
        )
        try:
            async with self._turn:
                if known is not self._known:
                    return  # the memory was lost meanwhile: what was asked for rests on what is no longer sure
                position = await _whole(self._commit(known, now).poll(observation, before, after))
        except Exception as error:
            if not _lies_in_the_facts(error):
                raise
            await self._refused(error, started)
            return
        self._passed(before, after, position)
        self._start_history(known)
        self._start_examination(known)

    async def _refused(self, error: Exception, started: datetime) -> None:
        """The store does not take what the adapter gave: it would not do so next time either, so everybody is told."""
        _log.error(
            f"{self.system.name}: what it said cannot be stored: {error}",
            exc_info=error,
            extra={"action": "facts_refused", "system": self.system.name},
        )
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        await self._failed(Problem(SystemErrorCode.MISMATCH, f"what it said cannot be stored: {reason}"), started)

    async def _failed(self, problem: Problem, started: datetime) -> None:
        now, before = self._clock(), self._state
        self._heed([problem], now)
        after = after_failure(before, problem, started=started, now=now, pace=self.system.pace, chance=self._chance)
        async with self._turn:
            position = await _whole(self._commit(Known(), now).failure(before, after))
        self._passed(before, after, position)

    def _heed(self, problems: Sequence[Problem], now: datetime) -> None:
        """A Retry-After holds whatever becomes of the answer that carried it."""
        asked = asked_to_wait(problems)
        if asked:
            moment = now + timedelta(seconds=asked)
            self._not_before = max(moment, self._not_before or moment)

    def _commit(self, known: Known, now: datetime) -> Commit:
        kind = self.system.kind
        return Commit(self._database, self._id, self.system.name, kind.rolls_up, known, now, examines=kind.examines)

    def _passed(self, before: SystemState, after: SystemState, position: int | None) -> None:
        self._state = after
        if position is not None:
            self._bus.wake(position)
        if before.health is not after.health:
            level = logging.WARNING if after.health in DOWN else logging.INFO
            _log.log(
                level,
                f"{self.system.name} is {after.health}" + (f": {after.error_message}" if after.error_message else ""),
                extra={"action": "system_health", "system": self.system.name, "health": after.health.name},
            )

    def _seconds_until(self, moment: datetime | None) -> float:
        return 0.0 if moment is None else max(0.0, (moment - self._clock()) / timedelta(seconds=1))

    # ---- in the background

    def _may_start(self, task: asyncio.Task[None] | None) -> bool:
        return (task is None or task.done()) and self._seconds_until(self._background_from) == 0

    def _start_history(self, known: Known) -> None:
        unread = frozenset(name for name, memory in known.connectors.items() if not memory.history_read)
        if unread and self._may_start(self._history):
            work = self._in_background(known, self._read_history(known, unread), "history")
            self._history = asyncio.create_task(work, name=f"history {self.system.name}")

    def _start_examination(self, known: Known) -> None:
        if self.system.kind.examines and self._may_start(self._examination):
            work = self._in_background(known, self._examine(known), "examination")
            self._examination = asyncio.create_task(work, name=f"examine {self.system.name}")

    async def _in_background(self, known: Known, work: Coroutine[Any, Any, None], what: str) -> None:
        """What is not done stays so, and is taken up again after a later poll."""
        try:
            await work
            self._background_failures, self._background_from = 0, None
        except SourceError as error:
            self._heed([_problem(error)], self._clock())
            self._leave_alone()
            _log.info(
                f"the {what} of {self.system.name} is not complete yet: {error}",
                extra={"action": f"{what}_paused", "system": self.system.name},
            )
        except Exception:
            self._forget(known)
            self._leave_alone()
            self._say_exception(f"the {what} could not be read or stored; it will be read again", f"{what}_failed")

    def _leave_alone(self) -> None:
        """It may have asked for a great deal: it backs off like a poll that fails."""
        self._background_failures += 1
        wait = backoff(self._background_failures, self.system.pace, self._chance)
        self._background_from = self._clock() + timedelta(seconds=wait)

    async def _read_history(self, known: Known, connectors: frozenset[str]) -> None:
        async for batch in self._source.history(known, connectors):
            if not await self._keep(known, lambda commit, batch=batch: commit.history(batch, self._state)):  # type: ignore[misc]
                return  # the next poll starts again

    async def _examine(self, known: Known) -> None:
        """Take the closer look at jobs that want it, connector by connector, until none is left."""
        while True:
            async with self._database.read() as connection:
                due = await jobs_to_examine(connection, self._id, _EXAMINED_AT_ONCE)
            if not due:
                return
            by_connector: dict[str, list[str]] = defaultdict(list)
            for job, connector in due:
                by_connector[connector].append(job)
            for connector, jobs in by_connector.items():
                found = await self._examined(external_id(connector), jobs)
                if not await self._keep(known, lambda commit, found=found: commit.findings(found)):  # type: ignore[misc]
                    return

    async def _examined(self, connector: str, jobs: Sequence[str]) -> dict[str, JobFindings | None]:
        try:
            found = await self._source.examine(connector, frozenset(external_id(job) for job in jobs))
        except (SourceAuthFailed, SourceMismatch) as error:
            # the list is ours to read and this is not: asking again would not help
            _log.info(
                f"{self.system.name} does not let us look closer at {connector}: {error}",
                extra={"action": "examination_refused", "system": self.system.name},
            )
            found = {}
        return {job: found.get(external_id(job)) for job in jobs}

    def _say_exception(self, sentence: str, action: str) -> None:
        _log.exception(f"{self.system.name}: {sentence}", extra={"action": action, "system": self.system.name})


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _refusal(message: str, seconds: float | None = None) -> ActionRefusal:
    return ActionRefusal(ActionFailureCode.UPSTREAM_UNAVAILABLE, f"{message}.", retry_after_seconds=seconds)


def _answer(waiting: Sequence[asyncio.Future[ActionRefusal | None]], outcome: ActionRefusal | None) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(outcome)
