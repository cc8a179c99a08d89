"""Third step, differences → events: the log's rows of what a commit changes. Pure."""

from collections.abc import Callable, Mapping, Set
from datetime import datetime
from typing import Any

from connectory.engine.pace import SystemState, transition
from connectory.engine.recording.connectors import ConnectorDifference
from connectory.engine.recording.jobs import JobDifference
from connectory.model import ConnectorStatus, EventKind, JobStatus, SystemHealth
from connectory.model.fields import CONNECTOR_FIELDS, JOB_FIELDS
from connectory.slices import slices
from connectory.store.rows import Row

#: Column → the GraphQL field whose change it is. Columns that are not here are ours alone.
CONNECTOR_CHANGES = {field.name: field.changed for field in CONNECTOR_FIELDS if field.changed}
JOB_CHANGES = {field.name: field.changed for field in JOB_FIELDS if field.changed}
#: Changes that are a job's progress, and those that alone make one.
_PROGRESS = frozenset({"progress", "counts", "lastSeenAt", "details"})
_MOVES = frozenset({"progress", "counts", "lastSeenAt"})


async def job_events(
    difference: JobDifference, now: datetime, errors_changed: Set[str], has_conditions: Callable[[str], bool]
) -> list[Row]:
    """``errors_changed``: global ids of jobs whose failed documents are others. ``has_conditions``: whether a condition
    holds of a job, which ends when the job does."""
    events = []
    async for new in slices(difference.inserts):
        events += [job_event(None, row, now) for row in new]
    async for updates in slices(difference.updates):
        for before, after in updates:
            id = after["id"]
            ended = id in difference.closed and has_conditions(id)
            events.append(job_event(before, after, now, errors_changed=id in errors_changed, conditions_changed=ended))
    return [event for event in events if event is not None]


async def connector_events(difference: ConnectorDifference, now: datetime, relieved: Set[str]) -> list[Row]:
    """``relieved``: global ids of connectors of which a condition ends."""
    events = []
    async for some in slices(difference.compared):
        for before, after in some:
            events.append(connector_event(before, after, now, conditions_changed=after["id"] in relieved))
    return [event for event in events if event is not None]


def system_event(system_id: str, before: SystemState, after: SystemState, now: datetime) -> Row | None:
    """None when the system's health is as it was."""
    kind = transition(before.health, after.health)
    if kind is None:
        return None
    complete = "It answers completely." if after.health is SystemHealth.UP else "It answers, though not completely."
    message = after.error_message or complete
    if kind is EventKind.SYSTEM_RECOVERED and before.down_since:
        lasted = max(0.0, (now - before.down_since).total_seconds())  # the clock may have been set back
        message = f"It answers again, after {lasted:.0f} seconds. {message}"
    return {
        "at": now,
        "kind": kind,
        "system_id": system_id,
        "connector_id": None,
        "job_id": None,
        "status": None,
        "previous_status": None,
        "health": after.health.value,
        "previous_health": before.health.value,
        "processed": None,
        "changed_fields": None,
        "message": message,
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any], named: Mapping[str, str]) -> list[str]:
    """GraphQL names of the fields that differ, in order, each once."""
    found = {named[name]: None for name, value in after.items() if name in named and before[name] != value}
    return sorted(found)


def connector_event(
    before: Mapping[str, Any] | None, after: Row, now: datetime, *, conditions_changed: bool = False
) -> Row | None:
    """What the log says of a connector's row; None when nothing that GraphQL shows has changed.

    Conditions stand beside the row: ``conditions_changed`` tells of them.
    """
    fields = [] if before is None else changed(before, after, CONNECTOR_CHANGES)
    if before is not None and conditions_changed:
        fields = sorted([*fields, "conditions"])
    if before is not None and not fields:
        return None
    was_there = before is not None and not before["removed_at"]
    is_there = not after["removed_at"]
    if is_there:
        kind = EventKind.CONNECTOR_CHANGED if was_there else EventKind.CONNECTOR_ADDED
    else:  # also one that was never seen in any other way
        kind = EventKind.CONNECTOR_REMOVED if was_there or before is None else EventKind.CONNECTOR_CHANGED
    return {
        "at": now,
        "kind": kind,
        "system_id": after["system_id"],
        "connector_id": after["id"],
        "job_id": None,
        "status": _value(after["status"]),
        "previous_status": _value(before["status"]) if before else None,
        "health": _value(after["health"]),
        "previous_health": _value(before["health"]) if before else None,
        "processed": after["docs_indexed"],
        "changed_fields": ",".join(fields) or None,
        "message": None,
    }


def job_event(
    before: Mapping[str, Any] | None,
    after: Row,
    now: datetime,
    *,
    errors_changed: bool = False,
    conditions_changed: bool = False,
) -> Row | None:
    """What the log says of a job's row; None when nothing that GraphQL shows has changed.

    Failed documents and conditions stand beside the row: ``errors_changed`` and ``conditions_changed`` tell of them.
    """
    fields = [] if before is None else changed(before, after, JOB_CHANGES)
    beside = {"errors": errors_changed, "conditions": conditions_changed}
    if before is not None:
        fields = sorted([*fields, *(name for name, differs in beside.items() if differs)])
    if before is not None and not fields:
        return None
    if before is None:
        kind = EventKind.JOB_CREATED
    elif _ends(before, after):
        kind = EventKind.JOB_FINISHED
    elif _PROGRESS.issuperset(fields) and not _MOVES.isdisjoint(fields):
        kind = EventKind.JOB_PROGRESSED
    else:
        kind = EventKind.JOB_CHANGED
    return {
        "at": now,
        "kind": kind,
        "system_id": after["system_id"],
        "connector_id": after["connector_id"],
        "job_id": after["id"],
        "status": _value(after["status"]),
        "previous_status": _value(before["status"]) if before else None,
        "health": None,
        "previous_health": None,
        "processed": after["processed"],
        "changed_fields": ",".join(fields) or None,
        "message": None,
    }


def _ends(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Also a job that had vanished and is found to have ended, of which nobody knew how."""
    return _ended(after) and (not _ended(before) or bool(before["vanished_at"] and not after["vanished_at"]))


def _ended(row: Mapping[str, Any]) -> bool:
    status: JobStatus = row["status"]
    return status.ended or row["completed_at"] is not None or row["vanished_at"] is not None


def _value(member: ConnectorStatus | JobStatus | Any) -> int:
    value: int = member.value
    return value
