"""What a poll or a look gathers of jobs, and the observation that comes of it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from connectory.model import ConnectorFact, JobFact, Observation, Problem


@dataclass(kw_only=True)
class Gathered:
    """What was read of jobs so far, and what went wrong."""

    #: by external id
    jobs: dict[str, JobFact] = field(default_factory=dict)
    #: open jobs that the upstream no longer serves
    gone: set[str] = field(default_factory=set)
    #: connectors of which a job could not be read
    owed: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def add(self, jobs: Iterable[JobFact]) -> None:
        self.jobs.update((job.external_id, job) for job in jobs)

    def merge(self, other: "Gathered") -> None:
        self.jobs |= other.jobs
        self.gone |= other.gone
        self.owed |= other.owed
        self.problems += other.problems

    def as_poll(self, connectors: Collection[ConnectorFact], *, complete: bool) -> Observation:
        """The observation of a poll that listed ``connectors``."""
        return Observation(
            connectors=list(connectors),
            jobs=list(self.jobs.values()),
            complete=complete,
            owed=frozenset(self.owed),
            gone_jobs=frozenset(self.gone),
            problems=self.problems,
        )

    def as_look(self) -> Observation:
        """The observation of a look at open jobs, which says nothing of connectors."""
        return Observation(
            connectors=[],
            jobs=list(self.jobs.values()),
            complete=False,
            gone_jobs=frozenset(self.gone),
            problems=self.problems,
        )
