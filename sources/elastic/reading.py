"""What one reading of jobs gave, and what went wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from connectory.model import JobFact, Problem, SystemErrorCode
from sources.base import SourceError
from sources.elastic.mapping import Unreadable
from sources.gathering import Gathered


@dataclass(kw_only=True)
class JobsRead(Gathered):
    """What was read of jobs so far, and what went wrong."""

    #: ids of jobs that were served but not understood
    unreadable: set[str] = field(default_factory=set)
    #: new jobs may lie where the lists do not reach
    beyond_window: bool = False

    def take(self, entries: Iterable[JobFact | Unreadable]) -> list[JobFact]:
        """Keep ``entries``; an unreadable one becomes a problem and its connector is owed."""
        taken = []
        for fact in entries:
            if isinstance(fact, JobFact):
                taken.append(fact)
                self.jobs[fact.external_id] = fact
                continue
            self.owed.update(() if fact.connector is None else (fact.connector,))
            name = fact.name or "without id"
            if name not in self.unreadable:
                self.unreadable.add(name)
                self.problems.append(Problem(SystemErrorCode.MISMATCH, f"job {name}: {fact.reason}"))
        return taken

    def missing(self, jobs: Iterable[str]) -> list[str]:
        """Those of ``jobs`` that have not been met."""
        return [job for job in jobs if not (job in self.jobs or job in self.gone or job in self.unreadable)]

    def failed(self, error: SourceError, what: str) -> None:
        self.problems.append(error.problem(what))
