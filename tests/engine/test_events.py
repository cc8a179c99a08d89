"""What the log says of two rows' difference."""

from dataclasses import replace
from typing import Any

import pytest
from graphql import GraphQLObjectType

from connectory.engine.recording.connectors import set_health
from connectory.engine.recording.events import CONNECTOR_CHANGES, JOB_CHANGES, connector_event, job_event
from connectory.engine.recording.rows import connector_row, job_row
from connectory.model import ConnectorFact, ConnectorStatus, CountsFact, EventKind, JobFact, JobStatus, StageFact
from schema import build_schema
from tests.facts import T0, at, connector, details, job


def stored(fact: ConnectorFact, **ours: Any) -> dict[str, Any]:
    row = connector_row("S", "s", fact, owed=False)
    row |= {"removed_at": None, "latest_job_id": None} | ours
    set_health(row)
    return row


def seen(fact: JobFact) -> dict[str, Any]:
    return job_row("S", "s", fact)


@pytest.mark.parametrize(("changes", "type_name"), [(CONNECTOR_CHANGES, "Connector"), (JOB_CHANGES, "Job")])
def test_changed_fields_are_fields_of_the_schema(changes: dict[str, str], type_name: str) -> None:
    shown = build_schema()._schema.get_type(type_name)
    assert isinstance(shown, GraphQLObjectType)
    assert set(changes.values()) <= set(shown.fields)


A = connector()


@pytest.mark.parametrize(
    ("before", "after", "kind", "fields"),
    [
        (None, stored(A), EventKind.CONNECTOR_ADDED, None),
        (stored(A), stored(A), None, None),
        (stored(A), stored(A, fingerprint="other", observed_at=T0, missed_polls=1), None, None),
        (stored(A), stored(replace(A, name="B")), EventKind.CONNECTOR_CHANGED, "name"),
        (stored(A), stored(replace(A, status=ConnectorStatus.ERROR)), EventKind.CONNECTOR_CHANGED, "health,status"),
        (stored(A), stored(A, latest_job_id="x"), EventKind.CONNECTOR_CHANGED, "latestJob"),
        (stored(A), stored(replace(A, details=details("T", {"a": 1}))), EventKind.CONNECTOR_CHANGED, "details"),
        (stored(A), stored(A, removed_at=T0), EventKind.CONNECTOR_REMOVED, "removedAt"),
        (None, stored(A, removed_at=T0), EventKind.CONNECTOR_REMOVED, None),
        (stored(A, removed_at=T0), stored(A), EventKind.CONNECTOR_ADDED, "removedAt"),
        (
            stored(A, removed_at=T0),
            stored(replace(A, name="B"), removed_at=T0),
            EventKind.CONNECTOR_CHANGED,
            "name",
        ),
    ],
)
def test_connector_events(
    before: dict[str, Any] | None, after: dict[str, Any], kind: EventKind | None, fields: str | None
) -> None:
    event = connector_event(before, after, T0)
    if kind is None:
        assert event is None
        return
    assert event is not None
    assert (event["kind"], event["changed_fields"]) == (kind, fields)
    assert (event["at"], event["system_id"], event["connector_id"]) == (T0, "S", after["id"])


def test_a_connector_event_tells_both_statuses_and_healths() -> None:
    event = connector_event(stored(A), stored(replace(A, status=ConnectorStatus.ERROR)), T0)
    assert event is not None
    assert event["status"] == ConnectorStatus.ERROR.value
    assert event["previous_status"] == ConnectorStatus.ACTIVE.value
    assert event["health"] != event["previous_health"]


J = job("1", status=JobStatus.RUNNING, processed=1, counts=CountsFact(indexed=1), started_at=T0)


@pytest.mark.parametrize(
    ("before", "after", "kind", "fields"),
    [
        (None, J, EventKind.JOB_CREATED, None),
        (None, replace(J, status=JobStatus.SUCCEEDED, completed_at=at(1)), EventKind.JOB_CREATED, None),
        (J, J, None, None),
        (J, replace(J, processed=2), EventKind.JOB_PROGRESSED, "progress"),
        (J, replace(J, total=9), EventKind.JOB_PROGRESSED, "progress"),
        (J, replace(J, stages=(StageFact("parsed", 4),)), EventKind.JOB_PROGRESSED, "progress"),
        (J, replace(J, counts=CountsFact(indexed=1, failed=3)), EventKind.JOB_PROGRESSED, "counts"),
        (J, replace(J, counts=CountsFact(indexed=1, total=3)), EventKind.JOB_PROGRESSED, "counts"),
        (J, replace(J, last_seen_at=at(5)), EventKind.JOB_PROGRESSED, "lastSeenAt"),
        (J, replace(J, processed=2, details=details("T", {})), EventKind.JOB_PROGRESSED, "details,progress"),
        (J, replace(J, details=details("T", {})), EventKind.JOB_CHANGED, "details"),
        (J, replace(J, processed=2, error_message="odd"), EventKind.JOB_CHANGED, "errorMessage,progress"),
        (J, replace(J, status=JobStatus.CANCELING), EventKind.JOB_CHANGED, "status"),
        (J, replace(J, status=JobStatus.UNKNOWN), EventKind.JOB_CHANGED, "status"),
        (J, replace(J, completed_at=at(9)), EventKind.JOB_FINISHED, "completedAt"),
        (J, replace(J, status=JobStatus.FAILED, processed=2), EventKind.JOB_FINISHED, "progress,status"),
        (J, replace(J, order_at=at(3), sequence=4), None, None),
    ],
)
def test_job_events(before: JobFact | None, after: JobFact, kind: EventKind | None, fields: str | None) -> None:
    event = job_event(seen(before) if before else None, seen(after), T0)
    if kind is None:
        assert event is None
        return
    assert event is not None
    assert (event["kind"], event["changed_fields"]) == (kind, fields)
    assert (event["job_id"], event["processed"]) == (seen(after)["id"], after.processed)


@pytest.mark.parametrize("status", [status for status in JobStatus if status.ended])
def test_an_end_is_told_once(status: JobStatus) -> None:
    ended = replace(J, status=status)
    first, again = (
        job_event(seen(J), seen(ended), T0),
        job_event(seen(ended), seen(replace(ended, completed_at=T0)), T0),
    )
    assert first is not None
    assert again is not None
    assert (first["kind"], again["kind"]) == (EventKind.JOB_FINISHED, EventKind.JOB_CHANGED)
