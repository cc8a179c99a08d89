"""What is remembered of a system to judge by: how its open jobs and its connectors moved before our eyes, how its past
runs went, and which conditions hold."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectory.engine.judging.movement import rate_per_second
from connectory.engine.judging.views import ConnectorView, Gap, Run, Sample, SystemView
from connectory.engine.memory.connectors import ConnectorMemory
from connectory.engine.memory.due import Due
from connectory.engine.memory.held import HeldConditions
from connectory.engine.memory.open_jobs import COLUMNS, OpenJob
from connectory.engine.pace import SystemState
from connectory.model import RUNNING, ConnectorFact, JobType
from connectory.slices import slices
from connectory.store.reads.recall import (
    OUTAGES_KEPT,
    LastSeen,
    PastRun,
    Trace,
    job_traces,
    last_seen,
    open_jobs,
    past_outages,
    stored_conditions,
)
from connectory.store.reads.records import DOWN
from connectory.store.rows import Row
from connectory.store.tables.identity import external_id
from connectory.store.transactions import Transaction

#: Characters of an error message that are remembered.
_LONGEST_MESSAGE = 300


class SystemMemory:
    """Of one system. Follows what has been committed, as ``Known`` does."""

    def __init__(self) -> None:
        self.held = HeldConditions()
        self.jobs: dict[str, OpenJob] = {}
        self.connectors: dict[str, ConnectorMemory] = {}
        #: the same by what the upstream calls them
        self._named: dict[str, ConnectorMemory] = {}
        #: connector → its open jobs, whether or not that connector is known: it may come, and it may come back
        self._jobs_of: defaultdict[str, set[str]] = defaultdict(set)
        #: connectors whose runs should be read before others'
        self.read_first: set[str] = set()
        self.due = Due()
        #: what was recalled of connectors that have not been told since
        self._recalled: dict[str, tuple[datetime, LastSeen]] = {}
        self._watched_since: datetime | None = None
        self._has_answered = False
        self._last_outage: Gap | None = None
        #: when nobody watched, oldest first
        self.gaps: deque[Gap] = deque(maxlen=OUTAGES_KEPT)
        #: jobs that the history told to have ended since the poll or look that is under way was asked
        self.ended_meanwhile: set[str] = set()

    async def recall(self, transaction: Transaction, system_id: str, now: datetime) -> None:
        """Read back what earlier polls saw, whichever process made them."""
        self.held = HeldConditions(await stored_conditions(transaction, system_id))
        self._recalled = await last_seen(transaction, system_id)
        self._watched_since = now
        self.gaps.extend(Gap(begin, end) for begin, end in await past_outages(transaction, system_id))
        self._last_outage = self.gaps[-1] if self.gaps else None
        rows = {row["id"]: row for row in await open_jobs(transaction, system_id, COLUMNS)}
        traces: dict[str, list[Trace]] = {}
        for line in await job_traces(transaction, list(rows)):
            traces.setdefault(line.job_id, []).append(line)
        async for some in slices(rows.items()):
            for id, row in some:
                self._add(self._resumed(row, traces.get(id, []), now))

    def _resumed(self, row: Row, lines: Sequence[Trace], now: datetime) -> OpenJob:
        """An open job as its row, the log and what holds of it tell."""
        job = OpenJob({**row, "processed": None}, lines[0].at) if lines else OpenJob(row, now)
        for line in lines:
            job.trace(line)
        if lines:
            job.resume(row, lines[-1].at)
        job.uphold(self.held.of_job(row["id"]))
        return job

    def see_question(self) -> None:
        """A poll or a look begins: what the history tells from now on may be newer than its answer."""
        self.ended_meanwhile.clear()

    def see_answer(self, before: SystemState, now: datetime) -> None:
        """The list was read, and the system's state was this before."""
        if before.health in DOWN or before.consecutive_failures > 1:
            self._last_outage = Gap(before.down_since or before.observed_at or now, now)
        self.gaps = self.gaps_after(before, now)
        self._has_answered = True

    def gaps_after(self, before: SystemState, now: datetime) -> deque[Gap]:
        """When nobody watched, once it is remembered that the list was read."""
        gaps = self.gaps.copy()
        if before.observed_at is None or not (before.consecutive_failures or not self._has_answered):
            return gaps
        if gaps and gaps[-1].begin >= before.observed_at:
            gaps.pop()  # the answer that ended it was not stored
        gaps.append(Gap(max(before.observed_at, gaps[-1].end) if gaps else before.observed_at, now))
        return gaps

    def seen_of(self, system: SystemView) -> SystemView:
        """The system, and since when it can be seen."""
        last = self._last_outage
        return replace(
            system,
            answers_since=last.end if last else None,
            silent_since=last.begin if last else None,
            watched_since=self._watched_since,
        )

    def is_seen(self, fact: ConnectorFact) -> bool:
        """Whether this is what was told of it last, in this process."""
        remembered = self._named.get(fact.external_id)
        return remembered is not None and remembered.fingerprint == fact.fingerprint

    async def see_connectors(self, foreseen: Mapping[str, ConnectorMemory]) -> None:
        """What was foreseen of connectors (by global id) has been committed."""
        async for some in slices(foreseen.items()):
            for id, remembered in some:
                self._put(id, remembered)

    async def see_jobs(self, rows: Iterable[Row], now: datetime, *, is_history: bool = False) -> None:
        """Jobs that were written; ``is_history``: as a part of the history."""
        async for some in slices(rows):
            for row in some:
                self._see_job(row, now, is_history=is_history)

    def _see_job(self, row: Row, now: datetime, *, is_history: bool) -> None:
        job = self._take(row["id"])
        if not row["is_open"]:
            if is_history:
                self.ended_meanwhile.add(row["id"])
            if row["connector_id"] is not None:
                self._run_ended(row["connector_id"], urgent=not is_history)
            return
        if job is None:
            job = OpenJob(row, now)
        else:
            job.see(row, now)
        self._add(job)

    def see_runs(self, id: str, runs: Sequence[Run]) -> None:
        """Its past has been read."""
        remembered = self.connectors[id]
        remembered.runs, remembered.judged_at = runs, None
        self.read_first.discard(id)
        self.due.place(id, remembered)

    def judged(self, id: str, now: datetime) -> None:
        remembered = self.connectors[id]
        remembered.judged_at = now
        if not remembered.is_awake:
            self.due.place(id, remembered)

    def forget_connectors(self, ids: Set[str]) -> None:
        for id in ids:
            if (remembered := self.connectors.pop(id, None)) is not None:
                self._named.pop(remembered.external_id, None)
            self._recalled.pop(id, None)
            self.read_first.discard(id)
        self.due.drop(ids)

    def _put(self, id: str, remembered: ConnectorMemory) -> None:
        self.connectors[id] = self._named[remembered.external_id] = remembered
        self._recalled.pop(id, None)
        self.due.place(id, remembered)

    def foreseen(self, id: str, fact: ConnectorFact | None, now: datetime) -> ConnectorMemory:
        """A connector as it will be remembered, once what is told of it now has been committed; None: nothing is."""
        known = self.connectors.get(id)
        remembered = self._new(id) if known is None else known.copy()
        if fact is not None:
            remembered.see(fact, now)
        return remembered

    def _new(self, id: str) -> ConnectorMemory:
        found = ConnectorMemory(external_id(id), self._jobs_of[id])
        if (recalled := self._recalled.get(id)) is not None:
            at, seen = recalled
            found.resume(seen, at)
        return found

    def rate(self, row: Mapping[str, Any], now: datetime, gaps: Iterable[Gap] | None = None) -> float | None:
        """Documents or records a second of a job that has come as far as this row says; None while it does not run.
        ``gaps``: when nobody watched, if that is more than is remembered."""
        job = self.jobs.get(row["id"])
        if job is None or row["status"] not in RUNNING:
            return None
        come = [] if row["processed"] is None else [Sample(now, row["processed"])]
        return rate_per_second([*job.samples, *come], now, self.gaps if gaps is None else gaps)

    def view(self, id: str) -> ConnectorView:
        """A connector that was told and whose runs are read."""
        remembered = self.connectors[id]
        jobs = [self.jobs[job].view for job in sorted(remembered.jobs)]
        runs = remembered.runs or ()
        starts = [job.started_at for job in jobs if job.started_at and job.type is not JobType.ACCESS_CONTROL]
        starts += [run.started_at for run in runs if run.started_at]
        return ConnectorView(
            id=id,
            **remembered.facts,
            status_since=remembered.status_since,
            first_seen_at=remembered.first_seen_at,
            worker_seen_at=remembered.worker_seen_at,
            worker_moved_at=remembered.worker_moved_at,
            parse_errors=tuple(remembered.errors.get("parse_errors", ())),
            transport_errors=tuple(remembered.errors.get("transport_errors", ())),
            blocks_checkpoint_since=remembered.blocks_since,
            jobs=jobs,
            runs=runs,
            last_started_at=max(starts, default=None),
        )

    def _add(self, job: OpenJob) -> None:
        id, connector = job.row["id"], job.row["connector_id"]
        self.jobs[id] = job
        if connector is not None:
            self._jobs_of[connector].add(id)
            self._put(connector, self.connectors.get(connector) or self._new(connector))

    def _take(self, id: str) -> OpenJob | None:
        """Take out a job; what is told of it next may name another connector."""
        job = self.jobs.pop(id, None)
        if job is not None and (connector := job.row["connector_id"]) is not None:
            self._jobs_of[connector].discard(id)
            if (remembered := self.connectors.get(connector)) is not None:
                remembered.judged_at = None
                self.due.place(connector, remembered)
        return job

    def _run_ended(self, connector_id: str, *, urgent: bool) -> None:
        """One of its runs is over: what was read of its runs is out of date."""
        remembered = self.connectors.get(connector_id)
        if remembered is not None:
            remembered.runs = remembered.judged_at = None
            self.due.place(connector_id, remembered)
            if urgent:
                self.read_first.add(connector_id)


def run_of(row: PastRun) -> Run:
    """A past job as judging looks at it."""
    message = row.error_message
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
        longest_stall=row.longest_quiet,
    )
