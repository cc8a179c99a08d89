"""A world to ask about: six systems with some seventy connectors and several hundred jobs, chosen by a seeded chance,
written by the real engine's commits, and the same once more as plain Python objects to compare with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from connectory.engine.judging.health import connector_health
from connectory.engine.judging.views import Finding
from connectory.engine.memory.held import condition_row
from connectory.engine.pace import Pace, SystemState, after_answer, after_failure
from connectory.engine.recording.commit import Commit
from connectory.engine.recording.order import microseconds
from connectory.limits import OperationLimits
from connectory.model import (
    AccessType,
    ConditionCode,
    ConditionSeverity,
    ConnectorFact,
    ConnectorHealth,
    ConnectorMode,
    ConnectorStatus,
    CountsFact,
    JobFact,
    JobStatus,
    JobTrigger,
    JobType,
    Known,
    Observation,
    Problem,
    Role,
    SystemErrorCode,
    SystemHealth,
)
from connectory.store import Store
from connectory.store.leases.rows import Lease, lease_of
from connectory.store.tables.identity import CONNECTOR, JOB, SYSTEM, global_id
from connectory.store.writes.registration import Registration, register_systems
from connectory.store.writes.rows import replace_conditions
from resolvers.context import Context, Viewer
from schema import build_schema
from tests.facts import at, connector, details, job

NOW = at(10_000)
SCHEMA = build_schema()
SOURCES = ("web", "slack", "s3", "kafka", "mysql")
NAMES = (
    "Straße", "STRASSE zwei", "İstanbul", "istanbul", "ısı", "ISI", "Éclair", "éclair", "E\u0301clair", "100 %", "100x",
    "a_b", "axb", "back\\slash", "slash/ed", "Rocket 🚀", "rocket", "", " ", "quote's \"q\"", "Ω ohm", "ω",
    "ﬁ ligature", "FI", "\ufffd", "日本語",
)  # fmt: skip
#: What a ConnectorFact field or a JobFact field is drawn from.
DOCS = (None, None, 0, 1, 5, 5, 100, 2**31, 2**40, 2**53 + 1)


def seconds(chance: Random) -> datetime | None:
    """A moment before NOW, often the same, sometimes none; with microseconds."""
    return chance.choice((None, at(100), at(chance.randrange(9000)), at(chance.randrange(9000) + 0.123456)))


@dataclass
class SystemModel:
    name: str
    kind: str
    stale_after: float = 90.0
    health: SystemHealth = SystemHealth.UP
    observed_at: datetime = NOW
    state: SystemState = field(default_factory=SystemState)
    known: Known = field(default_factory=Known)

    @property
    def id(self) -> str:
        return global_id(SYSTEM, self.name)


@dataclass
class ConnectorModel:
    system: SystemModel
    fact: ConnectorFact
    #: of its own, when it was missing from the last answer
    seen: datetime | None = None
    removed_at: datetime | None = None
    #: codes of the conditions that were judged, its own and those of its open jobs
    judged: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return global_id(CONNECTOR, self.system.name, self.fact.external_id)

    @property
    def observed_at(self) -> datetime:
        return self.seen or self.system.observed_at

    @property
    def is_stale(self) -> bool:
        return NOW - self.observed_at > timedelta(seconds=self.system.stale_after)

    @property
    def health(self) -> ConnectorHealth:
        return connector_health(self.fact)

    @property
    def conditions(self) -> set[str]:
        down = self.system.health in (SystemHealth.DOWN, SystemHealth.AUTH_FAILED)
        return self.judged | {code for code, holds in (("STALE", self.is_stale), ("SYSTEM_DOWN", down)) if holds}


@dataclass
class JobModel:
    system: SystemModel
    fact: JobFact
    connector: ConnectorModel | None
    status: JobStatus
    conditions: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return global_id(JOB, self.system.name, self.fact.external_id)

    @property
    def connector_id(self) -> str | None:
        return None if self.fact.connector is None else global_id(CONNECTOR, self.system.name, self.fact.connector)

    @property
    def source(self) -> str | None:
        return self.fact.source or (self.connector.fact.source if self.connector else None)

    @property
    def created_order(self) -> int:
        return microseconds(self.fact.order_at)


@dataclass
class World:
    url: str = ""
    systems: list[SystemModel] = field(default_factory=list)
    connectors: list[ConnectorModel] = field(default_factory=list)
    jobs: list[JobModel] = field(default_factory=list)

    @property
    def present(self) -> list[ConnectorModel]:
        return [each for each in self.connectors if each.removed_at is None]


def pace() -> Pace:
    return Pace(15, 60, 300)


class Writer:
    """Writes polls of one system as the engine would."""

    def __init__(self, store: Store, system: SystemModel, rolls_up: frozenset[str] = frozenset()) -> None:
        self.store, self.system, self._rolls_up = store, system, rolls_up

    def _commit(self, now: datetime) -> Commit:
        system = self.system
        lease = Lease(lease_of(system.name), 0)
        return Commit(self.store, system.id, system.name, self._rolls_up, system.known, now, lease=lease)

    async def poll(self, now: datetime, connectors: list[ConnectorFact], jobs: list[JobFact] = [], **more: Any) -> None:  # noqa: B006
        said = Observation(connectors=connectors, jobs=jobs, **more)
        before = self.system.state
        after = after_answer(before, said.problems, complete=said.complete, started=now, now=now, pace=pace())
        await self._commit(now).poll(said, before, after)
        self._passed(after)

    async def fail(self, now: datetime, code: SystemErrorCode = SystemErrorCode.TIMEOUT) -> None:
        before = self.system.state
        problem = Problem(code, f"it said {code}")
        after = after_failure(before, problem, started=now, now=now, pace=pace(), chance=Random(1))
        await self._commit(now).failure(before, after)
        self._passed(after)

    def _passed(self, after: SystemState) -> None:
        self.system.state = after
        self.system.health = after.health
        if after.observed_at is not None:
            self.system.observed_at = after.observed_at


async def register(store: Store, *systems: SystemModel) -> None:
    await register_systems(
        store, [Registration(each.name, each.kind, ("JOB_HISTORY",), each.stale_after) for each in systems]
    )


async def begin(store: Store, name: str = "alpha", kind: str = "onyx", **more: Any) -> Writer:
    """One configured system, not polled yet."""
    system = SystemModel(name, kind, **more)
    await register(store, system)
    return Writer(store, system)


def some_connector(chance: Random, id: str) -> ConnectorFact:
    mode = chance.choice((ConnectorMode.BATCH, ConnectorMode.BATCH, ConnectorMode.STREAMING, ConnectorMode.FEDERATED))
    said: dict[str, Any] = {
        "name": chance.choice(NAMES),
        "source": chance.choice(SOURCES),
        "mode": mode,
        "status": chance.choice(list(ConnectorStatus)),
    }
    if mode is not ConnectorMode.FEDERATED:
        said |= {
            "access_type": chance.choice((None, *AccessType)),
            "docs_indexed": chance.choice(DOCS),
            "last_job_status": chance.choice((None, *JobStatus)),
            "last_finished_job_status": chance.choice((None, JobStatus.SUCCEEDED, JobStatus.FAILED)),
            "in_progress": chance.random() < 0.3,
            "last_success_at": seconds(chance),
            "details": chance.choice((None, details("OtherConnectorDetails", {"data": {"n": id, "🚀": [1, None]}}))),
        }
    return connector(id, **said)


def some_job(chance: Random, id: str, of: str | None, status: JobStatus) -> JobFact:
    return job(
        id,
        of,
        status,
        order_at=at(chance.randrange(50)),  # many ties
        source=chance.choice((None, None, *SOURCES)),
        type=chance.choice(list(JobType)),
        trigger=chance.choice(list(JobTrigger)),
        counts=CountsFact(indexed=chance.choice(DOCS)),
        processed=chance.choice(DOCS),
        total=chance.choice((None, 0, 10, 2**40)),
        started_at=seconds(chance),
        completed_at=None if status.open else seconds(chance),
    )


async def build(store: Store, seed: int = 7) -> World:
    """Alpha is fresh but for the connectors that its last answers lacked; gamma is stale; delta is down, not stale yet;
    epsilon is both. Zeta has never answered, and eta is no longer configured."""
    chance = Random(seed)
    world = World(url=store.address.url)
    names = {"alpha": "onyx", "beta": "elastic", "gamma": "onyx", "delta": "feldera", "epsilon": "elastic"}
    world.systems = [SystemModel(name, kind) for name, kind in names.items()]
    world.systems.append(SystemModel("zeta", "zensearch", health=SystemHealth.UNKNOWN))
    hidden = SystemModel("eta", "onyx")
    await register(store, *world.systems, hidden)
    for system in (*world.systems[:5], hidden):
        shown = await _populate(Writer(store, system), chance)
        if system is not hidden:
            world.connectors += shown[0]
            world.jobs += shown[1]
    await register(store, *world.systems)
    await _judge(store, world, Random(seed))
    return world


async def _judge(store: Store, world: World, chance: Random) -> None:
    """Some conditions, of a weight that leaves health alone."""
    rows = []
    for row in (*world.present, *world.jobs):
        job = row if isinstance(row, JobModel) else None
        of = row.connector if isinstance(row, JobModel) else row
        if chance.random() < 0.6 or of is None or of.removed_at or (job and not job.fact.status.open):
            continue
        codes = [ConditionCode.QUEUED, ConditionCode.NO_PROGRESS] if job else [ConditionCode.OVERDUE]
        for code in chance.sample(codes, chance.randint(1, len(codes))):
            of.judged.add(code.name)
            if job:
                job.conditions.add(code.name)
            holds = finding(of.id, job.id if job else None, code, ConditionSeverity.INFO)
            rows.append(condition_row(of.system.id, holds))
    async with store.write() as connection:
        await replace_conditions(connection, rows)


def finding(connector_id: str, job_id: str | None, code: ConditionCode, severity: ConditionSeverity) -> Finding:
    """A condition that has held since a moment of its own."""
    return Finding(
        subject_id=job_id or connector_id,
        connector_id=connector_id,
        job_id=job_id,
        code=code,
        severity=severity,
        since=at(100 + code.value),
        message=f"It is {code.name}.",
        evidence={"code": code.name},
    )


async def _populate(writer: Writer, chance: Random) -> tuple[list[ConnectorModel], list[JobModel]]:
    system = writer.system
    # ids that mean something to base64, to paths and to people; equal ones in every system
    facts = [some_connector(chance, id) for id in ("1", "web/eins", "x:y", "ü 🚀", *(f"c{n}" for n in range(10)))]
    states = (*JobStatus, JobStatus.RUNNING, JobStatus.CANCELING)
    jobs = [
        some_job(chance, f"{system.name[0]}{n}", chance.choice([*(f.external_id for f in facts), "unknown", None]), s)
        for n in range(60)
        for s in [chance.choice(states)]
    ]
    first, last = NOW - timedelta(seconds=600), NOW
    if system.name in ("gamma", "epsilon"):
        last = NOW - timedelta(seconds=91)
    elif system.name in ("delta", "beta"):
        last = NOW - timedelta(seconds=90)  # the limit itself is still fresh
    await writer.poll(first, facts, jobs)
    removed, missing = {"c0", "c1"}, {"c2", "c3", "c4"}
    kept = [fact for fact in facts if fact.external_id not in removed]
    middle = NOW - timedelta(seconds=200)
    await writer.poll(middle, kept)
    await writer.poll(middle, kept)
    await writer.poll(last, [f for f in kept if f.external_id not in missing], complete=False)
    if system.name == "delta":
        await writer.fail(NOW)
        await writer.fail(NOW)
    elif system.name == "epsilon":
        await writer.fail(NOW, SystemErrorCode.AUTH_FAILED)
    models = {fact.external_id: ConnectorModel(system, fact) for fact in facts}
    for id in removed:
        models[id].seen, models[id].removed_at = first, middle
    for id in missing:
        models[id].seen = middle
    return list(models.values()), [
        JobModel(system, f, models.get(f.connector or ""), _kept_status(f, removed)) for f in jobs
    ]


def _kept_status(fact: JobFact, removed: set[str]) -> JobStatus:
    """Nobody knows how an open job of a removed connector ended."""
    lost = fact.status.open and not fact.ended and fact.connector in removed
    return JobStatus.UNKNOWN if lost else fact.status


# ---- asking


def open_context(store: Store, now: datetime = NOW, limits: OperationLimits | None = None) -> Context:
    return Context(store, Viewer("test", Role.VIEWER), clock=lambda: now, limits=limits)


async def run(ctx: Context, query: str, variables: Mapping[str, Any] | None = None) -> tuple[Any, list[Any]]:
    """Data and errors of one operation."""
    result = await SCHEMA.execute(query, variable_values=dict(variables or {}), context_value=ctx)
    return result.data, list(result.errors or ())


class Asker:
    """Asks a store, each time with a context of its own."""

    def __init__(self, store: Store, now: datetime = NOW, limits: OperationLimits | None = None) -> None:
        self.store, self.now, self.limits = store, now, limits
        #: SQL statements of the last operation
        self.statements = 0

    async def try_(self, query: str, **variables: Any) -> tuple[Any, list[Any]]:
        ctx = open_context(self.store, self.now, self.limits)
        try:
            answer = await run(ctx, query, variables)
            self.statements = (await ctx.snapshot()).statements
        finally:
            await ctx.close()
        return answer

    async def __call__(self, query: str, **variables: Any) -> Any:
        """The data of an operation without errors."""
        data, errors = await self.try_(query, **variables)
        assert not errors, errors
        return data

    async def refused(self, query: str, **variables: Any) -> str:
        """The message of the one BAD_USER_INPUT that an operation gives."""
        _, (error,) = await self.try_(query, **variables)
        assert (error.extensions or {}).get("code") == "BAD_USER_INPUT", repr(error)
        return str(error.message)


def in_order(rows: list[Any], value: Callable[[Any], Any], *, descending: bool) -> list[str]:
    """Ids by ``value``: nulls last in both directions, ties by id."""
    told = sorted((row for row in rows if value(row) is not None), key=lambda row: row.id)
    told.sort(key=value, reverse=descending)  # ties stay in the order of ids either way
    return [row.id for row in told] + sorted(row.id for row in rows if value(row) is None)
