"""The change log: rows as records, and cursors into it."""

import base64
import binascii
from typing import Any

from sqlalchemy import func, select

from connectory.model import ConnectorHealth, ConnectorStatus, EventKind, JobStatus, SystemHealth
from connectory.store.records import EventRecord, GapRecord
from connectory.store.snapshot import Snapshot
from connectory.store.tables import EVENTS

EVENT_COLUMNS = [
    EVENTS.c[name]
    for name in (
        "position", "at", "kind", "system_id", "connector_id", "job_id", "status", "previous_status", "health",
        "previous_health", "processed", "changed_fields", "message",
    )
]  # fmt: skip

_CONNECTOR_KINDS = frozenset({EventKind.CONNECTOR_ADDED, EventKind.CONNECTOR_CHANGED, EventKind.CONNECTOR_REMOVED})
_JOB_KINDS = frozenset({EventKind.JOB_CREATED, EventKind.JOB_PROGRESSED, EventKind.JOB_CHANGED, EventKind.JOB_FINISHED})


def log_cursor(position: int) -> str:
    """The opaque cursor of a position of the change log."""
    return base64.urlsafe_b64encode(f"log:{position}".encode()).decode().rstrip("=")


def log_position(cursor: str) -> int:
    """The position in a cursor. Raises ValueError for anything else."""
    try:
        plain = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise ValueError("not a cursor") from None
    name, _, number = plain.partition(":")
    if name != "log" or not (number.isascii() and number.isdigit()) or len(number) > 19:
        raise ValueError("not a cursor of the change log")
    return int(number)


async def oldest_position(snapshot: Snapshot) -> int:
    """The smallest position of which the row is kept; one beyond the log's end when none is."""
    ((oldest,),) = await snapshot.fetch(select(func.min(EVENTS.c.position)))
    return snapshot.position + 1 if oldest is None else int(oldest)


async def gap_after(snapshot: Snapshot, position: int) -> GapRecord | None:
    """What is no longer kept of the rows after ``position``; None when all of them are there."""
    to = await oldest_position(snapshot) - 1
    if position >= to:
        return None
    return GapRecord(to, log_cursor(to), snapshot.now, EventKind.GAP, from_=log_cursor(position), to=log_cursor(to))


def event_record(row: Any) -> EventRecord:
    """A record from EVENT_COLUMNS."""
    (position, at, kind, system_id, connector_id, job_id, status, previous, health, previous_health, processed, changed,
     message) = row  # fmt: skip
    record = EventRecord(
        typename="SystemEvent", position=position, cursor=log_cursor(position), at=at, kind=kind, system_id=system_id,
        connector_id=connector_id, job_id=job_id, processed=processed, message=message or "",
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
