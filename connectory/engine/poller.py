"""The loop of one system: poll, diff, commit, wake; and its history, read in the background."""

import asyncio
import contextlib
import logging
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
from connectory.model import HistoryBatch, Known, Observation, Problem, SystemErrorCode
from connectory.store import Store
from connectory.store.identity import SYSTEM, global_id
from connectory.store.records import DOWN
from sources.base import Source, SourceError

_log = logging.getLogger(__name__)


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
        self._store, self._bus, self._clock, self._chance = store, bus, clock, chance
        self._id = global_id(SYSTEM, system.name)
        self._source: Source = system.kind.open(system.settings)
        self._known: Known | None = None
        self._state = SystemState()
        #: one commit at a time: polls and history share the memory
        self._turn = asyncio.Lock()
        self._history: asyncio.Task[None] | None = None
        #: how often in a row the history broke off, and until when it is left alone for that
        self._history_failures = 0
        self._history_from: datetime | None = None
        #: the term of the lease under which the memory was read
        self._term: int | None = None
        self._is_closed = False
        #: what a Retry-After forbids to ask before
        self._not_before: datetime | None = None

    async def run(self) -> None:
        try:
            while not self._is_closed:
                wait = self.system.poll_interval
                try:
                    if await self._recall():
                        wait = self._seconds_until(self._not_before) or await self._poll()
                except Overtaken:
                    self._known = None
                    _log.info(
                        f"{self.system.name}: another process has polled it meanwhile; the poll will be made again",
                        extra={"action": "poll_overtaken", "system": self.system.name},
                    )
                except Exception:
                    self._known = None  # the store knows better than we do what it has
                    self._say_exception("the poll could not be stored; it will be made again", "store_failed")
                await self._sleep(wait)
        finally:
            await self._stop_history()

    async def close(self) -> None:
        """Give the connections back; a poll that does not end is the last one."""
        self._is_closed = True
        await self._source.close()

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        more = self._seconds_until(self._not_before)
        if more > 0:  # the history, which goes on meanwhile, was asked to wait
            await self._sleep(more)

    async def _recall(self) -> bool:
        """Make sure that this process is the one to poll, and that it remembers. False: another one polls."""
        term = await self._store.leases.hold(self.system.name)
        if term != self._term:
            self._known, self._term = None, term
        if term is None:
            return False
        if self._known is None:
            async with self._store.read() as connection:
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
        return Commit(self._store, self._id, self.system.name, kind.rolls_up, known, now)

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

    # ---- history

    def _start_history(self, known: Known) -> None:
        if self._history is not None and not self._history.done():
            return
        if self._seconds_until(self._history_from) > 0:
            return
        unread = frozenset(name for name, memory in known.connectors.items() if not memory.history_read)
        if unread:
            self._history = asyncio.create_task(self._read_history(known, unread), name=f"history {self.system.name}")

    async def _read_history(self, known: Known, connectors: frozenset[str]) -> None:
        try:
            async for batch in self._source.history(known, connectors):
                if not await self._store_history(batch, known):
                    return  # the memory was lost meanwhile; the next poll starts again
            self._history_failures, self._history_from = 0, None
        except SourceError as error:
            # what is unread stays so, and is asked for again after a later poll
            self._heed([_problem(error)], self._clock())
            self._leave_history_alone()
            _log.info(
                f"the history of {self.system.name} is not complete yet: {error}",
                extra={"action": "history_paused", "system": self.system.name},
            )
        except Exception:
            if known is self._known:
                self._known = None
            self._leave_history_alone()
            self._say_exception("the history could not be read or stored; it will be read again", "history_failed")

    def _leave_history_alone(self) -> None:
        """It may have asked for a great deal: it backs off like a poll that fails."""
        self._history_failures += 1
        wait = backoff(self._history_failures, self.system.pace, self._chance)
        self._history_from = self._clock() + timedelta(seconds=wait)

    async def _store_history(self, batch: HistoryBatch, known: Known) -> bool:
        async with self._turn:
            if known is not self._known:
                return False
            position = await _whole(self._commit(known, self._clock()).history(batch, self._state))
        if position is not None:
            self._bus.wake(position)
        return True

    async def _stop_history(self) -> None:
        if self._history is not None:
            self._history.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._history

    def _say_exception(self, sentence: str, action: str) -> None:
        _log.exception(f"{self.system.name}: {sentence}", extra={"action": action, "system": self.system.name})
