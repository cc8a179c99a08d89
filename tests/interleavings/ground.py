"""Two gateways in one process, the store that they share, and what is checked after each of their transactions."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from random import Random

from connectory.config.settings import RetentionSettings
from connectory.engine import Engine
from connectory.engine.memory.held import key_of
from connectory.engine.memory.known import recall
from connectory.engine.retention import Retention
from connectory.model import Known
from connectory.store import Store
from connectory.store.tables.identity import SYSTEM, global_id
from tests.facts import at, configured
from tests.interleavings.held import Activity, Answer, Call, HeldSource, HeldStore
from tests.interleavings.leases import NEVER, expire_leases, is_polled_by
from tests.interleavings.model import SYSTEM_NAME, Model
from tests.interleavings.picture import Picture, check_log, check_rows, picture
from tests.interleavings.upstream import Upstream
from tests.wait import PATIENCE, until

#: Seconds; long enough that no poll begins by itself.
_POLL_INTERVAL = 200.0
#: What retention keeps: jobs of so many days, so many jobs of each connector, so many rows of the log.
KEPT = RetentionSettings(jobs_days=0.01, jobs_per_connector=4, events=60, outages_per_system=3)


class Gateway:
    """A process of its own, as far as the database can tell."""

    def __init__(self, ground: "Ground", number: int) -> None:
        self._ground, self._number = ground, number
        self.store = self._open()
        self.source = HeldSource(ground.upstream, self._arrived)
        self.engine: Engine | None = None
        #: whether what it remembers has to be what the store has
        self.is_sure = False
        self.delivered: list[Answer] = []
        self._asking: set[asyncio.Task[object]] = set()

    def _open(self) -> HeldStore:
        store = HeldStore(self._ground.url, self._ground.activity, self._committed)
        store.leases.expiry = NEVER
        return store

    async def start(self) -> None:
        self.is_sure = False
        times = {"poll_interval": _POLL_INTERVAL, "auth_probe_interval": _POLL_INTERVAL, "live_interval": 0.0}
        system = configured(self.source, SYSTEM_NAME, examines=True, **times)
        self.engine = Engine(self.store, [system], clock=self._now, chance=Random(self._number))
        await self.engine.start()

    async def stop(self) -> None:
        """Whatever waits at the store's door is lost."""
        self.store.lose_waiting()
        if self.engine is not None:
            await asyncio.wait_for(self.engine.stop(), PATIENCE)
            await asyncio.gather(*self._asking)
        self.engine = None
        await self.store.close()
        self.store = self._open()

    def refresh(self) -> None:
        assert self.engine is not None
        task = asyncio.create_task(self.engine.refresh(SYSTEM_NAME))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    @property
    def is_asked(self) -> bool:
        return bool(self._asking)

    def _now(self) -> datetime:
        return self._ground.now + timedelta(milliseconds=self._number)  # two clocks are never the same

    def forget_answers(self) -> None:
        """What has not been stored by now never is, unless something waits: all else may wait behind that."""
        if not self.store.waiting:
            for answer in self.delivered:
                answer.is_over = True
            self.delivered.clear()

    async def _committed(self, answer: Answer | None) -> None:
        with self._ground.noticed():
            await self._ground.committed(self, answer)

    async def _arrived(self, call: Call) -> None:
        """Who polls has just made sure that it remembers what the store has, unless it lost the lease unawares."""
        call.asked = self._ground.model.stored
        if call.kind == "poll":
            with self._ground.noticed():
                self.is_sure = await self._ground.is_polled_by(self)
        if self.is_sure and call.kind != "findings":
            with self._ground.noticed():
                await self._ground.remembers(call)

    async def check_conditions(self) -> None:
        """What is remembered to hold is what is stored."""
        if not self.is_sure or self.engine is None:
            return
        session = self.engine.pollers[SYSTEM_NAME]._session
        if session.known is not None:
            remembered = {(*key_of(each), each.severity, each.since) for each in session.memory.held.findings.values()}
            stored = self._ground.last.conditions
            held = {(row["subject_id"], row["code"], row["severity"], row["since"]) for row in stored}
            assert remembered == held, f"conditions: remembered {remembered - held}, stored {held - remembered}"


class Ground:
    """Use ``async with Ground(url)``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.upstream, self.model = Upstream(), Model()
        self.activity = Activity()
        self.seconds = 0.0
        self.gateways = [Gateway(self, number) for number in range(2)]
        #: the one to poll
        self.holder = self.gateways[0]
        self._sweeping: asyncio.Task[object] | None = None
        self._sweeper = HeldStore(url, self.activity, self._swept)
        self._wrong: list[Exception] = []
        self._observer = Store(url)
        self.last: Picture

    async def __aenter__(self) -> "Ground":
        await self._observer.open()
        self.last = await picture(self._observer, 0)
        for gateway in self.gateways:
            await gateway.start()
            await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sweeper.lose_waiting()
        if self._sweeping is not None:
            await asyncio.gather(self._sweeping, return_exceptions=True)
        for gateway in self.gateways:
            await gateway.stop()
        await self._sweeper.close()
        await self._observer.close()

    @property
    def now(self) -> datetime:
        return at(self.seconds)

    @contextlib.contextmanager
    def noticed(self) -> Iterator[None]:
        """The engine would log what is wrong and go on."""
        try:
            with self.activity.one():
                yield
        except Exception as error:
            self._wrong.append(error)

    async def settle(self) -> None:
        """Let everything come to where it waits for the test. Raises what was found to be wrong."""
        await self.activity.calm()
        for gateway in self.gateways:
            gateway.forget_answers()
        for error in self._wrong:
            raise error
        for gateway in self.gateways:
            await gateway.check_conditions()

    # ---- what the test does

    def deliver(self, call: Call, answer: Answer) -> None:
        next(gateway for gateway in self.gateways if call in gateway.source.calls).delivered.append(answer)
        call.answer.set_result(answer)

    async def pass_lease(self) -> None:
        """The lease goes to the other gateway, which polls; the one that had it hears nothing."""
        self.holder = next(gateway for gateway in self.gateways if gateway is not self.holder)
        await expire_leases(self._observer)
        self.holder.refresh()

    @property
    def is_swept(self) -> bool:
        """Whether what is too old is being removed."""
        return self._sweeping is not None

    async def sweep(self) -> None:
        """Begin to remove what is too old, or remove one portion more."""
        if self._sweeping is None:
            self._sweeper.is_shut = True
            retention = Retention(self._sweeper, KEPT, clock=lambda: self.now, timer=lambda: 0.0)
            self._sweeping = asyncio.create_task(retention.sweep())
        elif self._sweeper.waiting:
            self._sweeper.let_go()
            await self.activity.calm()
        sweeping = self._sweeping

        async def waits_or_is_done() -> bool:
            return bool(self._sweeper.waiting) or sweeping.done()

        await until(waits_or_is_done, within=PATIENCE, every=0.002)
        if self._sweeping.done():
            self._sweeping.result()
            self._sweeping = None

    # ---- what is checked

    async def committed(self, gateway: Gateway, answer: Answer | None) -> None:
        before = await self._look()
        if answer is not None:
            self.model.store(answer)
            for other in self.gateways:
                other.is_sure = other.is_sure and other is gateway
        if answer is not None and answer.kind == "findings":
            self._check_findings(before, answer)
        else:
            assert not {
                id for id in before.errors if id in self.last.jobs and self.last.errors.get(id) != before.errors[id]
            }, "failed documents changed without a closer look"
        assert before.jobs.keys() <= self.last.jobs.keys(), "jobs are lost"
        assert before.connectors.keys() <= self.last.connectors.keys(), "connectors are lost"
        check_log(before, self.last)
        self._check_all()

    async def _swept(self, _: Answer | None) -> None:
        with self.noticed():
            before = await self._look()
            self.model.remove(before, self.last, timedelta(days=KEPT.jobs_days), KEPT.jobs_per_connector, self.now)
            self._check_all()

    async def _look(self) -> Picture:
        before, self.last = self.last, await picture(self._observer, self.last.position)
        return before

    def _check_all(self) -> None:
        check_rows(self.last)
        self.model.compare(self.last)

    def _check_findings(self, before: Picture, answer: Answer) -> None:
        seen = {id: [each.message for each in found.errors or ()] for id, found in (answer.content or {}).items()}
        for id, errors in self.last.errors.items():
            name = self.last.jobs[id]["external_id"]
            assert errors == before.errors.get(id) or errors == seen.get(name), f"failed documents of {name}: {errors}"

    async def is_polled_by(self, gateway: Gateway) -> bool:
        return await is_polled_by(gateway.store, self._observer, SYSTEM_NAME)

    async def remembers(self, call: Call) -> None:
        async with self._observer.read() as connection:
            known, _ = await recall(connection, global_id(SYSTEM, SYSTEM_NAME))
        for id in [id for id, each in call.known.connectors.items() if each.is_removed]:
            if id not in known.connectors:  # retention has removed its row
                known.connectors[id] = call.known.connectors[id]
        moments = [each.newest_job_at for each in (call.known, known) if each.newest_job_at is not None]
        known.newest_job_at = max(moments, default=None)  # retention may have removed that job
        assert call.known == known, f"at the {call.kind}: {_differences(call.known, known)}"


def _differences(remembered: Known, stored: Known) -> str:
    pairs = [(f.name, getattr(remembered, f.name), getattr(stored, f.name)) for f in fields(Known)]
    pairs += [
        (id, remembered.connectors.get(id), stored.connectors.get(id))
        for id in remembered.connectors.keys() | stored.connectors.keys()
    ]
    differing = [f"{name}: remembered {a}, stored {b}" for name, a, b in pairs if a != b and name != "connectors"]
    return "; ".join(differing)
