"""What notices follow from: where something may be amiss, and how it stands there. All of it only reads."""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import ConditionSeverity, ConnectorStatus, JobStatus, NoticeKind, SystemErrorCode
from connectory.store.log.cursors import Place
from connectory.store.reads.rows import newest_jobs
from connectory.store.rows import Row, batches
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


@dataclass(frozen=True, slots=True)
class Present:
    """The systems at one position of the log. Rows have the attributes of their table's columns."""

    place: Place
    #: by id; those too that are no longer configured
    systems: Mapping[str, Any]

    @property
    def position(self) -> int:
        return self.place.position


@dataclass(frozen=True, slots=True)
class Picture:
    """What the notices of some owners follow from: of connectors, and of systems for their own sake. Rows have the
    attributes of their tables' columns."""

    present: Present
    #: those systems that are among the owners
    own_systems: Sequence[Any]
    #: those that are not over, whether raised or not
    notices: Sequence[Row]
    #: those of WARNING or CRITICAL weight
    conditions: Sequence[Any]
    #: by id
    connectors: Mapping[str, Any]
    #: connector → its newest ended job; only where that failed and nobody has been told yet
    failed_jobs: Mapping[str, Any]
    #: by id; those that failed, those whose conditions are over, and the latest of connectors in error
    jobs: Mapping[str, Any]
    #: system → (began, ended), newest first, back to the oldest of these failures; not those that began with our
    #: credentials refused: the upstream was well
    outages: Mapping[str, Sequence[tuple[datetime, datetime | None]]]
    #: (system, source) of the connectors of systems that are down
    sources: frozenset[tuple[str, str]]

    @property
    def systems(self) -> Mapping[str, Any]:
        return self.present.systems


async def read_present(connection: AsyncConnection) -> Present:
    end = select(LOG_HEAD.c.position, LOG_HEAD.c.mark, LOG_START.c.store).select_from(LOG_ENDS)
    position, mark, store = (await connection.execute(end)).one()
    place = Place(position, mark, store)
    return Present(place, {row.id: row for row in await connection.execute(select(SYSTEMS))})


# ---- where to look


async def reaches_back(connection: AsyncConnection, beyond: int | None, position: int) -> bool:
    """Whether the log still has every row from ``beyond`` to its end; never where nobody has looked before (None)."""
    if beyond is None or beyond == position:
        return beyond is not None
    return bool(beyond >= (await connection.execute(select(LOG_START.c.position))).scalar_one())


async def failing(connection: AsyncConnection, beyond: int | None) -> set[str]:
    """Connectors whose last finished job failed or that are in error, of those that the log tells of after ``beyond``;
    None: of all."""
    return await _failing(connection, true() if beyond is None else CONNECTORS.c.id.in_(_told(beyond)))


async def failing_in(connection: AsyncConnection, system_ids: Collection[str]) -> set[str]:
    """Those of these systems."""
    return await _failing(connection, CONNECTORS.c.system_id.in_(system_ids)) if system_ids else set()


async def burdened(connection: AsyncConnection, system_ids: Collection[str]) -> set[str]:
    """Connectors of these systems of which a condition of weight holds."""
    return await _burdened(connection, CONDITIONS.c.system_id.in_(system_ids)) if system_ids else set()


async def stirred(connection: AsyncConnection, beyond: int, known: Set[str]) -> set[str]:
    """Connectors that the log tells of after ``beyond``: with which something is amiss, or which are ``known``."""
    told = await _ids(connection, _told(beyond))
    if not told:
        return set()
    bear = await _burdened(connection, CONDITIONS.c.connector_id.in_(_told(beyond)))
    return told & known | bear | await failing(connection, beyond)


def _told(beyond: int) -> Any:
    """Whatever its jobs and its conditions change of a connector stands in a row of its own."""
    e = EVENTS.c
    own = (e.position > beyond, e.job_id.is_(None), e.connector_id.is_not(None))
    return select(e.connector_id).where(*own).distinct()


async def _failing(connection: AsyncConnection, criterion: Any) -> set[str]:
    c = CONNECTORS.c
    fails = or_(c.last_finished_job_status == JobStatus.FAILED, c.status == ConnectorStatus.ERROR)
    return await _ids(connection, select(c.id).where(fails, c.removed_at.is_(None), criterion))


async def _burdened(connection: AsyncConnection, criterion: Any) -> set[str]:
    weighty = CONDITIONS.c.severity.in_(_WEIGHTY)
    return await _ids(connection, select(CONDITIONS.c.connector_id).where(criterion, weighty).distinct())


async def _ids(connection: AsyncConnection, statement: Any) -> set[str]:
    return set((await connection.execute(statement)).scalars())


# ---- how it stands there


async def read_picture(
    connection: AsyncConnection, present: Present, owners: Collection[str], notices: Sequence[Row]
) -> Picture:
    """``present``: of the same snapshot; ``owners``: global ids; ``notices``: theirs that are not over."""
    systems = [present.systems[id] for id in owners if id in present.systems]
    ids = sorted(set(owners).difference(present.systems))
    connectors = await _by_id(connection, CONNECTORS, ids, _CONNECTOR_COLUMNS)
    conditions = await _conditions(connection, ids)
    known = {row["connector_id"] for row in notices if row["kind"] is NoticeKind.JOB_FAILED and row["raised_at"]}
    failed = [
        id for id, row in connectors.items() if id not in known and row.last_finished_job_status is JobStatus.FAILED
    ]
    heads = {id: each["finished"] for id, each in (await newest_jobs(connection, failed)).items() if each["finished"]}
    holding = {(row.connector_id, row.code) for row in conditions}
    over = {row["job_id"] for row in notices if (row["connector_id"], row["code"]) not in holding}
    in_error = {row.latest_job_id for row in connectors.values() if row.status is ConnectorStatus.ERROR}
    wanted = (over | in_error | {head["id"] for head in heads.values()}) - {None}
    jobs = await _by_id(connection, JOBS, sorted(wanted), _JOB_COLUMNS)
    failed_jobs = {
        id: jobs[head["id"]] for id, head in heads.items() if head["id"] in jobs and head["status"] is JobStatus.FAILED
    }
    return Picture(
        present=present,
        own_systems=systems,
        notices=notices,
        conditions=conditions,
        connectors=connectors,
        failed_jobs=failed_jobs,
        jobs=jobs,
        outages=await _outages(connection, _oldest_ends([connectors[id] for id in failed], failed_jobs)),
        sources=await _sources(connection, [row.id for row in systems if row.down_since is not None]),
    )


_CONNECTOR_COLUMNS = (
    "id", "system_id", "external_id", "name", "source", "status", "last_finished_job_status", "last_sync_at",
    "error_message", "removed_at", "latest_job_id", "first_seen_at",
)  # fmt: skip
_JOB_COLUMNS = ("id", "status", "completed_at", "error_message")
_CONDITION_COLUMNS = ("subject_id", "code", "connector_id", "job_id", "severity", "since", "message", "evidence")


async def _by_id(connection: AsyncConnection, table: Any, ids: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for some in batches(ids):
        statement = select(*(table.c[name] for name in names)).where(table.c.id.in_(some))
        found |= {row.id: row for row in await connection.execute(statement)}
    return found


async def _conditions(connection: AsyncConnection, connector_ids: Sequence[str]) -> list[Any]:
    c = CONDITIONS.c
    found: list[Any] = []
    for some in batches(connector_ids):
        of = select(*(c[name] for name in _CONDITION_COLUMNS)).where(c.connector_id.in_(some))
        found += (await connection.execute(of.where(c.severity.in_(_WEIGHTY)))).all()
    return found


def _oldest_ends(connectors: Sequence[Any], failed_jobs: Mapping[str, Any]) -> dict[str, datetime]:
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
