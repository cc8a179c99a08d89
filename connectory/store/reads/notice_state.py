"""What notices follow from: where something may be amiss, and how it stands there. All of it only reads."""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import and_, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import (
    ConditionCode,
    ConditionSeverity,
    ConnectorStatus,
    JobStatus,
    NoticeKind,
    SystemErrorCode,
    SystemHealth,
)
from connectory.store.log.cursors import Place
from connectory.store.reads.rows import newest_jobs
from connectory.store.rows import batches
from connectory.store.tables import (
    CONDITIONS,
    CONNECTORS,
    EVENTS,
    JOBS,
    LOG_ENDS,
    LOG_HEAD,
    LOG_START,
    OUTAGES,
    SYSTEMS,
)

_WEIGHTY = (ConditionSeverity.WARNING, ConditionSeverity.CRITICAL)
#: Of a system's outages, as many as failures are compared with.
_OUTAGES = 1_000


@dataclass(slots=True, kw_only=True)
class Notice:
    """A notice that is not over, or has just come to its end: its row, see NoticeRow."""

    id: str
    key: str
    kind: NoticeKind
    code: ConditionCode | None
    severity: ConditionSeverity
    system_id: str
    connector_id: str | None
    job_id: str | None
    title: str
    message: str
    since: datetime
    seen_at: datetime
    raised_at: datetime | None = None
    position: int | None = None
    mark: int | None = None
    recovered_at: datetime | None = None
    recovery_message: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None

    @property
    def owner(self) -> str:
        """Whose it is: global id of the connector, else of the system."""
        return self.connector_id or self.system_id


class SystemState(NamedTuple):
    """What notices need of a system; columns of its row, as in the other states."""

    id: str
    name: str
    kind: str
    configured: bool
    health: SystemHealth
    observed_at: datetime | None
    #: seconds
    stale_after: float
    down_since: datetime | None
    error_message: str | None


class ConnectorState(NamedTuple):
    """What notices need of a connector."""

    id: str
    system_id: str
    external_id: str
    name: str
    source: str
    status: ConnectorStatus
    last_finished_job_status: JobStatus | None
    last_sync_at: datetime | None
    error_message: str | None
    removed_at: datetime | None
    latest_job_id: str | None
    first_seen_at: datetime | None


class JobState(NamedTuple):
    """What notices need of a job."""

    id: str
    status: JobStatus
    completed_at: datetime | None
    error_message: str | None


class ConditionState(NamedTuple):
    """A condition of WARNING or CRITICAL weight."""

    #: global id of a connector, or of an open job
    subject_id: str
    code: ConditionCode
    connector_id: str
    job_id: str | None
    severity: ConditionSeverity
    since: datetime
    message: str
    #: an object of JSON
    evidence: str


_State = TypeVar("_State", SystemState, ConnectorState, JobState, ConditionState)
_Known = TypeVar("_Known", ConnectorState, JobState)


@dataclass(frozen=True, slots=True)
class SystemsState:
    """The systems at one position of the log."""

    place: Place
    #: by id; those too that are no longer configured
    systems: Mapping[str, SystemState]

    @property
    def position(self) -> int:
        """Of the log."""
        return self.place.position


@dataclass(frozen=True, slots=True)
class NoticeState:
    """What the notices of some owners follow from: of connectors, and of systems for their own sake."""

    current: SystemsState
    #: those systems that are among the owners
    own_systems: Sequence[SystemState]
    #: those that are not over, whether raised or not
    notices: Sequence[Notice]
    #: those of WARNING or CRITICAL weight
    conditions: Sequence[ConditionState]
    #: by id
    connectors: Mapping[str, ConnectorState]
    #: connector → its newest ended job; only where that failed and nobody has been told yet
    failed_jobs: Mapping[str, JobState]
    #: by id; those that failed, those whose conditions are over, and the latest of connectors in error
    jobs: Mapping[str, JobState]
    #: system → (began, ended), newest first, back to the oldest of these failures; not those that began with our
    #: credentials refused: the upstream was well
    outages: Mapping[str, Sequence[tuple[datetime, datetime | None]]]
    #: (system, source) of the connectors of systems that are down
    sources: frozenset[tuple[str, str]]

    @property
    def systems(self) -> Mapping[str, SystemState]:
        """By id; those too that are no longer configured."""
        return self.current.systems

    def connector_of(self, notice: Notice) -> ConnectorState | None:
        """None for a system as a whole, or once retention has removed it."""
        return None if notice.connector_id is None else self.connectors.get(notice.connector_id)

    def job_of(self, notice: Notice) -> JobState | None:
        """None where it is about no job, or about one that was not read."""
        return None if notice.job_id is None else self.jobs.get(notice.job_id)


async def read_systems(connection: AsyncConnection) -> SystemsState:
    """At the end of the log, as the connection's snapshot shows it."""
    end = select(LOG_HEAD.c.position, LOG_HEAD.c.mark, LOG_START.c.store).select_from(LOG_ENDS)
    position, mark, store = (await connection.execute(end)).one()
    place = Place(position, mark, store)
    return SystemsState(place, {system.id: system for system in await _read(connection, SYSTEMS, SystemState)})


# ---- where to look


async def reaches_back(connection: AsyncConnection, beyond: int | None, position: int) -> bool:
    """Whether the log still has every row from ``beyond`` to its end; never where nobody has looked before (None)."""
    if beyond is None or beyond == position:
        return beyond is not None
    return bool(beyond >= (await connection.execute(select(LOG_START.c.position))).scalar_one())


async def failing(connection: AsyncConnection, beyond: int | None) -> set[str]:
    """Connectors whose last finished job failed or that are in error, of those that the log tells of after ``beyond``;
    None: of all."""
    return await _failing(connection, true() if beyond is None else CONNECTORS.c.id.in_(_changed(beyond)))


async def failing_in(connection: AsyncConnection, system_ids: Collection[str]) -> set[str]:
    """Those of these systems."""
    return await _failing(connection, CONNECTORS.c.system_id.in_(system_ids)) if system_ids else set()


async def connectors_with_conditions(connection: AsyncConnection, system_ids: Collection[str]) -> set[str]:
    """Connectors of these systems of which a condition of weight holds."""
    return await _with_conditions(connection, CONDITIONS.c.system_id.in_(system_ids)) if system_ids else set()


async def changed_connectors(connection: AsyncConnection, beyond: int, known: Set[str]) -> set[str]:
    """Connectors that the log tells of after ``beyond``: with which something is amiss, or which are ``known``."""
    changed = await _ids(connection, _changed(beyond))
    if not changed:
        return set()
    with_conditions = await _with_conditions(connection, CONDITIONS.c.connector_id.in_(_changed(beyond)))
    return changed & known | with_conditions | await failing(connection, beyond)


def _changed(beyond: int) -> Any:
    """Whatever its jobs and its conditions change of a connector stands in a row of its own."""
    e = EVENTS.c
    own = (e.position > beyond, e.job_id.is_(None), e.connector_id.is_not(None))
    return select(e.connector_id).where(*own).distinct()


async def _failing(connection: AsyncConnection, criterion: Any) -> set[str]:
    c = CONNECTORS.c
    fails = or_(c.last_finished_job_status == JobStatus.FAILED, c.status == ConnectorStatus.ERROR)
    return await _ids(connection, select(c.id).where(fails, c.removed_at.is_(None), criterion))


async def _with_conditions(connection: AsyncConnection, criterion: Any) -> set[str]:
    weighty = CONDITIONS.c.severity.in_(_WEIGHTY)
    return await _ids(connection, select(CONDITIONS.c.connector_id).where(criterion, weighty).distinct())


async def _ids(connection: AsyncConnection, statement: Any) -> set[str]:
    return set((await connection.execute(statement)).scalars())


# ---- how it stands there


async def read_notice_state(
    connection: AsyncConnection, current: SystemsState, owners: Collection[str], notices: Sequence[Notice]
) -> NoticeState:
    """``current``: of the same snapshot; ``owners``: global ids; ``notices``: theirs that are not over."""
    systems = [current.systems[id] for id in owners if id in current.systems]
    ids = sorted(set(owners).difference(current.systems))
    connectors = await _by_id(connection, CONNECTORS, ids, ConnectorState)
    conditions = await _conditions(connection, ids)
    known = {row.connector_id for row in notices if row.kind is NoticeKind.JOB_FAILED and row.raised_at}
    failed = [
        id for id, row in connectors.items() if id not in known and row.last_finished_job_status is JobStatus.FAILED
    ]
    heads = {id: each["finished"] for id, each in (await newest_jobs(connection, failed)).items() if each["finished"]}
    holding = {(row.connector_id, row.code) for row in conditions}
    over = {row.job_id for row in notices if (row.connector_id, row.code) not in holding}
    in_error = {row.latest_job_id for row in connectors.values() if row.status is ConnectorStatus.ERROR}
    wanted = {id for id in (*over, *in_error, *(head["id"] for head in heads.values())) if id is not None}
    jobs = await _by_id(connection, JOBS, sorted(wanted), JobState)
    failed_jobs = {
        id: jobs[head["id"]] for id, head in heads.items() if head["id"] in jobs and head["status"] is JobStatus.FAILED
    }
    return NoticeState(
        current=current,
        own_systems=systems,
        notices=notices,
        conditions=conditions,
        connectors=connectors,
        failed_jobs=failed_jobs,
        jobs=jobs,
        outages=await _outages(connection, _oldest_ends([connectors[id] for id in failed], failed_jobs)),
        sources=await _sources(connection, [row.id for row in systems if row.down_since is not None]),
    )


async def _read(connection: AsyncConnection, table: Any, state: type[_State], *criteria: Any) -> list[_State]:
    """The table's rows that meet the criteria, as far as ``state`` has them."""
    statement = select(*(table.c[name] for name in state._fields)).where(*criteria)
    return [state(*row) for row in await connection.execute(statement)]


async def _by_id(connection: AsyncConnection, table: Any, ids: Sequence[str], state: type[_Known]) -> dict[str, _Known]:
    found: dict[str, _Known] = {}
    for some in batches(ids):
        found |= {row.id: row for row in await _read(connection, table, state, table.c.id.in_(some))}
    return found


async def _conditions(connection: AsyncConnection, connector_ids: Sequence[str]) -> list[ConditionState]:
    c = CONDITIONS.c
    found: list[ConditionState] = []
    for some in batches(connector_ids):
        found += await _read(connection, CONDITIONS, ConditionState, c.connector_id.in_(some), c.severity.in_(_WEIGHTY))
    return found


def _oldest_ends(connectors: Sequence[ConnectorState], failed_jobs: Mapping[str, JobState]) -> dict[str, datetime]:
    """By system, when the oldest of these failures came to its end."""
    found: dict[str, datetime] = {}
    for row in connectors:
        ended = failed_jobs[row.id].completed_at if row.id in failed_jobs else row.last_sync_at
        if ended is not None:
            found[row.system_id] = min(ended, found.get(row.system_id, ended))
    return found


async def _outages(
    connection: AsyncConnection, back_to: Mapping[str, datetime]
) -> dict[str, list[tuple[datetime, Any]]]:
    o, found = OUTAGES.c, {}
    for id, oldest in sorted(back_to.items()):
        lasted = or_(o.ended_at.is_(None), o.ended_at >= oldest)
        was_down = and_(o.system_id == id, o.code != SystemErrorCode.AUTH_FAILED, lasted)
        newest = select(o.started_at, o.ended_at).where(was_down).order_by(o.id.desc()).limit(_OUTAGES)
        found[id] = [(row.started_at, row.ended_at) for row in await connection.execute(newest)]
    return found


async def _sources(connection: AsyncConnection, system_ids: Sequence[str]) -> frozenset[tuple[str, str]]:
    if not system_ids:
        return frozenset()
    c = CONNECTORS.c
    statement = select(c.system_id, c.source).where(c.system_id.in_(system_ids), c.removed_at.is_(None)).distinct()
    return frozenset((row.system_id, row.source) for row in await connection.execute(statement))
