"""Which movements of ``lastSync`` were jobs that nobody told us of.

A job that we know by its id moves ``lastSync`` too, and must not be counted twice.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from connectory.model import ConnectorFact, JobFact, JobStatus
from sources.zensearch import mapping

#: How long after a job's end its connector's ``lastSync`` may still be set; the pages do not say (zensearch.md §6).
AFTERWARDS = timedelta(seconds=5)


class Inference:
    """Remembers, per connector, the last ``lastSync`` seen and the one that its newest told job explains. Without that
    memory, after a restart, the times of the jobs decide alone."""

    def __init__(self) -> None:
        self._seen: dict[str, datetime | None] = {}
        self._explained: dict[str, tuple[str, datetime]] = {}

    def job(self, fact: ConnectorFact, jobs: Sequence[JobFact], *, is_new: bool) -> JobFact | None:
        """The job that ``lastSync`` gives away, None when it gives none away. ``jobs`` are the connector's newest job
        and its open ones, as far as the upstream told of them; ``is_new`` that the connector is seen for the first
        time."""
        moment = fact.last_sync_at
        if moment is None or any(self._explains(job, fact.external_id, moment) for job in jobs):
            return None
        if jobs and not is_new and self._seen.get(fact.external_id, moment) == moment:
            began = [job.started_at for job in jobs if job.started_at is not None]
            if began and min(began) > moment:
                return None  # it was dealt with before that job began; what changed is something else
        return mapping.inferred(fact.external_id, moment)

    def remember(self, facts: Iterable[ConnectorFact]) -> None:
        """These connectors are dealt with; others keep what was seen of them."""
        self._seen |= {fact.external_id: fact.last_sync_at for fact in facts}

    def _explains(self, job: JobFact, connector: str, moment: datetime) -> bool:
        """Whether this job's work falls together with ``moment``; it explains one such moment only."""
        explained_by, explained = self._explained.get(connector, (None, None))
        if explained == moment:
            return True
        if explained_by == job.external_id or not _covers(job, moment):
            return False
        self._explained[connector] = (job.external_id, moment)
        return True


def _covers(job: JobFact, moment: datetime) -> bool:
    if job.started_at is None:
        return job.status is not JobStatus.PENDING
    began = job.started_at.replace(microsecond=0)  # lastSync is told in whole seconds
    if job.status is JobStatus.PENDING:
        return moment.replace(microsecond=0) == began
    return began <= moment and (job.completed_at is None or moment <= job.completed_at + AFTERWARDS)
