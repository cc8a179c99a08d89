"""A plain model of what the store should hold: what upstreams served in answers that were stored, in that order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectory.model import ConnectorFact, ConnectorStatus, HistoryBatch, JobFact, JobStatus, Observation
from connectory.store.tables.identity import JOB, external_id, global_id
from tests.interleavings.held import Answer
from tests.interleavings.picture import Picture

SYSTEM_NAME = "scripted"
#: Consecutive complete answers without a connector that make it removed; and when those are empty.
_MISSED, _MISSED_FROM_EMPTY = 2, 3


@dataclass
class Connector:
    name: str
    status: ConnectorStatus
    is_removed: bool = False
    missed: int = 0
    history_read: bool = False
    #: the revision of the upstream that it was told as of
    revision: int = 0


@dataclass
class Job:
    connector: str | None
    order_at: datetime
    status: JobStatus
    processed: int | None
    completed_at: datetime | None
    has_vanished: bool = False
    revision: int = 0
    #: which of the answers that were stored told its end, if that was of the history
    ended_by: int = 0

    @property
    def is_open(self) -> bool:
        return self.status.open and not self.has_vanished

    def says(self, fact: JobFact) -> bool:
        seen = (fact.connector, fact.status, fact.processed, fact.completed_at, False)
        return seen == (self.connector, self.status, self.processed, self.completed_at, self.has_vanished)


@dataclass
class Model:
    connectors: dict[str, Connector] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    #: connector → the newest of its jobs that retention has removed
    floors: dict[str, datetime] = field(default_factory=dict)
    #: how many answers
    stored: int = 0

    # ---- answers

    def store(self, answer: Answer) -> None:
        content = answer.content
        self.stored += 1
        if isinstance(content, HistoryBatch):
            for fact in content.jobs:
                self._tell_job(fact, answer, past=True)
            for id in content.finished & self.connectors.keys():
                self.connectors[id].history_read = True
        elif isinstance(content, Observation):
            self._tell(content, answer)

    def _tell(self, seen: Observation, answer: Answer) -> None:
        for connector in seen.connectors:
            self._tell_connector(connector, answer.revision)
        lost = set(seen.gone_jobs)
        if answer.kind == "poll":
            self._miss(seen)
            removed = {id for id, each in self.connectors.items() if each.is_removed}
            lost |= {id for id, job in self.jobs.items() if job.is_open and job.connector in removed}
        for id in lost - {fact.external_id for fact in seen.jobs}:
            job = self.jobs.get(id)
            if job is not None and job.is_open:
                self._is_newer(f"job {id} is gone", job.revision, answer.revision)
                job.status, job.has_vanished, job.revision = JobStatus.UNKNOWN, True, answer.revision
        for fact in seen.jobs:
            self._tell_job(fact, answer)

    def _tell_connector(self, fact: ConnectorFact, revision: int) -> None:
        before = self.connectors.get(fact.external_id)
        found = Connector(fact.name, fact.status, fact.is_removed, revision=revision)
        if before is not None:
            found.history_read = before.history_read
            if (before.name, before.status, before.is_removed) != (found.name, found.status, found.is_removed):
                self._is_newer(f"connector {fact.external_id} changes", before.revision, revision)
            found.revision = max(before.revision, revision)
        self.connectors[fact.external_id] = found

    def _miss(self, seen: Observation) -> None:
        enough = _MISSED if seen.connectors else _MISSED_FROM_EMPTY
        for id in self.connectors.keys() - {fact.external_id for fact in seen.connectors}:
            connector = self.connectors[id]
            if seen.complete and not connector.is_removed:
                connector.missed += 1
                connector.is_removed = connector.missed >= enough

    def _tell_job(self, fact: JobFact, answer: Answer, *, past: bool = False) -> None:
        revision = answer.revision
        before = self.jobs.get(fact.external_id)
        if before is None:
            floor = self.floors.get(fact.connector or "")
            if not fact.status.open and floor is not None and fact.order_at <= floor:
                return  # what was removed does not come back
        elif before.says(fact):
            before.revision = max(before.revision, revision)
            return
        elif past and fact.status.open:
            return  # the history is slow: whatever is open is for the polls to tell
        elif fact.status.open and before.ended_by > answer.asked:
            return  # they were under way side by side: which is the newer one nobody knows, and an end stands
        elif not (before.has_vanished and fact.ended):  # better late than never: how it ended nobody knew
            self._is_newer(
                f"job {fact.external_id} turns from {before.status.name} to {fact.status.name}",
                before.revision,
                revision,
            )
        self.jobs[fact.external_id] = Job(
            fact.connector, fact.order_at, fact.status, fact.processed, fact.completed_at, revision=revision,
            ended_by=self.stored if past and not fact.status.open else 0,
        )  # fmt: skip

    def _is_newer(self, what: str, stored: int, seen: int) -> None:
        assert seen >= stored, f"{what}: an answer as of {seen} was stored over one as of {stored}"

    # ---- what retention takes

    def remove(self, before: Picture, now: Picture, keeps: timedelta, most: int, at: datetime) -> None:
        """Whatever went from the store was allowed to."""
        for id in before.jobs.keys() - now.jobs.keys():
            self._remove_job(before.jobs[id], keeps, most, at)
        for id in before.connectors.keys() - now.connectors.keys():
            name = external_id(id)
            gone = self.connectors.pop(name)
            assert gone.is_removed, f"connector {name} was removed by retention and is there"
            assert before.connectors[id]["removed_at"] < at - keeps, f"connector {name} was removed too early"
            self.floors.pop(name, None)

    def _remove_job(self, row: Mapping[str, Any], keeps: timedelta, most: int, at: datetime) -> None:
        id = row["external_id"]
        job = self.jobs[id]
        assert not job.is_open, f"job {id} was removed by retention and is open"
        assert job.connector is not None
        connector = self.connectors.get(job.connector)
        if connector is not None and not connector.is_removed:
            needed = {self.newest(job.connector), self.newest(job.connector, ended=True)}
            assert id not in needed, f"job {id} was removed by retention and {job.connector} needs it"
            ended = [other for other in self.of(job.connector) if not other.is_open and other.order_at > job.order_at]
            end = row["completed_at"] or row["last_seen_at"] or row["observed_at"]
            assert end < at - keeps or len(ended) >= most, f"job {id} of {job.connector} was removed by retention"
        del self.jobs[id]
        self.floors[job.connector] = max(job.order_at, self.floors.get(job.connector, job.order_at))

    # ---- comparing

    def of(self, connector: str) -> Iterable[Job]:
        return [job for job in self.jobs.values() if job.connector == connector]

    def newest(self, connector: str, *, ended: bool = False) -> str | None:
        theirs = [(job.order_at, id) for id, job in self.jobs.items() if job.connector == connector]
        if ended:
            theirs = [(at, id) for at, id in theirs if self.jobs[id].status.ended]
        return max(theirs)[1] if theirs else None

    def compare(self, now: Picture) -> None:
        """Raises AssertionError where the store holds something else."""
        held = {row["external_id"]: self._held_connector(row) for row in now.connectors.values()}
        held |= {row["external_id"]: _held_job(row) for row in now.jobs.values()}
        expected = {id: self._expected_connector(id) for id in self.connectors}
        expected |= {id: _expected_job(job) for id, job in self.jobs.items()}
        for id in sorted(held.keys() | expected.keys()):
            stored, served = held.get(id, {}), expected.get(id, {})
            differs = [name for name in stored | served if stored.get(name) != served.get(name)]
            assert not differs, "; ".join(f"{id}: {n} is {stored.get(n)}, not {served.get(n)}" for n in differs)

    def _held_connector(self, row: Mapping[str, Any]) -> dict[str, Any]:
        names = ("name", "status", "missed_polls", "history_read")
        held = {name: row[name] for name in names} | {"is_removed": row["removed_at"] is not None}
        if row["removed_at"] is None:
            names = ("latest_job_id", "last_job_status", "last_finished_job_status")
            held |= {name: row[name] for name in names}
        return held

    def _expected_connector(self, id: str) -> dict[str, Any]:
        connector = self.connectors[id]
        expected: dict[str, Any] = {
            "name": connector.name,
            "status": connector.status,
            "missed_polls": connector.missed,
            "history_read": connector.history_read,
            "is_removed": connector.is_removed,
        }
        if not connector.is_removed:
            latest, finished = self.newest(id), self.newest(id, ended=True)
            expected["latest_job_id"] = latest and global_id(JOB, SYSTEM_NAME, latest)
            expected["last_job_status"] = latest and self.jobs[latest].status
            expected["last_finished_job_status"] = finished and self.jobs[finished].status
        return expected


def _held_job(row: Mapping[str, Any]) -> dict[str, Any]:
    held = {name: row[name] for name in ("status", "processed", "completed_at", "is_open")}
    held["connector"] = row["connector_id"] and external_id(row["connector_id"])
    return held | {"has_vanished": row["vanished_at"] is not None}


def _expected_job(job: Job) -> dict[str, Any]:
    names = ("status", "processed", "completed_at", "is_open", "connector", "has_vanished")
    return {name: getattr(job, name) for name in names}
