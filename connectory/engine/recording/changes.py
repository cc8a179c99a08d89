"""From facts to rows, and from two rows to what the log says of their difference. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from connectory.engine.judging.health import connector_health
from connectory.model import ConditionSeverity, ConnectorFact, ConnectorStatus, EventKind, JobFact, JobStatus
from connectory.model.fields import CONNECTOR_FIELDS, JOB_FIELDS, StoredField
from connectory.store.tables.identity import CONNECTOR, JOB, global_id
from sources.reading import details

Row = dict[str, Any]

#: Column → the GraphQL field whose change it is. Columns that are not here are ours alone.
CONNECTOR_CHANGES = {field.name: field.changed for field in CONNECTOR_FIELDS if field.changed}
JOB_CHANGES = {field.name: field.changed for field in JOB_FIELDS if field.changed}


def _filled_by_facts(fields: Sequence[StoredField]) -> Callable[[ConnectorFact | JobFact], Row]:
    """What makes, of a fact, the columns that hold what it says as it says it."""
    columns = {field.name: field.fact for field in fields if field.fact}
    names, values = tuple(columns), attrgetter(*columns.values())
    return lambda fact: dict(zip(names, values(fact), strict=True))


_connector_columns, _job_columns = _filled_by_facts(CONNECTOR_FIELDS), _filled_by_facts(JOB_FIELDS)

#: Changes that are a job's progress, and those that alone make one.
_PROGRESS = frozenset({"progress", "counts", "lastSeenAt", "details"})
_MOVES = frozenset({"progress", "counts", "lastSeenAt"})


def connector_row(system_id: str, system: str, fact: ConnectorFact, *, owed: bool) -> Row:
    """The columns that a fact decides. With ``owed`` it will count as changed next time too."""
    row = _connector_columns(fact)
    row |= {
        "id": global_id(CONNECTOR, system, fact.external_id),
        "system_id": system_id,
        "name_key": fact.name.casefold(),
        "details_type": fact.details.type if fact.details else None,
        "details": fact.details.json if fact.details else None,
        "fingerprint": None if owed else fact.fingerprint,
    }
    return row


def job_row(system_id: str, system: str, fact: JobFact) -> Row:
    """The columns that a fact decides; its place among the jobs is decided once, when it is new."""
    row = _job_columns(fact)
    row |= {
        "id": global_id(JOB, system, fact.external_id),
        "system_id": system_id,
        # whether or not that connector is known: it may come, and it may be gone
        "connector_id": None if fact.connector is None else global_id(CONNECTOR, system, fact.connector),
        "stages": json.dumps([[stage.name, stage.count] for stage in fact.stages]) if fact.stages else None,
        "details_type": fact.details.type if fact.details else None,
        "details": fact.details.json if fact.details else None,
        "is_open": fact.status.open and not fact.ended,
        "vanished_at": None,
        "fingerprint": fact.fingerprint,
    }
    return row


def with_details(text: str | None, found: Mapping[str, Any]) -> str:
    """Details with these fields set; the text is as ``sources.base.details`` writes it."""
    return details("", {**json.loads(text or "{}"), **found}).json


def changed(before: Mapping[str, Any], after: Mapping[str, Any], named: Mapping[str, str]) -> list[str]:
    """GraphQL names of the fields that differ, in order, each once."""
    found = {named[name]: None for name, value in after.items() if name in named and before[name] != value}
    return sorted(found)


def set_health(row: Row, concern: ConditionSeverity | None = None) -> None:
    """Set the health that follows from the rest of a connector's row and from the worst condition that it shows."""
    row["health"] = connector_health(SimpleNamespace(**row), concern)


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
