"""What is amiss now that people are told of: a system that is down, jobs that fail, conditions of weight. Pure."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectory.model import (
    SUCCEEDED,
    ConditionCode,
    ConditionSeverity,
    ConnectorStatus,
    JobStatus,
    NoticeKind,
    SystemHealth,
)
from connectory.store.reads.notice_state import ConditionState, ConnectorState, JobState, NoticeState, SystemState
from connectory.store.reads.records import DOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that a notice is about; the columns of a notice that follow from it."""

    key: str
    kind: NoticeKind
    code: ConditionCode | None
    severity: ConditionSeverity
    system_id: str
    connector_id: str | None = None
    job_id: str | None = None
    title: str
    message: str
    since: datetime

    @property
    def owner(self) -> str:
        """Whose it is: global id of the connector, else of the system."""
        return self.connector_id or self.system_id


def troubles(state: NoticeState, now: datetime) -> list[Trouble]:
    """Those of the owners of ``state``, at most one of a key; those of systems first, then the oldest first.

    Conditions of connectors whose system is down are left out: they rest on what was seen before.
    """
    found = [*_down(state, now), *_failing(state, now), *_conditions(state)]
    return sorted(found, key=lambda trouble: (trouble.kind is not NoticeKind.SYSTEM_DOWN, trouble.since, trouble.key))


def is_down(system: SystemState) -> bool:
    """Whether it does not answer, or refuses our credentials."""
    return system.health in DOWN


def _down(state: NoticeState, now: datetime) -> Iterator[Trouble]:
    for system in state.own_systems:
        if not system.configured or not is_down(system):
            continue
        refused = system.health is SystemHealth.AUTH_FAILED
        what = "refuses our credentials" if refused else "is down"
        yield Trouble(
            key=f"SYSTEM_DOWN:{system.id}",
            kind=NoticeKind.SYSTEM_DOWN,
            code=ConditionCode.SYSTEM_DOWN,
            severity=ConditionSeverity.CRITICAL,
            system_id=system.id,
            title=f"{system.name} {what}",
            message=system.error_message or "It does not answer.",
            since=system.down_since or now,
        )


def _failing(state: NoticeState, now: datetime) -> Iterator[Trouble]:
    """One per connector, whether its last job failed, its last ones did, the engine counts them, or it is in error."""
    repeated = {row.connector_id: row for row in state.conditions if row.code is ConditionCode.REPEATED_FAILURES}
    raised = {row.key for row in state.notices if row.raised_at}
    for id, connector in state.connectors.items():
        system = state.systems.get(connector.system_id)
        if system is None or not system.configured or connector.removed_at:
            continue
        failed = connector.last_finished_job_status is JobStatus.FAILED
        in_error = not failed and connector.status is ConnectorStatus.ERROR
        fails = failed or (id in repeated and connector.last_finished_job_status not in SUCCEEDED)
        if not fails and not in_error:
            continue
        key, job, condition = f"JOB_FAILED:{id}", state.failed_jobs.get(id), repeated.get(id)
        ended = job.completed_at if job is not None else connector.last_sync_at if failed else None
        is_judged = condition is not None or key in raised  # what was told once is told to whoever waits for longer
        if failed and not is_judged and ended is not None and _within_outage(state, system, ended):
            continue
        judged, reason = condition and condition.message, _reason(state, connector, job, condition)
        yield Trouble(
            key=key,
            kind=NoticeKind.JOB_FAILED,
            code=None if condition is None else condition.code,
            severity=ConditionSeverity.WARNING if condition is None else condition.severity,
            system_id=system.id,
            connector_id=id,
            job_id=None if job is None else job.id,
            title=f"{connector.name} ({system.name}): {_what_fails(failed, condition)}",
            message=" ".join(part for part in (judged, reason) if part) or "No reason was told.",
            since=(condition and condition.since) or ended or now,
        )


def _reason(
    state: NoticeState, connector: ConnectorState, job: JobState | None, condition: ConditionState | None
) -> str | None:
    """The upstream's words: of the failed job or as they were judged, of the connector, of what it did last."""
    latest = state.jobs.get(connector.latest_job_id or "")
    words = (
        job is not None and job.error_message,
        condition is not None and _evidence(condition).get("lastError"),
        connector.error_message,
        latest is not None and latest.error_message,
    )
    return next((reason for reason in words if reason), None)


def _evidence(condition: ConditionState) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(condition.evidence)
    return found


def _what_fails(failed: bool, condition: ConditionState | None) -> str:
    if condition is not None:
        return "its jobs fail"
    return "a job failed" if failed else "in error"


def _within_outage(state: NoticeState, system: SystemState, ended: datetime) -> bool:
    """What ended while its system was down is the outage's; it was found to be down some polls after it was."""
    slack = timedelta(seconds=min(system.stale_after, 3600))
    return any(
        began - slack <= ended and (over is None or ended <= over) for began, over in state.outages.get(system.id, ())
    )


def _conditions(state: NoticeState) -> Iterator[Trouble]:
    """One per connector and code, told by the worst of them and by the oldest of these."""
    groups: dict[tuple[str, ConditionCode], list[ConditionState]] = defaultdict(list)
    for row in state.conditions:
        if row.code is not ConditionCode.REPEATED_FAILURES:
            groups[row.connector_id, row.code].append(row)
    for (id, code), rows in groups.items():
        connector = state.connectors.get(id)
        system = None if connector is None else state.systems.get(connector.system_id)
        if connector is None or system is None or not system.configured or is_down(system) or connector.removed_at:
            continue
        worst = min(rows, key=lambda row: (-row.severity.value, row.since, row.subject_id))
        yield Trouble(
            key=f"{code.name}:{id}",
            kind=NoticeKind.CONDITION,
            code=code,
            severity=worst.severity,
            system_id=system.id,
            connector_id=id,
            # the run that has ended is nobody's subject any more, and is known all the same
            job_id=worst.job_id or _evidence(worst).get("jobId"),
            title=f"{connector.name} ({system.name}): {code.name.replace('_', ' ').lower()}",
            message=worst.message,
            since=min(row.since for row in rows),
        )
