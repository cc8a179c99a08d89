"""Notices in the store: what they follow from, how they are written, and the queue of each receiver."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.model import (
    ConditionCode,
    ConditionSeverity,
    ConnectorStatus,
    DeliveryPhase,
    JobStatus,
    NoticeKind,
    SystemErrorCode,
)
from connectory.store.tables import (
    CONDITIONS,
    CONNECTORS,
    DELIVERIES,
    EVENTS,
    JOBS,
    LOG_HEAD,
    NOTICES,
    NOTIFIER,
    OUTAGES,
    SYSTEMS,
)
from connectory.store.writes import batches, insert_rows, newest_jobs, update_rows

Row = dict[str, Any]

_WEIGHTY = (ConditionSeverity.WARNING, ConditionSeverity.CRITICAL)
#: Of an outage that failures are compared with; older ones are nobody's cause any more.
_OUTAGES = 10


class Overtaken(Exception):
    """Another process has written notices meanwhile; what was read is out of date."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What notices follow from, at one position of the log. Rows have the attributes of their tables' columns."""

    position: int
    turn: int
    #: of the newest delivery
    sequence: int
    #: by id; those too that are no longer configured
    systems: Mapping[str, Any]
    #: those of WARNING or CRITICAL weight, without message and evidence
    conditions: Sequence[Any]
    #: (subject, code) → message of those conditions that no raised notice tells of yet, or that have got worse
    messages: Mapping[tuple[str, ConditionCode], str]
    #: those that are not over, whether raised or not
    notices: Sequence[Row]
    #: notice → receivers that it was told to
    told: Mapping[str, frozenset[str]]
    #: whatever the rest mentions, and those that have failed of late
    connectors: Mapping[str, Any]
    #: connector → its newest ended job; only where that failed and nobody has been told yet
    failed_jobs: Mapping[str, Any]
    #: by id; those that failed and those whose conditions are over
    jobs: Mapping[str, Any]
    #: system → (began, ended), newest first; not those that began with our credentials refused: the upstream was well
    outages: Mapping[str, Sequence[tuple[datetime, datetime | None]]]
    #: (system, source) of connectors that are there
    sources: frozenset[tuple[str, str]]


async def log_position(connection: AsyncConnection) -> int:
    position: int = (await connection.execute(select(LOG_HEAD.c.position))).scalar_one()
    return position


async def answers(connection: AsyncConnection, system_ids: Collection[str]) -> dict[str, datetime | None]:
    """System → its last answer that read the list."""
    statement = select(SYSTEMS.c.id, SYSTEMS.c.observed_at).where(SYSTEMS.c.id.in_(system_ids))
    return {row.id: row.observed_at for row in await connection.execute(statement)}


async def read_picture(connection: AsyncConnection, beyond: int | None) -> Picture:
    """Of the connectors whose jobs fail only those that the log tells of after ``beyond``, by default after where the
    notifier left off; all of them where the log does not reach back to it, or it never began."""
    notifier, position = await _notifier(connection), await log_position(connection)
    beyond = notifier.position if beyond is None else beyond
    systems = {row.id: row for row in await connection.execute(select(SYSTEMS))}
    weighty = select(*(CONDITIONS.c[name] for name in _CONDITION_COLUMNS)).where(CONDITIONS.c.severity.in_(_WEIGHTY))
    conditions = (await connection.execute(weighty)).all()
    still = select(NOTICES).where(NOTICES.c.recovered_at.is_(None))
    notices = [dict(row) for row in (await connection.execute(still)).mappings()]
    failing = await _failing(connection, beyond, position)
    mentioned = {row["connector_id"] for row in notices} | {row.connector_id for row in conditions} | failing
    connectors = await _by_id(connection, CONNECTORS, mentioned - {None}, _CONNECTOR_COLUMNS)
    known = {row["connector_id"] for row in notices if row["kind"] is NoticeKind.JOB_FAILED and row["raised_at"]}
    failed = [
        id for id, row in connectors.items() if id not in known and row.last_finished_job_status is JobStatus.FAILED
    ]
    heads = {id: each["finished"] for id, each in (await newest_jobs(connection, failed)).items() if each["finished"]}
    holding = {(row.connector_id, row.code) for row in conditions}
    over = {row["job_id"] for row in notices if (row["connector_id"], row["code"]) not in holding}
    jobs = await _by_id(connection, JOBS, (over | {head["id"] for head in heads.values()}) - {None}, _JOB_COLUMNS)
    return Picture(
        position=position,
        turn=notifier.turn,
        sequence=notifier.sequence,
        systems=systems,
        conditions=conditions,
        messages=await _messages(connection, conditions, notices),
        notices=notices,
        told=await _told(connection),
        connectors=connectors,
        failed_jobs={
            id: jobs[head["id"]]
            for id, head in heads.items()
            if head["id"] in jobs and head["status"] is JobStatus.FAILED
        },
        jobs=jobs,
        outages=await _outages(connection, {connectors[id].system_id for id in failed}),
        sources=await _sources(connection, [id for id, row in systems.items() if row.down_since is not None]),
    )


_CONNECTOR_COLUMNS = (
    "id", "system_id", "external_id", "name", "source", "status", "last_finished_job_status", "last_sync_at",
    "error_message", "removed_at",
)  # fmt: skip
_JOB_COLUMNS = ("id", "status", "completed_at", "error_message")
_CONDITION_COLUMNS = ("subject_id", "code", "connector_id", "job_id", "severity", "since")


async def _notifier(connection: AsyncConnection) -> Any:
    return (await connection.execute(select(NOTIFIER))).one()


async def _failing(connection: AsyncConnection, beyond: int | None, position: int) -> set[str]:
    """Connectors whose last finished job failed or that are in error, as far as something happened to them."""
    at = EVENTS.c.position
    oldest = (await connection.execute(select(func.min(at)))).scalar()
    # without any row the log may have been longer
    whole = beyond is None or (beyond < position if oldest is None else beyond < oldest - 1)
    c = CONNECTORS.c
    failing = or_(c.last_finished_job_status == JobStatus.FAILED, c.status == ConnectorStatus.ERROR)
    statement = select(c.id).where(failing, c.removed_at.is_(None))
    if not whole:
        touched = select(EVENTS.c.connector_id).where(at > beyond, EVENTS.c.job_id.is_(None))
        statement = statement.where(c.id.in_(touched))
    return set((await connection.execute(statement)).scalars())


async def _by_id(connection: AsyncConnection, table: Any, ids: set[str], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for some in batches(sorted(ids)):
        statement = select(*(table.c[name] for name in names)).where(table.c.id.in_(some))
        found |= {row.id: row for row in await connection.execute(statement)}
    return found


async def _messages(
    connection: AsyncConnection, conditions: Sequence[Any], notices: Sequence[Row]
) -> dict[tuple[str, ConditionCode], str]:
    raised = {(row["connector_id"], row["code"]): row["severity"] for row in notices if row["raised_at"]}
    c, found, wanted = CONDITIONS.c, {}, set()
    for row in conditions:
        known = raised.get((row.connector_id, row.code))
        if known is None or row.severity.value > known.value:
            wanted.add(row.subject_id)
    for some in batches(sorted(wanted)):
        for row in await connection.execute(select(c.subject_id, c.code, c.message).where(c.subject_id.in_(some))):
            found[row.subject_id, row.code] = row.message
    return found


async def _told(connection: AsyncConnection) -> dict[str, frozenset[str]]:
    d = DELIVERIES.c
    still = NOTICES.c.recovered_at.is_(None)
    statement = select(d.notice_id, d.receiver).join(NOTICES, NOTICES.c.id == d.notice_id)
    found = defaultdict(set)
    for notice, receiver in await connection.execute(statement.where(still, d.phase == DeliveryPhase.RAISED)):
        found[notice].add(receiver)
    return {notice: frozenset(receivers) for notice, receivers in found.items()}


async def _outages(connection: AsyncConnection, system_ids: set[str]) -> dict[str, list[tuple[datetime, Any]]]:
    o, found = OUTAGES.c, {}
    for id in sorted(system_ids):
        was_down = and_(o.system_id == id, o.code != SystemErrorCode.AUTH_FAILED)
        newest = select(o.started_at, o.ended_at).where(was_down).order_by(o.id.desc()).limit(_OUTAGES)
        found[id] = [(row.started_at, row.ended_at) for row in await connection.execute(newest)]
    return found


async def _sources(connection: AsyncConnection, system_ids: Sequence[str]) -> frozenset[tuple[str, str]]:
    if not system_ids:
        return frozenset()
    c = CONNECTORS.c
    statement = select(c.system_id, c.source).where(c.system_id.in_(system_ids), c.removed_at.is_(None)).distinct()
    return frozenset((row.system_id, row.source) for row in await connection.execute(statement))


# ---- writing


async def move_notifier(connection: AsyncConnection, picture: Picture, deliveries: int) -> None:
    """Called first in a transaction: the row lock keeps two notifiers apart. Raises Overtaken."""
    n = NOTIFIER.c
    moved = {"position": picture.position, "turn": picture.turn + 1, "sequence": picture.sequence + deliveries}
    written = await connection.execute(update(NOTIFIER).where(n.turn == picture.turn).values(**moved))
    if not written.rowcount:
        raise Overtaken


async def write_notices(
    connection: AsyncConnection,
    new: Sequence[Row],
    changed: Sequence[Row],
    dropped: Sequence[str],
    deliveries: Sequence[Row],
) -> None:
    for some in batches(dropped):
        await connection.execute(delete(NOTICES).where(NOTICES.c.id.in_(some), NOTICES.c.raised_at.is_(None)))
    # what somebody acknowledges meanwhile is not ours to write
    kept = ("acknowledged_at", "acknowledged_by")
    await update_rows(connection, NOTICES, [{k: v for k, v in row.items() if k not in kept} for row in changed])
    await insert_rows(connection, NOTICES, new)
    await insert_rows(connection, DELIVERIES, deliveries)


async def acknowledge(connection: AsyncConnection, notice: str, by: str, now: datetime) -> bool:
    """Whoever was first stays. False: no such notice has been raised."""
    n = NOTICES.c
    known = and_(n.id == notice, n.raised_at.is_not(None))
    first = update(NOTICES).where(known, n.acknowledged_at.is_(None)).values(acknowledged_at=now, acknowledged_by=by)
    if (await connection.execute(first)).rowcount:
        return True
    return (await connection.execute(select(n.id).where(known))).first() is not None


# ---- queues

#: neither delivered nor given up
WAITING = and_(DELIVERIES.c.delivered_at.is_(None), DELIVERIES.c.dead_at.is_(None))


async def next_delivery(connection: AsyncConnection, receiver: str) -> Any:
    """The oldest that waits; None when there is none."""
    d = DELIVERIES.c
    waiting = select(DELIVERIES).where(d.receiver == receiver, WAITING).order_by(d.sequence).limit(1)
    return (await connection.execute(waiting)).first()


async def begin_attempt(connection: AsyncConnection, delivery: Any, next_attempt_at: datetime) -> bool:
    """Count an attempt before it is made. False: somebody else has begun one meanwhile, or has come to an end."""
    d = DELIVERIES.c
    same = and_(d.id == delivery.id, d.attempts == delivery.attempts, WAITING)
    values = {"attempts": delivery.attempts + 1, "next_attempt_at": next_attempt_at}
    return bool((await connection.execute(update(DELIVERIES).where(same).values(**values))).rowcount)


async def end_attempt(connection: AsyncConnection, delivery_id: str, outcome: Mapping[str, Any]) -> None:
    """``outcome``: delivered_at; or last_error with next_attempt_at or dead_at."""
    await connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == delivery_id, WAITING).values(**outcome))


async def give_up_unknown(connection: AsyncConnection, receivers: Sequence[str], now: datetime) -> int:
    """What waits for receivers other than these is dead. Returns how many."""
    unknown = and_(WAITING, DELIVERIES.c.receiver.not_in(receivers))
    values = {"dead_at": now, "last_error": "The receiver is no longer configured."}
    return int((await connection.execute(update(DELIVERIES).where(unknown).values(**values))).rowcount)
