"""What the tasks of one system share: what is known of it, one commit at a time, and when it may be asked again."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from connectory.engine.configured import ConfiguredSystem
from connectory.engine.memory.known import recall
from connectory.engine.memory.system_memory import SystemMemory
from connectory.engine.pace import SystemState, asked_to_wait, backoff
from connectory.engine.recording.commit import Commit
from connectory.engine.recording.conditions import Judgeable, Judgement
from connectory.model import Known, Problem, SystemErrorCode, SystemHealth
from connectory.store import Store
from connectory.store.error_texts import DatabaseError
from connectory.store.leases.rows import Lease, LeaseLost, lease_of
from connectory.store.log.bus import Bus
from connectory.store.reads.records import DOWN
from connectory.store.tables.identity import SYSTEM, global_id
from connectory.store.transactions import shielded
from connectory.store.write_health import is_failure, reason

_log = logging.getLogger(__name__)


class SystemSession:
    """One system's memory and its place in the store. ``known`` is None until it has been recalled."""

    def __init__(
        self, store: Store, system: ConfiguredSystem, bus: Bus, *, clock: Callable[[], datetime], chance: Random
    ) -> None:
        self.system, self.store = system, store
        self.id = global_id(SYSTEM, system.name)
        self._name = lease_of(system.name)
        self.known: Known | None = None
        #: recalled and forgotten together with ``known``
        self.memory = SystemMemory()
        self.state = SystemState()
        self._bus, self._clock, self._chance = bus, clock, chance
        #: one commit at a time: whatever is committed rests on the same memory
        self._turn = asyncio.Lock()
        #: under which the memory was read; None: another process polls
        self._lease: Lease | None = None
        #: what a Retry-After forbids to ask before
        self._not_before: datetime | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this process is the one to poll, as far as it knows."""
        return self._lease is not None and not self.has_turned

    @property
    def has_turned(self) -> bool:
        """Whether it is another one now, or we are."""
        return self.store.leases.held(self._name) != self._lease

    async def recall(self) -> bool:
        """Make sure that this process is the one to poll, and that it remembers. False: another one polls."""
        if self.has_turned:
            self.known = self._lease = None
        lease = await self.store.leases.hold(self._name)
        if lease is not None and (self.known is None or lease != self._lease):
            async with self._turn:
                await self._read(lease)
        return lease is not None

    async def _read(self, lease: Lease) -> None:
        memory = SystemMemory()
        async with self.store.read() as connection:
            known, self.state = await recall(connection, self.id)
            await memory.recall(connection, self.id, self.now())
        self.known, self.memory, self._lease = known, memory, lease
        if self.state.error_code is SystemErrorCode.RATE_LIMITED:
            self._not_before = self.state.next_poll_at  # a restart does not shorten what was asked for

    def forget(self, known: Known | None = None) -> None:
        """The store knows better than we do what it has. With ``known``: only if that is still the memory."""
        if known is None or known is self.known:
            self.known = None

    async def commit(self, known: Known, write: Callable[[Commit], Coroutine[Any, Any, int | None]]) -> bool:
        """Commit what was seen, and wake. False: the memory that it rests on was lost meanwhile; nothing is stored."""
        async with self._turn:
            if known is not self.known:
                return False
            await self.write(known, write)
        return True

    async def turn(
        self,
        step: Callable[[SystemState], SystemState | None],
        write: Callable[[Commit, SystemState, SystemState], Coroutine[Any, Any, int | None]],
        known: Known | None = None,
    ) -> bool:
        """Commit what turns the system's state: ``step`` gives the state after the one that is found when it is our
        turn, None where there is nothing to do. With ``known`` it rests on that, as in ``commit``."""
        async with self._turn:
            if known is not None and known is not self.known:
                return False
            before = self.state
            after = step(before)
            if after is not None:
                await self.write(known or Known(), lambda commit: write(commit, before, after))
                self.passed(after)
        return True

    async def write(self, known: Known, write: Callable[[Commit], Coroutine[Any, Any, int | None]]) -> None:
        kind, name = self.system.kind, self.system.name
        if self._lease is None:
            raise LeaseLost
        commit = Commit(
            self.store, self.id, name, kind.rolls_up, known, self.now(), lease=self._lease, examines=kind.examines,
            memory=self.memory,
        )  # fmt: skip
        position = await shielded(write(commit))
        if position is not None:
            self._bus.wake(position)

    async def judge(self, known: Known, judgeable: Judgeable) -> None:
        """Judge connectors that were just seen, and wake when that changed anything. A judgement that
        fails is logged, not raised: what was seen is stored."""
        try:
            async with self._turn:
                if known is not self.known or self._lease is None:
                    return
                judgement = Judgement(self.store, self.system, self.memory, self.now(), lease=self._lease)
                position = await shielded(judgement.run(judgeable))
        except Exception as error:
            if isinstance(error, LeaseLost | DatabaseError | OSError):
                self.forget(known)  # the store may have something else than we remember
            self.say_exception("what was seen could not be judged; it will be after the next poll", "judging_failed")
        else:
            if position is not None:
                self._bus.wake(position)

    async def hold(self, problems: Sequence[Problem]) -> None:
        """Heed what came with an answer beside the polls. Where it forbids to ask, everybody is told at once: the next
        poll, which would tell, comes only after the wait. A store that does not take it is logged, not raised."""
        self.heed(problems)
        asking = next((problem for problem in problems if problem.retry_after), None)
        if asking is None:
            return

        def wait(before: SystemState) -> SystemState | None:
            if self.held == 0:
                return None
            return replace(
                before,
                health=before.health if before.health in DOWN else SystemHealth.DEGRADED,
                error_code=SystemErrorCode.RATE_LIMITED,
                error_message=asking.message,
                error_at=self.now(),
                next_poll_at=self._not_before,
            )

        try:
            await self.turn(wait, Commit.failure)
        except Exception:
            self.forget()
            self.say_exception("that it asked us to wait could not be stored", "store_failed")

    def passed(self, after: SystemState) -> None:
        """The state that has been committed; a change of health is logged once."""
        before, self.state = self.state, after
        if before.health is not after.health:
            level = logging.WARNING if after.health in DOWN else logging.INFO
            _log.log(
                level,
                f"{self.system.name} is {after.health}" + (f": {after.error_message}" if after.error_message else ""),
                extra={"action": "system_health", "system": self.system.name, "health": after.health.name},
            )

    # ---- time

    def now(self) -> datetime:
        return self._clock()

    def heed(self, problems: Sequence[Problem]) -> None:
        """A Retry-After holds whatever becomes of the answer that carried it."""
        asked = asked_to_wait(problems)
        if asked:
            moment = self.now() + timedelta(seconds=asked)
            self._not_before = max(moment, self._not_before or moment)

    @property
    def held(self) -> float:
        """Seconds that a Retry-After still forbids to ask."""
        return self.seconds_until(self._not_before)

    def seconds_until(self, moment: datetime | None) -> float:
        return 0.0 if moment is None else max(0.0, (moment - self.now()) / timedelta(seconds=1))

    def after_backoff(self, failures: int) -> datetime:
        """When to try again after so many failures in a row."""
        return self.now() + timedelta(seconds=backoff(failures, self.system.pace, self._chance))

    def say_exception(self, sentence: str, action: str) -> None:
        """What is being handled now; of a store that fails what it says is enough."""
        error, extra = sys.exception(), {"action": action, "system": self.system.name}
        if isinstance(error, LeaseLost):
            taken = f"{self.system.name}: another gateway polls it now, or did meanwhile; nothing of this was stored"
            _log.info(taken, extra=extra | {"action": "overtaken"})
        elif error is not None and is_failure(error):
            _log.error(f"{self.system.name}: {sentence}: {reason(error)}", extra=extra)
        else:
            _log.exception(f"{self.system.name}: {sentence}", extra=extra)
