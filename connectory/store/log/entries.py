"""The change log: rows as records, and what stands for those that are not kept."""

from typing import Any

from connectory.model import ConnectorHealth, ConnectorStatus, EventKind, JobStatus, SystemHealth
from connectory.store.log.cursors import Place
from connectory.store.reads.records import EventRecord, GapRecord
from connectory.store.reads.snapshot import Snapshot
from connectory.store.tables import EVENTS

EVENT_COLUMNS = [
    EVENTS.c[name]
    for name in (
        "position", "at", "kind", "system_id", "connector_id", "job_id", "status", "previous_status", "health",
        "previous_health", "processed", "changed_fields", "message", "mark",
    )
]  # fmt: skip

_CONNECTOR_KINDS = frozenset({EventKind.CONNECTOR_ADDED, EventKind.CONNECTOR_CHANGED, EventKind.CONNECTOR_REMOVED})
_JOB_KINDS = frozenset({EventKind.JOB_CREATED, EventKind.JOB_PROGRESSED, EventKind.JOB_CHANGED, EventKind.JOB_FINISHED})


def gap(snapshot: Snapshot, from_: str) -> GapRecord:
    """What stands for all that is not kept: from the cursor ``from_`` to where the log begins."""
    to = snapshot.start.cursor
    return GapRecord(snapshot.start.position, to, snapshot.now, EventKind.GAP, from_=from_, to=to)


def gap_after(snapshot: Snapshot, position: int) -> GapRecord | None:
    """What is no longer kept of the rows after ``position``; None when all of them are there."""
    if position >= snapshot.start.position:
        return None
    return gap(snapshot, Place(position, None, snapshot.store).cursor)


def event_record(row: Any, store: int) -> EventRecord:
    """A record from EVENT_COLUMNS, of the log of the store with this id."""
    (position, at, kind, system_id, connector_id, job_id, status, previous, health, previous_health, processed, changed,
     message, mark) = row  # fmt: skip
    record = EventRecord(
        typename="SystemEvent", position=position, cursor=Place(position, mark, store).cursor, at=at, kind=kind,
        system_id=system_id, connector_id=connector_id, job_id=job_id, processed=processed, message=message or "",
        changed_fields=changed.split(",") if changed else [],
    )  # fmt: skip
    if kind in _CONNECTOR_KINDS:
        record.typename = "ConnectorEvent"
        record.connector_status = ConnectorStatus(status)
        record.previous_connector_status = None if previous is None else ConnectorStatus(previous)
        record.connector_health = ConnectorHealth(health)
        record.previous_connector_health = None if previous_health is None else ConnectorHealth(previous_health)
    elif kind in _JOB_KINDS:
        record.typename = "JobEvent"
        record.job_status = JobStatus(status)
        record.previous_job_status = None if previous is None else JobStatus(previous)
    else:
        record.system_health = SystemHealth(health)
    return record
