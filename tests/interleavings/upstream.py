"""What an upstream holds, and what it answers with."""

from collections.abc import Mapping, Set
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime

from connectory.model import (
    ConnectorFact,
    ConnectorStatus,
    CountsFact,
    HistoryBatch,
    JobErrorFact,
    JobFact,
    JobFindings,
    JobStatus,
    Known,
    Observation,
    Problem,
    SystemErrorCode,
)
from tests.facts import at, connector, job

#: Jobs in one batch of the history.
_BATCH = 2


@dataclass
class Connector:
    id: str
    title: int = 0
    is_there: bool = True
    #: the upstream still names it, as deleted
    is_marked: bool = False
    status: ConnectorStatus = ConnectorStatus.ACTIVE

    @property
    def fact(self) -> ConnectorFact:
        return connector(self.id, name=f"Title {self.title}", status=self.status, is_removed=self.is_marked)


@dataclass
class Job:
    id: str
    connector: str
    order_at: datetime
    status: JobStatus = JobStatus.PENDING
    processed: int = 0
    is_served: bool = True
    completed_at: datetime | None = None

    @property
    def fact(self) -> JobFact:
        return job(
            self.id, self.connector, self.status, order_at=self.order_at, created_at=self.order_at,
            processed=self.processed, counts=CountsFact(indexed=self.processed), completed_at=self.completed_at,
        )  # fmt: skip

    @property
    def failures(self) -> tuple[JobErrorFact, ...]:
        return tuple(JobErrorFact(f"document {n} of {self.processed}") for n in range(self.processed % 3))


@dataclass
class Upstream:
    connectors: dict[str, Connector] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    #: counts what has happened
    revision: int = 0

    def copy(self) -> "Upstream":
        return deepcopy(self)

    def new_connector(self) -> None:
        id = f"c{len(self.connectors)}"
        self.connectors[id] = Connector(id)

    def new_job(self, connector: str, status: JobStatus) -> None:
        number = len(self.jobs)
        self.jobs[f"j{number}"] = Job(f"j{number}", connector, at(60 * number), status)

    def serves(self, job: Job) -> bool:
        return job.is_served and self.connectors[job.connector].is_there

    # ---- answers

    def list(self, known: Known, left_out: Set[str]) -> Observation:
        """All but the connectors that are left out; with any of them the answer is not complete."""
        there = [each for each in self.connectors.values() if each.is_there and each.id not in left_out]
        jobs = [each for each in self.jobs.values() if self.serves(each) and each.connector not in left_out]
        answer = [each.fact for each in jobs if each.status.open or each.id in known.open_jobs or _is_new(each, known)]
        asked = known.open_jobs.keys() & self.jobs.keys()  # one that began later is not asked for
        gone = {id for id in asked if not self.serves(self.jobs[id])}
        return Observation(
            connectors=[each.fact for each in there],
            jobs=answer,
            complete=not left_out,
            gone_jobs=frozenset(id for id in gone if self.jobs[id].connector not in left_out),
        )

    def see(self, jobs: Set[str]) -> Observation:
        """These jobs, with their connectors."""
        asked = [self.jobs[id] for id in sorted(jobs)]
        seen = [each for each in asked if self.serves(each)]
        return Observation(
            connectors=[self.connectors[id].fact for id in sorted({each.connector for each in seen})],
            jobs=[each.fact for each in seen],
            complete=False,
            gone_jobs=frozenset(each.id for each in asked if not self.serves(each)),
        )

    def past(self, connectors: Set[str], before: datetime) -> HistoryBatch:
        """The newest jobs of these connectors that are older than ``before``; the last batch has none."""
        theirs = [each for each in self.jobs.values() if each.connector in connectors and self.serves(each)]
        older = sorted((each for each in theirs if each.order_at < before), key=lambda each: each.order_at)
        jobs = [each.fact for each in older[-_BATCH:]]
        return HistoryBatch(jobs=jobs, finished=frozenset() if jobs else frozenset(connectors))

    def find(self, jobs: Set[str]) -> Mapping[str, JobFindings]:
        return {id: JobFindings(errors=self.jobs[id].failures) for id in jobs if self.serves(self.jobs[id])}


def _is_new(job: Job, known: Known) -> bool:
    return known.newest_job_at is None or job.order_at >= known.newest_job_at


def of_an_overloaded(answer: Observation) -> Observation:
    """With the reason why it is not complete."""
    return replace(answer, problems=(Problem(SystemErrorCode.UPSTREAM_ERROR, "not everything could be read"),))


def without_lost_jobs(answer: Observation, upstream: Upstream) -> Observation:
    """From an upstream that says nothing of the jobs of connectors that it lacks."""
    there = {id for id in answer.gone_jobs if upstream.connectors[upstream.jobs[id].connector].is_there}
    return replace(answer, gone_jobs=frozenset(there))
