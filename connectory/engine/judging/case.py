"""The case that is judged: one connector, what held of it before, and the moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connectory.engine.judging.thresholds import Thresholds
from connectory.engine.judging.views import Before, ConnectorView, Evidence, Finding, JobView, SystemView
from connectory.model import ConditionCode, ConditionSeverity


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    system: SystemView
    connector: ConnectorView
    thresholds: Thresholds
    before: Before
    now: datetime

    def held(self, code: ConditionCode, job: JobView | None = None) -> Finding | None:
        """What held before of the job, else of the connector."""
        return self.before.get((self.connector.id if job is None else job.id, code))

    def since(self, moment: datetime) -> float:
        """Seconds since then; below zero when the clock was set back."""
        return (self.now - moment).total_seconds()

    def seen_for(self, moment: datetime) -> float:
        """Seconds since then, but for what lies before the end of the system's last outage: while it does not answer
        nobody can see a sign of life, and its workers, which write theirs there, cannot give one."""
        answers = self.system.answers_since
        return self.since(moment if answers is None else max(moment, answers))

    def holds_on(self, held: Finding | None, moment: datetime, limit: float) -> bool:
        """Whether what was found goes on to hold: no clock that is set back ends it and no outage, but a limit that has
        grown beyond what has passed since ``moment``."""
        return held is not None and (not has_grown(limit, held) or self.since(moment) >= limit)

    def finding(
        self,
        code: ConditionCode,
        severity: ConditionSeverity,
        since: datetime,
        message: str,
        evidence: Mapping[str, Evidence],
        job: JobView | None = None,
        *,
        anew: bool = False,
    ) -> Finding:
        """About the job, else about the connector. It began when it was first found to, and never in the future.

        ``anew``: what held before has ended meanwhile, and this is the next one.
        """
        held = None if anew else self.held(code, job)
        return Finding(
            subject_id=self.connector.id if job is None else job.id,
            connector_id=self.connector.id,
            job_id=None if job is None else job.id,
            code=code,
            severity=severity,
            since=min(since, self.now) if held is None else held.since,
            message=message,
            evidence=evidence,
        )


def has_grown(limit: float, held: Finding) -> bool:
    """Whether the limit is larger than the one that this went beyond."""
    return limit > float(str(held.evidence.get("thresholdSeconds", limit)))
