"""What is remembered of a system to judge by: how its open jobs and its connectors moved before our eyes, how its past
runs went, and which conditions hold."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from connectory.engine.backlog import backlog
from connectory.engine.held import Held
from connectory.engine.judging.rate import rate_per_second
from connectory.engine.judging.views import ConnectorView, Finding, JobView, Run, Sample, SystemView
from connectory.engine.pace import SystemState
from connectory.model import RUNNING, ConditionCode, ConnectorFact, ConnectorStatus, JobStatus, JobType
from connectory.store.identity import external_id
from connectory.store.past import (
    TRACES,
    LastSeen,
    Trace,
    job_traces,
    last_outage,
    last_seen,
    open_jobs,
    stored_conditions,
)
from connectory.store.records import DOWN
from connectory.store.writes import Row

#: Characters of an error message that are remembered.
_LONGEST_MESSAGE = 300
#: A job's counters; its stages count as one.
_COUNTERS = (
    "processed", "indexed", "added", "updated", "deleted", "unchanged", "failed", "access_denied", "filter_denied",
    "robots_denied", "not_found", "counted_total", "volume_bytes", "stages",
)  # fmt: skip
#: Columns that the engine works out of what it remembers.
ESTIMATES = ("rate_per_second", "counted_at", "expected_seconds", "expected_processed", "expected_runs")
_COLUMNS = (
    "id", "external_id", "connector_id", "status", "type", "created_at", "started_at", "last_seen_at",
    "expected_total", "waiting_since", *_COUNTERS, *ESTIMATES,
)  # fmt: skip
#: Evidence that says when we saw the job, or something of it: it is at least as old.
_SEEN = ("firstSeenAt", "lastMovedAt", "lastSignAt")
#: What the log says of a counter that moved.
_MOVES = frozenset({"progress", "counts"})


#: What a connector's fact tells as it stands, and its totals of errors.
_SAID = ("name", "status", "mode", "source", "schedule_seconds", "is_unscheduled")
_ERRORS = ("parse_errors", "transport_errors")


class Counter(deque[Sample]):
    """A number as we saw it change: the newest changes, oldest first."""

    def __init__(self) -> None:
        super().__init__(maxlen=TRACES)

    def see(self, value: int | None, at: datetime) -> None:
        if value is not None and (not self or self[-1].processed != value):
            self.append(Sample(at, value))


class OpenJob:
    """An open job as we watched it."""

    def __init__(self, row: Mapping[str, Any], first_seen_at: datetime) -> None:
        self.row: Row = {name: row[name] for name in _COLUMNS}
        self.first_seen_at = first_seen_at
        self.status_since: datetime | None = None
        self.heartbeat_at: datetime | None = None
        self.moved_at: datetime | None = None
        self.samples = Counter()
        #: seconds of the longest pause between two movements so far, and when it moved last or began to run
        self._quiet: float | None = None
        self._still_since: datetime | None = None
        self._sample(first_seen_at)

    def see(self, row: Mapping[str, Any], now: datetime) -> None:
        """What is told of it now."""
        before, self.row = self.row, {name: row[name] for name in _COLUMNS}
        if before["status"] is not row["status"]:
            self.status_since, self._still_since = now, now
        if before["last_seen_at"] != row["last_seen_at"]:
            self.heartbeat_at = now
        if any(before[name] != row[name] for name in _COUNTERS):
            self.moved_at = now
        self._sample(now)

    def trace(self, line: Trace) -> None:
        """What the log says of it, in order."""
        fields = set((line.changed_fields or "").split(","))
        if line.previous_status is not None and line.previous_status != line.status:
            self.status_since = self._still_since = line.at
        if "lastSeenAt" in fields:
            self.heartbeat_at = line.at
        if fields & _MOVES:
            self.moved_at = line.at
        if line.status != JobStatus.PENDING.value:
            self._see_count(line.processed, line.at)

    def resume(self, row: Row, at: datetime) -> None:
        """What the store has of it, last written at that moment."""
        self.row = row
        self._sample(at)

    def uphold(self, held: Iterable[Finding]) -> None:
        """What holds of it tells what the log does not: how long we have seen it, and what has not moved since."""
        holding = {finding.code: finding for finding in held}
        seen = [finding.evidence.get(name) for finding in holding.values() for name in _SEEN]
        first = min([datetime.fromisoformat(str(each)) for each in seen if each], default=self.first_seen_at)
        if first < self.first_seen_at:
            if ConditionCode.HEARTBEAT_LOST not in holding:
                self.heartbeat_at = self.heartbeat_at or self.first_seen_at
            self.first_seen_at = first

    def quiet_until(self, now: datetime) -> float | None:
        """Seconds of the longest pause between two movements until now; None while none was seen."""
        if not self.samples or self._still_since is None:
            return None
        return max(self._quiet or 0.0, (now - self._still_since).total_seconds())

    def _sample(self, now: datetime) -> None:
        if self.row["status"] is not JobStatus.PENDING:  # a wait for a worker is no pause
            self._see_count(self.row["processed"], now)

    def _see_count(self, value: int | None, at: datetime) -> None:
        if value is None or (self.samples and self.samples[-1].processed == value):
            return
        if self._still_since is not None:
            self._quiet = max(self._quiet or 0.0, (at - self._still_since).total_seconds())
        self._still_since = at
        self.samples.see(value, at)

    @property
    def view(self) -> JobView:
        row = self.row
        return JobView(
            id=row["id"],
            external_id=row["external_id"],
            connector_id=row["connector_id"],
            status=row["status"],
            type=row["type"],
            created_at=row["created_at"],
            first_seen_at=self.first_seen_at,
            status_since=self.status_since,
            started_at=row["started_at"],
            last_seen_at=row["last_seen_at"],
            heartbeat_at=self.heartbeat_at,
            moved_at=self.moved_at,
            processed=row["processed"],
            total=row["expected_total"],
            failed=row["failed"],
            backlog=backlog(row),
            waiting_since=row["waiting_since"],
            samples=tuple(self.samples),
        )


@dataclass(slots=True)
class Watched:
    """A connector as we watched it."""

    external_id: str
    fingerprint: str | None = None
    #: what ConnectorView takes as it stands
    said: dict[str, Any] = field(default_factory=dict)
    #: when we saw it first, an earlier process too
    first_seen_at: datetime | None = None
    #: as it was seen last, by an earlier process too; None: never
    status: ConnectorStatus | None = None
    status_since: datetime | None = None
    worker_seen_at: datetime | None = None
    worker_moved_at: datetime | None = None
    blocks_since: datetime | None = None
    #: totals, by name
    errors: dict[str, Counter] = field(default_factory=dict)
    #: newest first; None until they are read
    runs: Sequence[Run] | None = None
    jobs: set[str] = field(default_factory=set)
    #: why it could not be judged, as it was logged last
    trouble: str | None = None
    #: None: something is new since
    judged_at: datetime | None = None

    @property
    def is_awake(self) -> bool:
        """Whether anything is going on or new; what holds of one at rest is ended by what is new only."""
        return self.judged_at is None or bool(self.jobs or self.blocks_since or self.errors)

    def resume(self, seen: LastSeen, at: datetime) -> None:
        """What the store has of it, last seen at that moment."""
        self.status, self.status_since, self.blocks_since = seen.status, seen.status_since, seen.blocks_since
        self.first_seen_at = seen.first_seen_at
        self.worker_seen_at, self.worker_moved_at = seen.worker_seen_at, seen.worker_moved_at
        self._count(seen, at)

    def see(self, fact: ConnectorFact, now: datetime) -> None:
        if self.fingerprint == fact.fingerprint:
            return
        self.judged_at = None
        self.first_seen_at = self.first_seen_at or now
        before = self.said
        self.said = {name: getattr(fact, name) for name in _SAID}
        if self.status not in (None, fact.status):
            self.status_since = now
        self.status = fact.status
        if (before or self.worker_seen_at is not None) and self.worker_seen_at != fact.worker_seen_at:
            self.worker_moved_at = now
        self.worker_seen_at = fact.worker_seen_at
        self.blocks_since = (self.blocks_since or now) if fact.blocks_checkpoint else None
        self._count(fact, now)
        self.fingerprint = fact.fingerprint

    @property
    def kept(self) -> Row:
        """What of this outlives the process, as columns of its row."""
        return {
            "first_seen_at": self.first_seen_at,
            "blocks_since": self.blocks_since,
            "worker_seen_at": self.worker_seen_at,
            "worker_moved_at": self.worker_moved_at,
            **{name: self.errors[name][-1].processed if name in self.errors else None for name in _ERRORS},
        }

    def _count(self, told: ConnectorFact | LastSeen, at: datetime) -> None:
        for name in _ERRORS:
            if (total := getattr(told, name)) is not None:
                self.errors.setdefault(name, Counter()).see(total, at)


class Past:
    """Of one system. Follows what has been committed, as ``Known`` does."""

    def __init__(self) -> None:
        self.held = Held()
        self.jobs: dict[str, OpenJob] = {}
        self.connectors: dict[str, Watched] = {}
        #: connectors whose runs should be read before others'
        self.stirred: set[str] = set()
        #: what was recalled of connectors that have not been told since
        self._recalled: dict[str, tuple[datetime, LastSeen]] = {}
        self._watched_since: datetime | None = None
        #: the end and the beginning of the last outage
        self._answers_since: datetime | None = None
        self._silent_since: datetime | None = None

    async def recall(self, connection: AsyncConnection, system_id: str, now: datetime) -> None:
        """Read back what earlier polls saw, whichever process made them."""
        self.held = Held(await stored_conditions(connection, system_id))
        self._recalled = await last_seen(connection, system_id)
        self._watched_since = now
        self._silent_since, self._answers_since = await last_outage(connection, system_id) or (None, None)
        rows = {row["id"]: row for row in await open_jobs(connection, system_id, _COLUMNS)}
        traces: dict[str, list[Trace]] = {}
        for line in await job_traces(connection, list(rows)):
            traces.setdefault(line.job_id, []).append(line)
        for id, row in rows.items():
            lines = traces.get(id, [])
            job = OpenJob({**row, "processed": None}, lines[0].at) if lines else OpenJob(row, now)
            for line in lines:
                job.trace(line)
            if lines:
                job.resume(row, lines[-1].at)
            job.uphold(self.held.of_job(id))
            self._add(job)

    def see_answer(self, before: SystemState, now: datetime) -> None:
        """The list was read, and the system's state was this before."""
        if before.health in DOWN or before.consecutive_failures > 1:
            self._silent_since, self._answers_since = before.down_since or before.observed_at, now

    def seen_of(self, system: SystemView) -> SystemView:
        """The system, and since when it can be seen."""
        return replace(
            system,
            answers_since=self._answers_since,
            silent_since=self._silent_since,
            watched_since=self._watched_since,
        )

    def see_connectors(self, facts: Iterable[tuple[str, ConnectorFact]], now: datetime) -> None:
        """What is told of connectors now, by their global ids."""
        for id, fact in facts:
            self.connector(id).see(fact, now)

    def see_jobs(self, rows: Iterable[Row], now: datetime, *, past: bool = False) -> None:
        """Jobs that were written; ``past``: as a part of the history."""
        for row in rows:
            id, job = row["id"], self.jobs.get(row["id"])
            if not row["is_open"]:
                self.jobs.pop(id, None)
                if row["connector_id"] is not None:
                    self._stir(row["connector_id"], id, urgent=not past)
            elif job is None:
                self._add(OpenJob(row, now))
            else:
                job.see(row, now)

    def forget_connectors(self, ids: Set[str]) -> None:
        for id in ids:
            self.connectors.pop(id, None)
            self._recalled.pop(id, None)
            self.stirred.discard(id)

    def connector(self, id: str) -> Watched:
        found = self.connectors.get(id)
        if found is None:
            found = Watched(external_id(id))
            if (recalled := self._recalled.pop(id, None)) is not None:
                at, seen = recalled
                found.resume(seen, at)
            self.connectors[id] = found
        return found

    def rate(self, row: Mapping[str, Any], now: datetime) -> float | None:
        """Documents or records a second of a job that has come as far as this row says; None while it does not run."""
        job = self.jobs.get(row["id"])
        if job is None or row["status"] not in RUNNING:
            return None
        come = [] if row["processed"] is None else [Sample(now, row["processed"])]
        return rate_per_second([*job.samples, *come], now)

    def quiet(self, row: Row, now: datetime) -> float | None:
        """The longest pause of a job that ends now with this row; None where it was not watched."""
        job = self.jobs.get(row["id"])
        return None if job is None or job.row["status"] not in RUNNING else job.quiet_until(now)

    def view(self, id: str) -> ConnectorView:
        """A connector that was told and whose runs are read."""
        watched = self.connectors[id]
        jobs = [self.jobs[job].view for job in sorted(watched.jobs)]
        runs = watched.runs or ()
        starts = [job.started_at for job in jobs if job.started_at and job.type is not JobType.ACCESS_CONTROL]
        starts += [run.started_at for run in runs if run.started_at]
        return ConnectorView(
            id=id,
            external_id=watched.external_id,
            **watched.said,
            status_since=watched.status_since,
            first_seen_at=watched.first_seen_at,
            worker_seen_at=watched.worker_seen_at,
            worker_moved_at=watched.worker_moved_at,
            parse_errors=tuple(watched.errors.get("parse_errors", ())),
            transport_errors=tuple(watched.errors.get("transport_errors", ())),
            blocks_checkpoint_since=watched.blocks_since,
            jobs=jobs,
            latest=runs[0] if runs else None,
            runs=runs,
            last_started_at=max(starts, default=None),
        )

    def _add(self, job: OpenJob) -> None:
        self.jobs[job.row["id"]] = job
        if job.row["connector_id"] is not None:
            self.connector(job.row["connector_id"]).jobs.add(job.row["id"])

    def _stir(self, connector_id: str, job: str, *, urgent: bool) -> None:
        """One of its runs is over: what was read of its runs is out of date."""
        watched = self.connectors.get(connector_id)
        if watched is not None:
            watched.jobs.discard(job)
            watched.runs = watched.judged_at = None
            if urgent:
                self.stirred.add(connector_id)


def run_of(row: Any) -> Run:
    """A past job from a row of ``connectory.store.past.past_runs``."""
    message: str | None = row.error_message
    return Run(
        id=row.id,
        status=row.status,
        type=row.type,
        trigger=row.trigger,
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        processed=row.processed,
        failed=row.failed,
        error_message=message and message[:_LONGEST_MESSAGE],
        longest_quiet=row.longest_quiet,
    )
