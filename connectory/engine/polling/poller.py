"""The loop of one system: poll, diff, commit, wake; between polls it looks at what runs."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from random import Random
from typing import Any

from connectory.engine.configured import ConfiguredSystem
from connectory.engine.pace import SystemState, after_answer, after_failure, problem_of
from connectory.engine.polling.background import Background
from connectory.engine.polling.standby import Polled, Standby
from connectory.engine.polling.system_session import SystemSession
from connectory.engine.polling.watches import Watches
from connectory.engine.recording.commit import Commit
from connectory.engine.recording.conditions import Judgeable
from connectory.model import ActionFailureCode, ActionRefusal, Known, Observation, Problem, SystemErrorCode
from connectory.observability.metrics import PollMetrics
from connectory.store import Store
from connectory.store.error_texts import in_our_words, lies_in_the_values
from connectory.store.leases.rows import LeaseLost, lease_of
from connectory.store.log.bus import Bus
from connectory.store.reads.records import DOWN
from connectory.store.write_health import is_failure
from sources.base import Source, SourceError

_log = logging.getLogger(__name__)

#: Seconds between looks at the store while somebody waits for a poll.
_GLANCE = 0.25

Waiter = asyncio.Future[ActionRefusal | None]


class Poller:
    """Polls one system for ever. Nothing that an upstream does ends it, and no trouble with the store either."""

    def __init__(
        self,
        store: Store,
        system: ConfiguredSystem,
        bus: Bus,
        watches: Watches,
        polls: PollMetrics,
        *,
        clock: Callable[[], datetime],
        chance: Random,
    ) -> None:
        self.system = system
        #: what ``refresh`` answers when another process polls the system
        self.elsewhere = _refusal(f"another gateway polls {system.name}")
        #: who does
        self.standby = Standby(store.leases, lease_of(system.name), system.name)
        for holder in Polled:
            polls.lease.labels(system.name, holder).set_function(partial(self._is_polled, holder))
        store.leases.listen(lease_of(system.name), self._heed_lease)
        self._source: Source = system.kind.open(system.settings)
        self._write_health, self._polls = store.write_health, polls
        polls.seconds.labels(system.name)
        self._session = SystemSession(store, system, bus, clock=clock, chance=chance)
        self._background = Background(self._session, self._source)
        self._watches, self._chance = watches, chance
        self._is_closed = False
        #: those who wait for a poll that begins after they asked
        self._waiting: list[Waiter] = []
        self._wakeup = asyncio.Event()

    async def run(self) -> None:
        try:
            while not self._is_closed:
                waiting, self._waiting = self._waiting, []
                wait, outcome = self.system.poll_interval, None
                try:
                    if not await self._session.recall():
                        outcome = self.elsewhere
                    elif held := self._session.held:
                        wait, outcome = held, _refusal(f"{self.system.name} asked us to wait", held)
                    else:
                        wait = await self._poll()
                except Exception as error:
                    self._session.forget()
                    self._session.say_exception("the poll could not be stored; it will be made again", "store_failed")
                    outcome = self._not_polled(error)
                finally:
                    _answer(waiting, outcome)
                await self._idle(wait)
        finally:
            self._is_closed = True
            _answer(self._waiting, STOPPING)
            await self._background.stop()

    async def close(self) -> None:
        """Give the connections back; a poll that does not end is the last one."""
        self._is_closed = True
        await self._source.close()

    async def refresh(self) -> ActionRefusal | None:
        """Poll now: a back-off and an authentication hold are skipped, a Retry-After never.

        Answers once a poll that began after the call is done or failed: with None, or with why there was none. It does
        not wait for a store that somebody else keeps from being written.
        """
        if self._is_closed:
            return STOPPING
        held = self._session.held
        if held > 0:
            return _refusal(f"{self.system.name} asked us to wait", held)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self.wake()
        while not (await asyncio.wait([waiter], timeout=_GLANCE))[0]:
            if self._write_health.is_stuck:
                return _not_stored(self.system.name, self._write_health.problem())
        return waiter.result()

    def _not_polled(self, error: Exception) -> ActionRefusal:
        if isinstance(error, LeaseLost):
            return self.elsewhere
        return _not_stored(self.system.name, in_our_words(error) if is_failure(error) else None)

    @property
    def is_here(self) -> bool:
        """Whether this process polls the system, as far as it knows."""
        return self._session.is_ours

    @property
    def unanswered(self) -> ActionRefusal:
        """What is answered in the place of another process that does not."""
        return _refusal(self.standby.sentence)

    def _is_polled(self, by: Polled) -> bool:
        return self.standby.polled is by

    def _heed_lease(self) -> None:
        self.standby.look()
        if self._session.has_turned:
            self.wake()

    def wake(self) -> None:
        """Between polls: see at once whether somebody asks for one, or watches what was not watched."""
        self._wakeup.set()

    # ---- one poll

    async def _poll(self) -> float:
        """One poll and its commit. Returns the seconds to wait before the next."""
        known, started = self._session.known, self._session.now()
        assert known is not None
        self._session.memory.see_question()
        try:
            with self._polls.seconds.labels(self.system.name).time():
                observation = await self._source.poll(known)
        except SourceError as error:
            await self._failed(problem_of(error), started)
        except Exception:
            # an adapter's own mistake: told as a mismatch, logged with its traceback, and never the end of the loop
            self._session.say_exception("the adapter failed", "adapter_failed")
            await self._failed(Problem(SystemErrorCode.MISMATCH, "the adapter failed; the log tells how"), started)
        else:
            await self._answered(observation, started, known)
        return self._session.seconds_until(self._session.state.next_poll_at)

    async def _answered(self, observation: Observation, started: datetime, known: Known) -> None:
        problems, pace = observation.problems, self.system.pace
        self._session.heed(problems)

        def step(before: SystemState) -> SystemState:
            now = self._session.now()
            return after_answer(before, problems, complete=observation.complete, started=started, now=now, pace=pace)

        def write(commit: Commit, before: SystemState, after: SystemState) -> Coroutine[Any, Any, int | None]:
            return commit.poll(observation, before, after)

        try:
            if not await self._session.turn(step, write, known):
                return  # what was asked for rests on what is no longer sure
        except Exception as error:
            if not lies_in_the_values(error):
                raise
            await self._refused(error, started)
            return
        await self._session.judge(known, Judgeable(observation, known, by_poll=True))
        self._background.start(known)

    async def _refused(self, error: Exception, started: datetime) -> None:
        """The store does not take what the adapter gave: it would not do so next time either, so everybody is told."""
        _log.error(
            f"{self.system.name}: what it said cannot be stored: {error}",
            exc_info=error,
            extra={"action": "facts_refused", "system": self.system.name},
        )
        message = "what it said cannot be stored; the log tells why"
        await self._failed(Problem(SystemErrorCode.MISMATCH, message), started)

    async def _failed(self, problem: Problem, started: datetime) -> None:
        self._polls.failures.labels(self.system.name, problem.code.name).inc()
        self._session.heed([problem])

        def step(before: SystemState) -> SystemState:
            pace, now = self.system.pace, self._session.now()
            return after_failure(before, problem, started=started, now=now, pace=pace, chance=self._chance)

        await self._session.turn(step, Commit.failure)

    # ---- between polls

    async def _idle(self, seconds: float) -> None:
        """Until the next poll is due, somebody asks for one, or the lease is another's; meanwhile look at what runs or
        is watched, each live_interval after the last time that the system was asked."""
        now, interval = asyncio.get_running_loop().time, self.system.live_interval
        end, due = now() + seconds, now() + interval
        may_look = self._session.state.health not in DOWN
        while (left := end - now()) > 0 and not self._waiting and not self._session.has_turned:
            jobs = self._to_look_at() if may_look else frozenset()
            pause = min(left, due - now()) if jobs else left
            if pause > 0:
                await self._pause(pause)
            elif jobs:
                may_look = await self._look(jobs, left)
                due = now() + interval
        more = self._session.held
        if left <= 0 < more and not self._waiting:  # what goes on beside the polls was asked to wait
            await self._idle(more)

    async def _pause(self, seconds: float) -> None:
        """So long, or until it is woken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wakeup.wait()
        self._wakeup.clear()

    def _to_look_at(self) -> frozenset[str]:
        known = self._session.known
        if known is None or self._session.held > 0:
            return frozenset()
        return self._watches.among(self.system.name, known.open_jobs) | frozenset(known.running_jobs)

    async def _look(self, jobs: frozenset[str], seconds: float) -> bool:
        """One look at these jobs, within so many seconds. False: no more before the next poll."""
        known, state = self._session.known, self._session.state
        if known is None:
            return False
        self._session.memory.see_question()
        try:
            async with asyncio.timeout(seconds):
                observation = await self._source.look(known, jobs)
        except SourceError as error:
            await self._session.hold([problem_of(error)])
            return False
        except TimeoutError:
            return False
        except Exception:
            self._session.say_exception("the adapter failed when it looked at what runs", "adapter_failed")
            return False
        try:
            await self._session.hold(observation.problems)
            await self._session.commit(known, lambda commit: commit.look(observation, state))
        except Exception:
            self._session.forget(known)
            self._session.say_exception("what runs could not be stored; it will be polled again", "store_failed")
            return False
        await self._session.judge(known, Judgeable(observation, known, by_poll=False))
        self._background.start(known)
        return True


def _refusal(message: str, seconds: float | None = None) -> ActionRefusal:
    return ActionRefusal(ActionFailureCode.UPSTREAM_UNAVAILABLE, f"{message}.", retry_after_seconds=seconds)


def _not_stored(system: str, why: str | None) -> ActionRefusal:
    message = f"What {system} says cannot be stored" + (f": {why}." if why else ".")
    return ActionRefusal(ActionFailureCode.STORE_UNAVAILABLE, message)


#: what ``refresh`` answers while the gateway ends
STOPPING = _refusal("the gateway is being stopped")


def _answer(waiting: Sequence[Waiter], outcome: ActionRefusal | None) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(outcome)
