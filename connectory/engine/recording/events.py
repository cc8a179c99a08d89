"""Third step, differences → events: the log's rows of what a commit changes. Pure."""

from collections.abc import Callable, Set
from datetime import datetime

from connectory.engine.polling.pace import SystemState, transition
from connectory.engine.recording.changes import connector_event, job_event
from connectory.engine.recording.connectors import ConnectorDifference
from connectory.engine.recording.jobs import JobDifference
from connectory.model import EventKind, SystemHealth
from connectory.slices import slices
from connectory.store.rows import Row


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
