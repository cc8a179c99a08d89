"""Jobs that wait: for a worker, for another job, or for a worker that does not live.

How long a job waits is told by our clock, from when we saw it first. Once found, a wait holds until the job's status,
what is ahead of it, its worker's sign of life or a larger limit says otherwise.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from connectory.engine.judging.case import Case
from connectory.engine.judging.thresholds import queued_after, silent_after
from connectory.engine.judging.views import Finding, JobView
from connectory.engine.judging.wording import iso, lasting, spoken
from connectory.model import RUNNING, ConditionCode, ConditionSeverity, JobStatus, JobType

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
#: States in which a job needs a worker to go on; systems that tell workers do not pause a job otherwise.
_WAITING = frozenset({JobStatus.PENDING, JobStatus.SUSPENDED})


def waits(case: Case) -> Iterator[Finding]:
    for job in case.connector.jobs:
        if job.status is JobStatus.PENDING:
            ahead = _ahead(case, job)
            yield from _queued(case, job) if ahead is None else _queued_behind(case, job, ahead)
        if job.status in _WAITING and case.system.tells_workers:
            yield from _no_worker(case, job)


def _seen_since(job: JobView) -> datetime:
    return job.status_since or job.first_seen_at


def _waits_since(job: JobView) -> datetime:
    """By the upstream's word where it created the job as one that waits, else by ours."""
    seen = _seen_since(job)
    return min(job.created_at, seen) if job.created_at is not None and job.status_since is None else seen


def _queued(case: Case, job: JobView) -> Iterator[Finding]:
    limit = queued_after(case.connector, case.thresholds)
    turn = _turn(case, job)
    since = max(_seen_since(job), turn)
    if not case.holds_on(case.held(ConditionCode.QUEUED, job), since, limit) and case.since(since) < limit:
        return
    yield case.finding(
        ConditionCode.QUEUED,
        ConditionSeverity.INFO,
        max(_waits_since(job), turn),
        f"Job {job.external_id} has been waiting for a worker for longer than {lasting(limit)}.",
        {"createdAt": iso(job.created_at), "firstSeenAt": iso(job.first_seen_at), "thresholdSeconds": limit},
        job,
    )


def _turn(case: Case, job: JobView) -> datetime:
    """A job that had another ahead of it waits for a worker only since that one ended."""
    latest = case.connector.latest
    one_by_one = case.system.one_job_at_a_time == "connector" and job.type is not JobType.ACCESS_CONTROL
    return (latest.completed_at if latest is not None and one_by_one else None) or _LONG_AGO


def _queued_behind(case: Case, job: JobView, ahead: JobView) -> Iterator[Finding]:
    limit = case.thresholds.queued
    since = _seen_since(job)
    if not case.holds_on(case.held(ConditionCode.QUEUED_BEHIND, job), since, limit) and case.since(since) < limit:
        return
    doing = "which is running" if ahead.status in RUNNING else "which waits itself"
    yield case.finding(
        ConditionCode.QUEUED_BEHIND,
        ConditionSeverity.INFO,
        _waits_since(job),
        f"Job {job.external_id} waits for job {ahead.external_id} of the same connector, {doing}.",
        {
            "behindJobId": ahead.id,
            "behindExternalId": ahead.external_id,
            "behindStatus": ahead.status.name,
            "createdAt": iso(job.created_at),
            "firstSeenAt": iso(job.first_seen_at),
            "thresholdSeconds": limit,
        },
        job,
    )


def _no_worker(case: Case, job: JobView) -> Iterator[Finding]:
    connector, limit = case.connector, silent_after(case.thresholds.no_worker, case.system)
    sign = connector.worker_moved_at or connector.worker_seen_at
    held = case.held(ConditionCode.NO_WORKER, job)
    seen = _worker_seen(case) or sign
    silent = seen is None or case.seen_for(seen) >= limit
    still = held is not None and held.evidence.get("workerSeenAt") == iso(connector.worker_seen_at)
    still = still and (seen is None or case.holds_on(held, seen, limit))
    if not still and not (silent and case.seen_for(_seen_since(job)) >= case.thresholds.queued):
        return
    heard = connector.worker_seen_at
    silence = "has never given a sign of life" if heard is None else f"has been silent since {spoken(heard)}"
    yield case.finding(
        ConditionCode.NO_WORKER,
        ConditionSeverity.CRITICAL,
        _waits_since(job) if sign is None else max(_waits_since(job), sign),
        f"Job {job.external_id} waits for a worker, and the connector's worker {silence}.",
        {
            "workerSeenAt": iso(connector.worker_seen_at),
            "createdAt": iso(job.created_at),
            "firstSeenAt": iso(job.first_seen_at),
            "thresholdSeconds": limit,
        },
        job,
    )


def _worker_seen(case: Case) -> datetime | None:
    """When we saw the worker's sign of life move. Else the sign counts as seen when we began to watch: the upstream's
    clock may be behind ours."""
    connector, watched = case.connector, case.system.watched_since
    if connector.worker_moved_at is not None or connector.worker_seen_at is None or watched is None:
        return connector.worker_moved_at
    return max(connector.worker_seen_at, watched)


def _ahead(case: Case, job: JobView) -> JobView | None:
    """The job that this one waits for: one that runs, else the oldest of those that wait before it.

    Only where the upstream runs one of a connector at a time (elastic.md §6, onyx.md §6); permissions are read beside
    content.
    """
    if case.system.one_job_at_a_time != "connector":
        return None
    lane = [
        other
        for other in case.connector.jobs
        if other.id != job.id and (other.type is JobType.ACCESS_CONTROL) is (job.type is JobType.ACCESS_CONTROL)
    ]
    running = [other for other in lane if other.status in RUNNING]
    before = [other for other in lane if other.status in _WAITING and _place(other) < _place(job)]
    return min(running or before, key=_place, default=None)


def _place(job: JobView) -> tuple[datetime, str]:
    return job.created_at or job.first_seen_at, job.id
