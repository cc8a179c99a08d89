"""What every adapter promises, checked against its own simulator over real HTTP.

An adapter's test file inherits the checks::

    class TestOnyx(SourceContract):
        kind = SOURCE

        def jobs_held(self, world: OnyxWorld) -> set[str]:
            return {str(number) for number in world.attempts}

``kind.simulator`` and ``kind.simulator_settings`` give the rest; ``settings`` may be overridden. Simulated time stands
still unless a test moves ``upstream.hand``.
"""

import asyncio
import copy
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from connectory.model import (
    Capability,
    ConnectorFact,
    ConnectorStatus,
    CountsFact,
    Details,
    JobErrorFact,
    JobFact,
    JobFindings,
    JobStatus,
    JobType,
    Known,
    KnownConnector,
    Observation,
    SystemErrorCode,
)
from sources.base import (
    ROLLED_UP,
    Source,
    SourceAuthFailed,
    SourceError,
    SourceKind,
    SourceMismatch,
    SourceRateLimited,
    SourceUnreachable,
    SystemSettings,
)
from sources.simulation import FAULTS, REQUESTS, WORLD, Clock, Faults, Running, serve
from tests.sources.cases import every_case

START = datetime(2026, 8, 22, 9, 30, tzinfo=UTC)
#: Seconds of simulated time in which every simulator shows some change.
A_WHILE = 600.0

_Order = tuple[int, datetime]


@dataclass(slots=True)
class Memory(Known):
    """``Known``, with the order of each connector's newest job beside its id."""

    newest: dict[str, _Order] = field(default_factory=dict)


def remember(known: Known, observation: Observation) -> Memory:
    """What the engine knows after ``observation``, as a new object: it keeps fingerprints, open jobs, the newest job
    that moves content of each connector, and the order of the newest job of all. Nothing is ever forgotten but jobs
    that ended, were canceled without a word, or are gone."""
    memory = Memory(
        connectors={external_id: replace(connector) for external_id, connector in known.connectors.items()},
        open_jobs=dict(known.open_jobs),
        newest_job_at=known.newest_job_at,
        newest=dict(known.newest) if isinstance(known, Memory) else {},
    )
    for fact in observation.connectors:
        row = memory.connectors.setdefault(fact.external_id, KnownConnector())
        row.fingerprint = None if fact.external_id in observation.owed else fact.fingerprint
    for job in observation.jobs:
        _remember_job(memory, job)
    for lost in observation.gone_jobs | observation.canceled_jobs:
        memory.open_jobs.pop(lost, None)
    return memory


def _remember_job(memory: Memory, job: JobFact) -> None:
    if job.status.open and not job.ended:
        memory.open_jobs[job.external_id] = job.connector
    else:
        memory.open_jobs.pop(job.external_id, None)
    memory.newest_job_at = max(filter(None, (memory.newest_job_at, job.order_at)))
    row = memory.connectors.get(job.connector or "")
    if row is None or job.connector is None or job.type is JobType.ACCESS_CONTROL:
        return
    order = order_of(job)
    if job.connector not in memory.newest or memory.newest[job.connector] <= order:
        memory.newest[job.connector] = order
        row.latest_job = job.external_id


def order_of(job: JobFact) -> _Order:
    """Jobs of one connector sort by this, oldest first."""
    return (-1 if job.sequence is None else job.sequence, job.order_at)


class Hand:
    """A wall clock that moves only when told: seconds since the world's start."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    def move(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Upstream:
    """A simulator being served, and the means to move and to break it."""

    running: Running
    hand: Hand

    @property
    def world(self) -> Any:
        return self.running.app[WORLD]

    @property
    def requests(self) -> list[str]:
        return self.running.app[REQUESTS]

    def fail(self, **switches: Any) -> None:
        """Switch these faults on and all others off."""
        faults, wanted = self.running.app[FAULTS], Faults(**switches)
        for switch in fields(Faults):
            setattr(faults, switch.name, getattr(wanted, switch.name))


async def collect(source: Source, known: Known, connectors: frozenset[str]) -> tuple[list[JobFact], frozenset[str]]:
    """All of ``history``: its jobs in order, and the connectors that it finished."""
    jobs: list[JobFact] = []
    finished: frozenset[str] = frozenset()
    async for batch in source.history(known, connectors):
        jobs += batch.jobs
        finished |= batch.finished
    return jobs, finished


#: what is switched on → the error, and its code
FAILURES: list[tuple[dict[str, Any], type[SourceError], SystemErrorCode]] = [
    ({"reject_credentials": True}, SourceAuthFailed, SystemErrorCode.AUTH_FAILED),
    ({"rate_limited": True, "retry_after": 7.0}, SourceRateLimited, SystemErrorCode.RATE_LIMITED),
    ({"html_status": 502}, SourceUnreachable, SystemErrorCode.UPSTREAM_ERROR),
    ({"html_status": 503}, SourceUnreachable, SystemErrorCode.UPSTREAM_ERROR),
    ({"html_status": 200}, SourceMismatch, SystemErrorCode.MISMATCH),
    ({"truncate": True}, SourceMismatch, SystemErrorCode.MISMATCH),
    ({"disconnect": True}, SourceUnreachable, SystemErrorCode.UNREACHABLE),
]


class SourceContract:
    """Inherit, set ``kind``, and say which jobs the simulated world holds."""

    kind: ClassVar[SourceKind]
    #: how many looks at least agree with a poll at the same moment; less where jobs are over quickly
    looks_compared: ClassVar[int] = 10
    seed: ClassVar[int] = 7

    def settings(self, url: str) -> dict[str, Any]:
        """The configuration keys that open the simulator served at ``url``."""
        assert self.kind.simulator_settings is not None
        return self.kind.simulator_settings(url)

    def jobs_held(self, world: Any) -> set[str]:
        """External ids of all jobs that the simulated upstream serves now."""
        raise NotImplementedError("tell which jobs the simulated world holds")

    def forged(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The same settings with credentials that the simulator never gave out."""
        return {
            key: f"{value[:-2]}zz" if key in self._secret_keys(settings) else value for key, value in settings.items()
        }

    def _secret_keys(self, settings: dict[str, Any]) -> set[str]:
        declared = self.kind.settings.model_fields
        return {key for key in settings if "Secret" in str(declared[key].annotation)}

    def secrets(self, url: str) -> list[str]:
        settings = self.settings(url)
        return [settings[key] for key in self._secret_keys(settings)]

    def configure(self, served: str, /, **changes: Any) -> SystemSettings:
        entry = {"name": "simulated", "kind": self.kind.name, "timeout": 5.0, **self.settings(served), **changes}
        return self.kind.settings.model_validate(entry)

    def simulate(self) -> Upstream:
        assert self.kind.simulator is not None
        hand = Hand()
        app = self.kind.simulator(seed=self.seed, clock=Clock(start=START, wall=hand))
        return Upstream(serve(app), hand)

    @pytest.fixture
    async def upstream(self) -> AsyncIterator[Upstream]:
        upstream = self.simulate()
        async with upstream.running:
            yield upstream

    @pytest.fixture
    async def connect(self, upstream: Upstream) -> AsyncIterator[Callable[..., Source]]:
        """Opens sources on the simulator, settings changed as told; closes them all at the end."""
        opened: list[Source] = []

        def open_source(**changes: Any) -> Source:
            opened.append(self.kind.open(self.configure(upstream.running.url, **changes)))
            return opened[-1]

        yield open_source
        for source in opened:
            await source.close()

    @pytest.fixture
    def source(self, connect: Callable[..., Source]) -> Source:
        return connect()

    # ---- the kind

    def test_the_kind_describes_itself(self) -> None:
        assert re.fullmatch(r"[a-z0-9-]+", self.kind.name)
        assert issubclass(self.kind.settings, SystemSettings)
        assert self.kind.rolls_up <= ROLLED_UP
        assert self.kind.simulator is not None

    def test_settings_keep_their_secrets(self) -> None:
        url = "http://127.0.0.1:1"
        shown = repr(self.configure(url)) + self.configure(url).model_dump_json()
        for secret in self.secrets(url):
            assert secret not in shown

    # ---- polls

    async def test_poll_tells_sound_connectors(self, source: Source) -> None:
        seen = await source.poll(Known())
        assert seen.complete
        assert not seen.problems
        assert seen.connectors
        ids = [fact.external_id for fact in seen.connectors]
        assert len(set(ids)) == len(ids)
        for fact in seen.connectors:
            check_connector(fact)

    async def test_poll_tells_sound_jobs(self, source: Source) -> None:
        seen = await source.poll(Known())
        connectors = {fact.external_id for fact in seen.connectors}
        assert seen.jobs
        ids = [job.external_id for job in seen.jobs]
        assert len(set(ids)) == len(ids)
        for job in seen.jobs:
            check_job(job)
            assert job.connector is None or job.connector in connectors

    async def test_the_same_world_has_the_same_fingerprints(
        self, source: Source, connect: Callable[..., Source]
    ) -> None:
        first, again, elsewhere = await source.poll(Known()), await source.poll(Known()), await connect().poll(Known())
        assert _fingerprints(first) == _fingerprints(again) == _fingerprints(elsewhere)

    async def test_the_same_seed_is_the_same_world(self, source: Source, upstream: Upstream) -> None:
        twin = self.simulate()
        async with twin.running:
            for world in (upstream, twin):
                world.hand.move(A_WHILE)
            other = self.kind.open(self.configure(twin.running.url))
            try:
                assert _fingerprints(await source.poll(Known())) == _fingerprints(await other.poll(Known()))
            finally:
                await other.close()

    async def test_an_unchanged_world_costs_no_more(self, source: Source, upstream: Upstream) -> None:
        first = await source.poll(Known())
        cost = len(upstream.requests)
        known = remember(Known(), first)
        second = await source.poll(known)
        assert len(upstream.requests) - cost <= cost
        assert all(known.unchanged(fact) for fact in second.connectors)
        told = {job.external_id: job.fingerprint for job in first.jobs}
        assert {job.external_id: job.fingerprint for job in second.jobs}.items() <= told.items()
        assert not second.gone_jobs

    async def test_changes_are_seen(self, source: Source, upstream: Upstream) -> None:
        first = await source.poll(Known())
        known = remember(Known(), first)
        upstream.hand.move(A_WHILE)
        second = await source.poll(known)
        assert any(not known.unchanged(fact) for fact in second.connectors)
        told = {job.external_id: job.fingerprint for job in first.jobs}
        assert any(told.get(job.external_id) != job.fingerprint for job in second.jobs)

    async def test_no_job_is_missed_and_no_word_is_unknown(self, source: Source, upstream: Upstream) -> None:
        known, seen = Known(), dict[str, JobFact]()
        for _ in range(30):
            observation = await source.poll(known)
            assert not observation.problems
            assert not [fact for fact in observation.connectors if fact.status is ConnectorStatus.UNKNOWN]
            assert not [fact for fact in observation.connectors if fact.last_job_status is JobStatus.UNKNOWN]
            assert not [job for job in observation.jobs if job.status is JobStatus.UNKNOWN]
            seen |= {job.external_id: job for job in observation.jobs}
            known = remember(known, observation)
            upstream.hand.move(60.0)
        assert len({job.status for job in seen.values()}) >= 4
        ended = {job.external_id for job in seen.values() if job.ended}
        assert ended
        assert not ended & known.open_jobs.keys()
        began = START + timedelta(seconds=60)
        held = await self._serve_now(source, known, upstream)
        recent = {job: fact.fingerprint for job, fact in held.items() if fact.order_at > began}
        assert recent
        assert recent.items() <= {job: fact.fingerprint for job, fact in seen.items()}.items()

    async def _serve_now(self, source: Source, known: Known, upstream: Upstream) -> dict[str, JobFact]:
        upstream.hand.move(-60.0)  # back to the moment of the last poll, which the world has not left yet
        jobs, _ = await collect(source, known, frozenset(known.connectors))
        return {job.external_id: job for job in jobs}

    # ---- history

    async def test_history_tells_every_job_newest_first(self, source: Source, upstream: Upstream) -> None:
        known = remember(Known(), await source.poll(Known()))
        asked = frozenset(known.connectors)
        jobs, finished = await collect(source, known, asked)
        assert finished == asked
        assert {job.external_id for job in jobs} >= self.jobs_held(upstream.world)
        for job in jobs:
            check_job(job)
        for connector in asked:
            orders = [order_of(job) for job in jobs if job.connector == connector]
            assert orders == sorted(orders, reverse=True)

    async def test_history_of_nothing_is_nothing(self, source: Source) -> None:
        assert await collect(source, Known(), frozenset()) == ([], frozenset())

    # ---- the live lane

    async def knowing_open_jobs(self, source: Source, upstream: Upstream) -> Known:
        """What is known once the simulated world has open jobs. Override where no poll finds one by itself."""
        known: Known = Known()
        for _ in range(60):
            known = remember(known, await source.poll(known))
            if known.open_jobs:
                return known
            upstream.hand.move(10.0)
        raise AssertionError(
            "in ten minutes no poll told an open job: override knowing_open_jobs() in this kind's test"
        )

    async def test_a_look_tells_open_jobs_as_they_are(self, source: Source, upstream: Upstream) -> None:
        """Whatever a poll says of an open job at the same moment, the look before it has said too."""
        known, ended = await self.knowing_open_jobs(source, upstream), set[str]()
        compared = 0
        for _ in range(90):
            upstream.hand.move(10.0)
            asked, before = frozenset(known.open_jobs), copy.deepcopy(known)
            seen = await source.look(known, asked)
            assert known == before, "look() has changed what is known: adapters read it and never write it"
            assert not seen.complete, "a look does not see the whole list: its answer must say complete=False"
            assert not seen.problems
            looked = {job.external_id: job for job in seen.jobs}
            for job in looked.values():
                check_job(job)
            lost = seen.gone_jobs | seen.canceled_jobs
            assert not lost - asked, "look() lost jobs that it was not asked for"
            polled = await source.poll(known)
            told = {job.external_id: job for job in polled.jobs}
            silent = asked - looked.keys() - lost - polled.gone_jobs - polled.canceled_jobs
            assert not silent, f"look() said nothing of {sorted(silent)}, which were asked for"
            assert not seen.gone_jobs & told.keys(), "look() called jobs gone that are still served"
            for name in asked & looked.keys() & told.keys():
                assert _state(looked[name]) == _state(told[name]), f"look() and poll() differ on {name} at one moment"
                compared += 1
            ended |= {name for name in asked & looked.keys() if looked[name].ended} | (asked & seen.canceled_jobs)
            known = remember(known, polled)
            if ended and compared > self.looks_compared:
                return
        assert compared, "no job that was looked at was told by the poll at the same moment"
        raise AssertionError("in fifteen minutes look() told no job's end: those that ended must be told once as ended")

    async def test_a_look_at_one_job_costs_less_than_a_poll(self, source: Source, upstream: Upstream) -> None:
        known = await self.knowing_open_jobs(source, upstream)
        known = remember(known, await source.poll(known))
        start = len(upstream.requests)
        await source.look(known, frozenset(sorted(known.open_jobs)[:1]))
        look = len(upstream.requests) - start
        await source.poll(known)
        poll = len(upstream.requests) - start - look
        assert look < poll, f"a look at one open job took {look} requests, a whole poll takes {poll}"

    async def test_a_look_at_nothing_asks_nothing(self, source: Source, upstream: Upstream) -> None:
        known = remember(Known(), await source.poll(Known()))
        start = len(upstream.requests)
        seen = await source.look(known, frozenset())
        assert not upstream.requests[start:], "look() without jobs needs no request"
        assert not [*seen.jobs, *seen.gone_jobs, *seen.canceled_jobs]
        assert not seen.complete

    async def test_a_look_that_reads_nothing_raises(self, source: Source, upstream: Upstream) -> None:
        known = await self.knowing_open_jobs(source, upstream)
        asked = frozenset(known.open_jobs)
        for switches, expected, _ in FAILURES:
            upstream.fail(**switches)
            with pytest.raises(SourceError) as caught:
                await source.look(known, asked)
            assert type(caught.value) is expected, f"look() under {switches}"
            self._assert_discreet(upstream, caught.value)
        upstream.fail()
        assert not (await source.look(known, asked)).problems

    # ---- the closer look

    async def jobs_to_examine(self, source: Source) -> dict[str, frozenset[str]]:
        """The jobs of each connector that the simulated upstream tells of now."""
        seen = await source.poll(Known())
        known = remember(Known(), seen)
        past, _ = await collect(source, known, frozenset(known.connectors))
        jobs: dict[str, set[str]] = {}
        for job in (*seen.jobs, *past):
            if job.connector in known.connectors:
                jobs.setdefault(job.connector, set()).add(job.external_id)
        return {connector: frozenset(names) for connector, names in jobs.items()}

    async def test_a_closer_look_finds_what_the_kind_promises(self, source: Source, upstream: Upstream) -> None:
        jobs = await self.jobs_to_examine(source)
        assert jobs
        found: dict[str, JobFindings] = {}
        for connector, asked in jobs.items():
            findings = await source.examine(connector, asked)
            assert findings.keys() <= asked, "examine() tells only of the jobs that it was asked for"
            assert findings == await source.examine(connector, asked), "the same world gives the same findings"
            found |= findings
        if not self.kind.examines:
            assert not found, "examine() finds something: the kind must say examines=True, or nobody will ask"
            return
        assert found, "the kind says that it examines, and nothing was found in its simulated world"
        for job in found.values():
            check_findings(job)
        if Capability.DOCUMENT_ERRORS in self.kind.capabilities:
            assert any(job.errors for job in found.values()), "DOCUMENT_ERRORS is promised, and no document is named"
        for secret in self.secrets(upstream.running.url):
            assert secret not in repr(found)

    async def test_a_closer_look_at_nothing_finds_nothing(self, source: Source) -> None:
        connector = min(fact.external_id for fact in (await source.poll(Known())).connectors)
        assert await source.examine(connector, frozenset()) == {}

    async def test_a_closer_look_raises_only_source_errors(self, source: Source, upstream: Upstream) -> None:
        connector, asked = max((await self.jobs_to_examine(source)).items(), key=lambda item: len(item[1]))
        for switches, expected, _ in FAILURES:
            upstream.fail(**switches)
            if not self.kind.examines:
                assert await source.examine(connector, asked) == {}
                continue
            with pytest.raises(SourceError) as caught:
                await source.examine(connector, asked)
            assert type(caught.value) is expected, f"examine() under {switches}"
            self._assert_discreet(upstream, caught.value)

    # ---- failures

    async def test_failures_are_told_apart(self, source: Source, upstream: Upstream) -> None:
        with every_case() as case:
            for fault, error, code in FAILURES:
                with case(fault):
                    upstream.fail(**fault)
                    with pytest.raises(SourceError) as caught:
                        await source.poll(Known())
                    assert type(caught.value) is error
                    assert caught.value.code is code
                    assert str(caught.value)
                    self._assert_discreet(upstream, caught.value)
                    upstream.fail()
                    assert (await source.poll(Known())).complete

    async def test_rate_limits_tell_how_long(self, source: Source, upstream: Upstream) -> None:
        for seconds in (7.0, None):
            upstream.fail(rate_limited=True, retry_after=seconds)
            with pytest.raises(SourceRateLimited) as caught:
                await source.poll(Known())
            assert caught.value.retry_after == seconds

    async def test_silence_is_a_timeout(self, connect: Callable[..., Source], upstream: Upstream) -> None:
        upstream.fail(hang=True)
        began = time.monotonic()
        with pytest.raises(SourceUnreachable) as caught:
            await connect(timeout=0.2).poll(Known())
        assert caught.value.code is SystemErrorCode.TIMEOUT
        assert time.monotonic() - began < 3

    async def test_a_refused_connection_is_unreachable(self, source: Source, upstream: Upstream) -> None:
        await upstream.running.stop()
        with pytest.raises(SourceUnreachable) as caught:
            await source.poll(Known())
        assert caught.value.code is SystemErrorCode.UNREACHABLE
        self._assert_discreet(upstream, caught.value)

    async def test_wrong_credentials_are_refused(self, connect: Callable[..., Source], upstream: Upstream) -> None:
        settings = self.settings(upstream.running.url)
        forged = self.forged(settings)
        assert forged != settings
        with pytest.raises(SourceAuthFailed) as caught:
            await connect(**forged).poll(Known())
        for key in self._secret_keys(forged):
            assert forged[key] not in str(caught.value)

    async def test_history_raises_only_source_errors(self, source: Source, upstream: Upstream) -> None:
        known = remember(Known(), await source.poll(Known()))
        for switches, *_ in FAILURES:
            upstream.fail(**switches)
            try:
                _, finished = await collect(source, known, frozenset(known.connectors))
            except SourceError as error:
                self._assert_discreet(upstream, error)
            else:
                assert finished < frozenset(known.connectors)

    # ---- secrets and connections

    async def test_facts_hold_no_secret(self, source: Source, upstream: Upstream) -> None:
        seen = await source.poll(Known())
        for secret in self.secrets(upstream.running.url):
            assert secret not in repr(seen)

    async def test_close_may_be_called_twice(self, source: Source) -> None:
        await source.poll(Known())
        await source.close()
        await source.close()

    async def test_a_poll_can_be_cancelled(self, source: Source, upstream: Upstream) -> None:
        upstream.fail(hang=True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.poll(Known()), 0.1)
        upstream.fail()
        assert (await source.poll(Known())).complete

    def _assert_discreet(self, upstream: Upstream, error: SourceError) -> None:
        shown = f"{error} {getattr(error, 'sample', '')}"
        for secret in self.secrets(upstream.running.url):
            assert secret not in shown


def _fingerprints(observation: Observation) -> tuple[dict[str, str], dict[str, str]]:
    return (
        {fact.external_id: fact.fingerprint for fact in observation.connectors},
        {job.external_id: job.fingerprint for job in observation.jobs},
    )


def _state(job: JobFact) -> tuple[JobStatus, int | None, bool]:
    return job.status, job.processed, job.ended


def check_findings(found: JobFindings) -> None:
    assert found.errors is None or isinstance(found.errors, tuple)
    for error in found.errors or ():
        assert isinstance(error, JobErrorFact)
        assert isinstance(error.message, str)
        assert error.document_id is None or error.document_id
        check_moment(error.at)
    json.dumps(found.details, allow_nan=False)  # what is found joins the job's details, which are JSON


def check_connector(fact: ConnectorFact) -> None:
    assert fact.external_id
    assert fact.name.strip()
    assert re.fullmatch(r"[a-z0-9_]+", fact.source)
    for moment in (fact.last_success_at, fact.last_sync_at, fact.created_at, fact.updated_at):
        check_moment(moment)
    for number in (fact.docs_indexed, fact.latest_job_docs_indexed):
        check_count(number)
    check_details(fact.details)


def check_job(job: JobFact) -> None:
    assert job.external_id
    check_moment(job.order_at)
    for moment in (job.created_at, job.started_at, job.completed_at, job.last_seen_at, job.canceled_at):
        check_moment(moment)
    if job.started_at and job.completed_at:
        assert job.started_at <= job.completed_at
    for name in CountsFact._fields:
        check_count(getattr(job.counts, name))
    check_count(job.processed)
    check_count(job.total)
    check_details(job.details)


def check_moment(moment: datetime | None) -> None:
    assert moment is None or moment.utcoffset() == timedelta(0)


def check_count(number: int | None) -> None:
    assert number is None or (type(number) is int and 0 <= number < 2**63)


def check_details(details: Details | None) -> None:
    assert details is None or (details.type and isinstance(json.loads(details.json), dict))
