"""A store's tables as they are, and what is wrong with them by themselves or beside the tables before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from connectory.engine.recording.events import CONNECTOR_CHANGES, JOB_CHANGES, changed
from connectory.model import EventKind
from connectory.store import Store
from connectory.store.tables import CONDITIONS, CONNECTORS, EVENTS, JOB_ERRORS, JOBS, LOG_HEAD, SYSTEMS

Rows = Mapping[str, Mapping[str, Any]]
#: What an event may tell of that stands beside the row.
_BESIDE = {"conditions", "errors"}


@dataclass(frozen=True)
class Picture:
    system: Mapping[str, Any]
    connectors: Rows
    jobs: Rows
    conditions: Sequence[Mapping[str, Any]]
    #: failed documents by job
    errors: Mapping[str, Sequence[str]]
    #: rows of the log beyond the picture before
    events: Sequence[Mapping[str, Any]]
    position: int


async def picture(store: Store, beyond: int) -> Picture:
    async with store.read() as connection:

        async def read(statement: Any) -> list[dict[str, Any]]:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

        (system,) = await read(select(SYSTEMS)) or [{}]
        errors: dict[str, list[str]] = {}
        for row in await read(select(JOB_ERRORS).order_by(JOB_ERRORS.c.position)):
            errors.setdefault(row["job_id"], []).append(row["message"])
        return Picture(
            system=system,
            connectors={row["id"]: row for row in await read(select(CONNECTORS))},
            jobs={row["id"]: row for row in await read(select(JOBS))},
            conditions=await read(select(CONDITIONS)),
            errors=errors,
            events=await read(select(EVENTS).where(EVENTS.c.position > beyond).order_by(EVENTS.c.position)),
            position=(await connection.execute(select(LOG_HEAD.c.position))).scalar_one(),
        )


def has_ended(job: Mapping[str, Any]) -> bool:
    return job["status"].ended or job["completed_at"] is not None or job["vanished_at"] is not None


def check_rows(now: Picture) -> None:
    """What points to a row points to one that is there."""
    for row in now.connectors.values():
        if row["removed_at"] is None and row["latest_job_id"] is not None:
            assert row["latest_job_id"] in now.jobs, f"{row['external_id']}: its latest job is not there"
    for row in now.conditions:
        of = f"{row['code'].name} of {row['subject_id']}"
        connector = now.connectors.get(row["connector_id"])
        assert connector is not None, f"{of}: its connector is not there"
        assert connector["removed_at"] is None, f"{of}: its connector is removed"
        if row["job_id"] is not None:
            assert row["job_id"] in now.jobs, f"{of}: its job is not there"
            assert now.jobs[row["job_id"]]["is_open"], f"{of}: its job has ended"
    for id in now.errors:
        assert id in now.jobs, f"failed documents of {id}, which is not there"


def check_log(before: Picture, now: Picture) -> None:
    """One transaction: each change of a row has its row in the log, and nothing else has."""
    positions = [event["position"] for event in now.events]
    assert positions == list(range(before.position + 1, now.position + 1)), f"positions {positions}"
    by_subject: dict[str, Mapping[str, Any]] = {}
    for event in now.events:
        subject = event["job_id"] or event["connector_id"] or event["system_id"]
        assert subject not in by_subject, f"{subject} is told of twice in one transaction"
        by_subject[subject] = event
    _check_changes(before.connectors, now.connectors, by_subject, CONNECTOR_CHANGES)
    _check_changes(before.jobs, now.jobs, by_subject, JOB_CHANGES)
    known = {*now.connectors, *now.jobs, now.system.get("id")}
    assert not by_subject.keys() - known, f"the log tells of {by_subject.keys() - known}, which are not there"
    for id, event in by_subject.items():
        if id in now.jobs:
            _check_job_event(before.jobs.get(id), now.jobs[id], event)
        elif id in now.connectors:
            _check_connector_event(before.connectors.get(id), now.connectors[id], event)


def _check_changes(before: Rows, now: Rows, by_subject: Rows, named: Mapping[str, str]) -> None:
    for id, row in now.items():
        was, event = before.get(id), by_subject.get(id)
        if was is None:
            assert event is not None, f"{row['external_id']} is new, and the log does not tell"
            continue
        fields = set(changed(was, row, named))
        log = set(event["changed_fields"].split(",")) if event else set()
        assert fields == log - _BESIDE, f"{row['external_id']}: {sorted(fields)} changed, the log says {sorted(log)}"


def _check_job_event(before: Mapping[str, Any] | None, now: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    name = now["external_id"]
    assert event["status"] == now["status"].value, f"{name}: the log has another status than its row"
    assert event["previous_status"] == (before and before["status"].value), f"{name}: the log has another past"
    ends = (
        before is not None
        and has_ended(now)
        and (not has_ended(before) or bool(before["vanished_at"] and not now["vanished_at"]))
    )
    expected = EventKind.JOB_CREATED if before is None else EventKind.JOB_FINISHED if ends else None
    either = event["kind"] in (EventKind.JOB_CHANGED, EventKind.JOB_PROGRESSED)
    assert event["kind"] is expected if expected else either, f"{name}: {event['kind'].name}"


def _check_connector_event(before: Mapping[str, Any] | None, now: Mapping[str, Any], event: Mapping[str, Any]) -> None:
    was, is_there = before is not None and before["removed_at"] is None, now["removed_at"] is None
    if was != is_there:
        kind = EventKind.CONNECTOR_ADDED if is_there else EventKind.CONNECTOR_REMOVED
    else:
        kind = EventKind.CONNECTOR_CHANGED if before is not None else EventKind.CONNECTOR_REMOVED
    assert event["kind"] is kind, f"{now['external_id']}: {event['kind'].name} instead of {kind.name}"
