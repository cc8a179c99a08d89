"""What judging looks at and what it finds: the present and the past of one system, cut to what verdicts need.

Times are UTC. Those that an upstream tells follow its clock, those that say *we saw* follow ours; ages are taken from
ours wherever both are known, since clocks differ. A value that nobody told is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connectory.model import (
    ConditionCode,
    ConditionSeverity,
    ConnectorMode,
    ConnectorStatus,
    JobStatus,
    JobTrigger,
    JobType,
)

#: What evidence may hold: JSON, times as ISO 8601 texts.
Evidence = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Sample:
    """A counter as we saw it. One per poll or one per change: both read the same, values may repeat."""

    at: datetime
    processed: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nobody watched a system: it did not answer, or we did not run. No two overlap."""

    begin: datetime
    #: when it answered again
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A past job, ended."""

    #: the job's global id
    id: str
    status: JobStatus
    type: JobType
    trigger: JobTrigger = JobTrigger.UNKNOWN
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    processed: int | None = None
    #: documents that failed
    failed: int | None = None
    error_message: str | None = None
    #: seconds for which we watched it run and nothing moved, the longest such time; None where it was not watched
    longest_stall: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """An open job."""

    id: str
    external_id: str
    connector_id: str | None
    status: JobStatus
    type: JobType = JobType.UNKNOWN
    created_at: datetime | None = None
    #: when we saw it first
    first_seen_at: datetime
    #: when we saw it enter its present status; None: it had it when we saw it first
    status_since: datetime | None = None
    started_at: datetime | None = None
    #: the heartbeat that the upstream tells
    last_seen_at: datetime | None = None
    #: when we saw that heartbeat move; None: it has not since we saw the job first
    heartbeat_at: datetime | None = None
    #: when we saw any of its counters or stages move or its status turn, or when we saw it first; None: not known
    moved_at: datetime | None = None
    #: as ``Run.longest_stall``, of the pauses that are over
    longest_stall: float | None = None
    processed: int | None = None
    #: documents that failed
    failed: int | None = None
    #: received and not yet processed (a stream's counts.total - processed); None: not told
    backlog: int | None = None
    #: when we saw records wait for it after none had; None: not seen
    waiting_since: datetime | None = None
    #: oldest first, at most 200, those without a counter left out
    samples: Sequence[Sample] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorView:
    """A connector that is not removed, with its open jobs and what is remembered of its past."""

    id: str
    status: ConnectorStatus
    mode: ConnectorMode = ConnectorMode.BATCH
    #: when we saw it enter its present status; None: not seen to change
    status_since: datetime | None = None
    #: when we saw it first
    first_seen_at: datetime | None = None
    #: the sign of life of the worker that serves it, as the upstream tells it
    worker_seen_at: datetime | None = None
    #: when we saw that sign move; None: not seen to move
    worker_moved_at: datetime | None = None
    #: the longest distance of two runs that its schedule allows, in seconds
    schedule_seconds: float | None = None
    #: the upstream says that nothing starts it by itself; such a connector is never overdue
    is_unscheduled: bool = False
    #: totals of errors as we saw them, oldest first; empty where nothing counts them
    parse_errors: Sequence[Sample] = ()
    transport_errors: Sequence[Sample] = ()
    #: since when we see it hold back its pipeline's checkpoint; None: it does not
    blocks_checkpoint_since: datetime | None = None
    #: its open jobs
    jobs: Sequence[JobView] = ()
    #: its ended jobs that move content, newest first, at most 20
    runs: Sequence[Run] = ()
    #: the start of its newest job that moves content, open or ended
    last_started_at: datetime | None = None

    @property
    def latest(self) -> Run | None:
        """Its newest ended job that moves content."""
        return self.runs[0] if self.runs else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemView:
    """The system that was asked."""

    #: "connector": the upstream runs one job of a connector at a time; "none": nothing of the kind is known
    one_job_at_a_time: str = "none"
    #: whether its connectors tell when their worker was last alive (Elastic), so that silence means something
    tells_workers: bool = False
    #: seconds
    poll_interval: float = 15.0
    #: when it answered again after its last outage, and since when it had not; None: no outage is known
    answers_since: datetime | None = None
    silent_since: datetime | None = None
    #: since when this process watches it; None: for ever
    watched_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A condition that holds. Neither ``message`` nor ``evidence`` moves with the clock alone."""

    #: global id of the job, else of the connector, that it is about
    subject_id: str
    connector_id: str
    #: None for what is about the connector itself
    job_id: str | None
    code: ConditionCode
    severity: ConditionSeverity
    #: never moves while the condition holds
    since: datetime
    message: str
    evidence: Mapping[str, Evidence] = field(default_factory=dict)


#: What held before, by subject and code.
Before = Mapping[tuple[str, ConditionCode], Finding]
