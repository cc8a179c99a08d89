"""The tables. One row per system, connector and job, whose ``id`` is the Relay global id, and the change log.

What an upstream said stands in the columns as it said it; what follows from the clock (staleness, the age of an
answer) is joined when read and never stored.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, and_, text
from sqlmodel import Field, SQLModel

from connectory.model import (
    AccessType,
    ConditionCode,
    ConditionSeverity,
    ConnectorHealth,
    ConnectorMode,
    ConnectorStatus,
    DeliveryPhase,
    DescribedEnum,
    EventKind,
    JobStatus,
    JobTrigger,
    JobType,
    NoticeKind,
    SystemErrorCode,
    SystemHealth,
)
from connectory.store.tables.columns import Instant, Long, Name, Ranked


def _key() -> Any:
    return Field(sa_column=Column(Name, primary_key=True))


def _name(*, null: bool = False, unique: bool = False) -> Any:
    return Field(default=None, sa_column=Column(Name, nullable=null, unique=unique))


def _rank(of: type[DescribedEnum], *, null: bool = False) -> Any:
    return Field(default=None, sa_column=Column(Ranked(of), nullable=null))


def _instant(*, null: bool = True) -> Any:
    return Field(default=None, sa_column=Column(Instant(), nullable=null))


def _long() -> Any:
    return Field(default=None, sa_column=Column(Long, nullable=True))


def _json() -> Any:
    """JSON as text: what was mapped is what is stored, to the byte, on both stores."""
    return _name(null=True)


class SystemRow(SQLModel, table=True):
    """One configured deployment of an upstream, as its polls left it."""

    __tablename__ = "systems"

    id: str = _key()
    name: str = _name(unique=True)
    kind: str = _name()
    #: false once it is taken out of the configuration: hidden with all that is its own, kept for its return
    configured: bool = Field(default=True)
    health: SystemHealth = _rank(SystemHealth)
    capabilities: str = _name()
    #: seconds
    stale_after: float
    last_poll_at: datetime | None = _instant()
    #: last complete poll
    last_success_at: datetime | None = _instant()
    #: last poll that read the list, complete or not: when the rows without a time of their own were seen
    observed_at: datetime | None = _instant()
    next_poll_at: datetime | None = _instant()
    #: when it entered DOWN or AUTH_FAILED
    down_since: datetime | None = _instant()
    consecutive_failures: int = 0
    error_code: SystemErrorCode | None = _rank(SystemErrorCode, null=True)
    error_message: str | None = _name(null=True)
    error_at: datetime | None = _instant()
    #: of the lease under which it is polled, see LeaseRow: who polls under another one writes nothing of it
    fence: int = Field(default=0, sa_column=Column(Long, nullable=False, server_default="0"))


class ConnectorRow(SQLModel, table=True):
    """What reads one content source into an upstream."""

    __tablename__ = "connectors"
    __table_args__ = (
        Index("ix_connectors_system", "system_id", "external_id", unique=True),
        Index("ix_connectors_name", "name_key", "id"),
        Index("ix_connectors_source", "source", "id"),
        Index("ix_connectors_status", "status", "id"),
        Index("ix_connectors_health", "health", "id"),
        Index("ix_connectors_docs", "docs_indexed", "id"),
        Index("ix_connectors_success", "last_success_at", "id"),
        Index("ix_connectors_last_job", "last_job_status"),
        Index("ix_connectors_mode", "mode"),
        Index("ix_connectors_access", "access_type"),
        Index("ix_connectors_progress", "in_progress"),
        Index("ix_connectors_removed", "removed_at"),
    )

    id: str = _key()
    system_id: str = _name()
    external_id: str = _name()
    url: str | None = _name(null=True)
    name: str = _name()
    #: the name, case folded: what names are ordered and searched by
    name_key: str = _name()
    source: str = _name()
    mode: ConnectorMode = _rank(ConnectorMode)
    status: ConnectorStatus = _rank(ConnectorStatus)
    upstream_status: str | None = _name(null=True)
    health: ConnectorHealth = _rank(ConnectorHealth)
    access_type: AccessType | None = _rank(AccessType, null=True)
    in_progress: bool = False
    in_repeated_error_state: bool | None = None
    is_editable: bool | None = None
    is_unhealthy: bool = False
    docs_indexed: int | None = _long()
    latest_job_docs_indexed: int | None = _long()
    last_job_status: JobStatus | None = _rank(JobStatus, null=True)
    last_finished_job_status: JobStatus | None = _rank(JobStatus, null=True)
    last_success_at: datetime | None = _instant()
    last_sync_at: datetime | None = _instant()
    created_at: datetime | None = _instant()
    updated_at: datetime | None = _instant()
    error_message: str | None = _name(null=True)
    details_type: str | None = _name(null=True)
    details: str | None = _json()
    latest_job_id: str | None = _name(null=True)
    removed_at: datetime | None = _instant()
    #: set while it is missing from answers: when it was last seen; otherwise the system's own time holds
    observed_at: datetime | None = _instant()
    #: consecutive complete answers without it
    missed_polls: int = 0
    #: of the fact; null while something of it is owed
    fingerprint: str | None = _name(null=True)
    history_read: bool = False
    #: when we saw it enter its present status; null: not seen to change
    status_since: datetime | None = _instant()
    #: when we saw it first
    first_seen_at: datetime | None = _instant()
    #: since when we see it hold back its pipeline's checkpoint; null: it does not
    blocks_since: datetime | None = _instant()
    #: its worker's sign of life, and when we saw that move; null: not seen to move
    worker_seen_at: datetime | None = _instant()
    worker_moved_at: datetime | None = _instant()
    #: totals as they were told last
    parse_errors: int | None = _long()
    transport_errors: int | None = _long()


class JobRow(SQLModel, table=True):
    """One run."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_connector", "connector_id", "created_order", "id"),
        Index("ix_jobs_order", "created_order", "id"),
        Index("ix_jobs_system", "system_id", "created_order", "id"),
        Index("ix_jobs_sequence", "system_id", "sequence"),
        Index("ix_jobs_started", "started_at", "id"),
        Index("ix_jobs_completed", "completed_at", "id"),
        Index("ix_jobs_status", "status", "id"),
        Index("ix_jobs_indexed", "indexed", "id"),
        Index("ix_jobs_source", "source"),
        Index("ix_jobs_type", "type"),
        Index("ix_jobs_trigger", "trigger"),
        Index("ix_jobs_due", "system_id", sqlite_where=text("examine_due"), postgresql_where=text("examine_due")),
        Index(
            "ix_jobs_open", "system_id", "external_id", sqlite_where=text("is_open"), postgresql_where=text("is_open")
        ),
    )

    id: str = _key()
    system_id: str = _name()
    external_id: str = _name()
    connector_id: str | None = _name(null=True)
    source: str | None = _name(null=True)
    status: JobStatus = _rank(JobStatus)
    upstream_status: str | None = _name(null=True)
    type: JobType = _rank(JobType)
    trigger: JobTrigger = _rank(JobTrigger)
    is_open: bool = False
    indexed: int | None = _long()
    added: int | None = _long()
    updated: int | None = _long()
    deleted: int | None = _long()
    unchanged: int | None = _long()
    failed: int | None = _long()
    access_denied: int | None = _long()
    filter_denied: int | None = _long()
    robots_denied: int | None = _long()
    not_found: int | None = _long()
    counted_total: int | None = _long()
    volume_bytes: int | None = _long()
    processed: int | None = _long()
    expected_total: int | None = _long()
    stages: str | None = _json()
    docs_in_index: int | None = _long()
    created_at: datetime | None = _instant()
    started_at: datetime | None = _instant()
    completed_at: datetime | None = _instant()
    cancel_requested_at: datetime | None = _instant()
    canceled_at: datetime | None = _instant()
    last_seen_at: datetime | None = _instant()
    error_message: str | None = _name(null=True)
    worker_hostname: str | None = _name(null=True)
    details_type: str | None = _name(null=True)
    details: str | None = _json()
    #: microseconds since 1970: where it stands among the jobs
    created_order: int = Field(sa_column=Column(Long, nullable=False))
    sequence: int | None = _long()
    #: set once it is no longer read: when it was last seen; otherwise the system's own time holds
    observed_at: datetime | None = _instant()
    fingerprint: str | None = _name(null=True)
    #: when its upstream was found to tell of it no longer, though it had not ended; null again once it does
    vanished_at: datetime | None = _instant()
    #: it has ended and nobody has taken the closer look yet
    examine_due: bool = False
    #: of late, while it runs, as of ``counted_at``
    rate_per_second: float | None = None
    counted_at: datetime | None = _instant()
    #: what past runs of its connector and type let expect, and how many they were
    expected_seconds: float | None = None
    expected_processed: int | None = _long()
    expected_runs: int | None = None
    #: the longest time, in seconds, that we watched it run without a counter moving
    longest_quiet: float | None = None
    #: when we saw a counter move or its status turn, or saw it first; null: it had ended then
    moved_at: datetime | None = _instant()
    #: of a stream: since when we see it hold records that it has not processed; null: it holds none
    waiting_since: datetime | None = _instant()


class JobErrorRow(SQLModel, table=True):
    """One document of a job that failed; ``position`` is its place in the upstream's own order."""

    __tablename__ = "job_errors"

    job_id: str = _key()
    position: int = Field(sa_column=Column(Long, primary_key=True, autoincrement=False))
    document_id: str | None = _name(null=True)
    url: str | None = _name(null=True)
    message: str = _name()
    at: datetime | None = _instant()
    is_resolved: bool | None = None


class ConditionRow(SQLModel, table=True):
    """A condition that holds now, as the engine judged it; STALE and SYSTEM_DOWN are joined when read."""

    __tablename__ = "conditions"
    __table_args__ = (
        Index("ix_conditions_connector", "connector_id", "code"),
        Index("ix_conditions_job", "job_id", "code"),
        Index("ix_conditions_system", "system_id"),
    )

    #: global id of the job, else of the connector, that it is about
    subject_id: str = _key()
    code: ConditionCode = Field(sa_column=Column(Ranked(ConditionCode), primary_key=True, autoincrement=False))
    system_id: str = _name()
    connector_id: str = _name()
    #: null for what is about the connector itself
    job_id: str | None = _name(null=True)
    severity: ConditionSeverity = _rank(ConditionSeverity)
    since: datetime = _instant(null=False)
    message: str = _name()
    evidence: str = _name()


class EventRow(SQLModel, table=True):
    """One line of the change log. What it says is of its moment."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_connector", "connector_id", "position"),
        Index("ix_events_job", "job_id", "position"),
        Index("ix_events_system", "system_id", "position"),
        # a connector's own, without those of its jobs, which are many
        Index(
            "ix_events_own",
            "connector_id",
            "position",
            sqlite_where=text("job_id IS NULL"),
            postgresql_where=text("job_id IS NULL"),
        ),
    )

    #: without gaps, in commit order (see LogHeadRow)
    position: int = Field(sa_column=Column(Long, primary_key=True, autoincrement=False))
    at: datetime = _instant(null=False)
    kind: EventKind = _rank(EventKind)
    system_id: str = _name()
    connector_id: str | None = _name(null=True)
    job_id: str | None = _name(null=True)
    status: int | None = None
    previous_status: int | None = None
    health: int | None = None
    previous_health: int | None = None
    #: a job's progress; in the rows of a connector its documents in the index, which its history is drawn from
    processed: int | None = _long()
    changed_fields: str | None = _name(null=True)
    message: str | None = _name(null=True)
    #: drawn by the commit that wrote it, see ``cursors``; null in rows from before version 0009
    mark: int | None = None


class LogHeadRow(SQLModel, table=True):
    """The newest position of the change log: one row.

    Positions are taken by updating it, and the row lock is held until the commit: so on PostgreSQL too they become
    visible in order, and a transaction that fails gives its positions back.
    """

    __tablename__ = "log_head"

    id: int = Field(primary_key=True)
    position: int = Field(sa_column=Column(Long, nullable=False))
    #: that of the row there
    mark: int | None = None


class LogStartRow(SQLModel, table=True):
    """Where the change log begins, and of which store it is: one row. It is no column of ``log_head``, as retention and
    those who append would wait for each other."""

    __tablename__ = "log_start"

    id: int = Field(primary_key=True)
    #: drawn once, when the table was made
    store: int
    #: of the newest row that retention has removed; 0 before it has removed any
    position: int = Field(sa_column=Column(Long, nullable=False))
    #: that row's
    mark: int | None = None


class OutageRow(SQLModel, table=True):
    """How long a system did not answer, from entering DOWN or AUTH_FAILED to leaving them; kept beyond the log."""

    __tablename__ = "outages"
    __table_args__ = (Index("ix_outages_system", "system_id", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    system_id: str = _name()
    started_at: datetime = _instant(null=False)
    #: null while it lasts
    ended_at: datetime | None = _instant()
    #: what it began with
    code: SystemErrorCode = _rank(SystemErrorCode)
    message: str = _name()


class UnwatchedRow(SQLModel, table=True):
    """A stretch of time in which a system was due and nobody asked it: no gateway ran, or the machine slept."""

    __tablename__ = "unwatched"
    __table_args__ = (Index("ix_unwatched_system", "system_id", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    system_id: str = _name()
    started_at: datetime = _instant(null=False)
    ended_at: datetime = _instant(null=False)


class JobStretchRow(SQLModel, table=True):
    """What a job had done before its upstream resumed it and counted anew."""

    __tablename__ = "job_stretches"

    job_id: str = _key()
    #: from 1, in the order of time
    number: int = Field(primary_key=True)
    started_at: datetime | None = _instant()
    #: when it was last seen at work
    ended_at: datetime | None = _instant()
    processed: int | None = _long()
    #: the counts that were told, as a JSON object
    counts: str = _name()


class JobFloorRow(SQLModel, table=True):
    """Up to where retention has removed a connector's jobs: what its upstream tells of them later is not wanted. Jobs
    without a connector stand under their system's id."""

    __tablename__ = "job_floors"

    connector_id: str = _key()
    #: of the newest job that was removed
    created_order: int = Field(sa_column=Column(Long, nullable=False))
    #: the latest end of a job that was removed; null where none was told, or none was removed since version 0006
    ended_at: datetime | None = _instant()


class NoticeRow(SQLModel, table=True):
    """Something that people are told of, from its raising to its recovery."""

    __tablename__ = "notices"
    __table_args__ = (
        Index("ix_notices_raised", "raised_at", "id"),
        Index("ix_notices_system", "system_id", "raised_at"),
        Index(
            "ix_notices_open",
            "key",
            unique=True,
            sqlite_where=text("recovered_at IS NULL"),
            postgresql_where=text("recovered_at IS NULL"),
        ),
    )

    id: str = _key()
    #: what it is about: there is one open notice of a key at most
    key: str = _name()
    kind: NoticeKind = _rank(NoticeKind)
    #: null for a job that failed
    code: ConditionCode | None = _rank(ConditionCode, null=True)
    severity: ConditionSeverity = _rank(ConditionSeverity)
    system_id: str = _name()
    connector_id: str | None = _name(null=True)
    job_id: str | None = _name(null=True)
    title: str = _name()
    message: str = _name()
    since: datetime = _instant(null=False)
    #: when the notifier first saw it
    seen_at: datetime = _instant(null=False)
    #: null until it has held for long enough; what ends before that is deleted
    raised_at: datetime | None = _instant()
    #: the log's position at its raising, and the mark of the row there
    position: int | None = _long()
    mark: int | None = None
    recovered_at: datetime | None = _instant()
    recovery_message: str | None = _name(null=True)
    acknowledged_at: datetime | None = _instant()
    acknowledged_by: str | None = _name(null=True)


class DeliveryRow(SQLModel, table=True):
    """One message to one receiver. It is waiting while it is neither delivered nor dead."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_notice", "notice_id"),
        Index(
            "ix_deliveries_waiting",
            "receiver",
            "sequence",
            sqlite_where=text("delivered_at IS NULL AND dead_at IS NULL"),
            postgresql_where=text("delivered_at IS NULL AND dead_at IS NULL"),
        ),
    )

    #: the key by which a receiver knows what it has been sent twice
    id: str = _key()
    notice_id: str = _name()
    #: its name in the configuration
    receiver: str = _name()
    phase: DeliveryPhase = _rank(DeliveryPhase)
    #: the order in which a receiver gets them
    sequence: int = Field(sa_column=Column(Long, nullable=False))
    #: what is told, as a JSON object
    payload: str = _name()
    created_at: datetime = _instant(null=False)
    #: how often it was sent, the attempt under way included
    attempts: int = 0
    next_attempt_at: datetime = _instant(null=False)
    delivered_at: datetime | None = _instant()
    dead_at: datetime | None = _instant()
    last_error: str | None = _name(null=True)


class NotifierRow(SQLModel, table=True):
    """How far the notifier has come: one row."""

    __tablename__ = "notifier"

    id: int = Field(primary_key=True)
    #: of the change log; null before it has looked at anything
    position: int | None = _long()
    #: counts its commits: who finds another number than it read has been overtaken
    turn: int = Field(sa_column=Column(Long, nullable=False))
    #: the newest delivery's
    sequence: int = Field(sa_column=Column(Long, nullable=False))
    #: of the lease under which notices are made and sent, see LeaseRow
    fence: int = Field(default=0, sa_column=Column(Long, nullable=False, server_default="0"))


class LeaseRow(SQLModel, table=True):
    """Who does what only one process may do, and until when. A lease that was given back keeps its row."""

    __tablename__ = "leases"

    #: ``system:NAME``, ``notices``, ``retention``
    name: str = _key()
    #: one store that a process has opened; null: it was given back
    holder: str | None = _name(null=True)
    #: that process, see connectory.store.leases.process
    host: str = _name()
    pid: int = Field(sa_column=Column(Long, nullable=False))
    birth: str = _name()
    #: pid of the session of PostgreSQL that holds the advisory lock
    backend: int | None = _long()
    #: raised by every taker; the row that the lease guards has the same number
    fence: int = Field(sa_column=Column(Long, nullable=False))
    #: by the clock of the database on PostgreSQL, of the holder's machine on SQLite
    since: datetime = _instant(null=False)
    renewed_at: datetime = _instant(null=False)
    expires_at: datetime = _instant(null=False)


SYSTEMS = SystemRow.__table__  # type: ignore[attr-defined]
CONNECTORS = ConnectorRow.__table__  # type: ignore[attr-defined]
JOBS = JobRow.__table__  # type: ignore[attr-defined]
JOB_ERRORS = JobErrorRow.__table__  # type: ignore[attr-defined]
CONDITIONS = ConditionRow.__table__  # type: ignore[attr-defined]
EVENTS = EventRow.__table__  # type: ignore[attr-defined]
LOG_HEAD = LogHeadRow.__table__  # type: ignore[attr-defined]
LOG_START = LogStartRow.__table__  # type: ignore[attr-defined]
#: The one row of both: by their keys, or PostgreSQL, which has no statistics of such small tables, expects millions.
LOG_ENDS = LOG_HEAD.join(LOG_START, and_(LOG_HEAD.c.id == 1, LOG_START.c.id == 1))
OUTAGES = OutageRow.__table__  # type: ignore[attr-defined]
UNWATCHED = UnwatchedRow.__table__  # type: ignore[attr-defined]
JOB_STRETCHES = JobStretchRow.__table__  # type: ignore[attr-defined]
JOB_FLOORS = JobFloorRow.__table__  # type: ignore[attr-defined]
NOTICES = NoticeRow.__table__  # type: ignore[attr-defined]
DELIVERIES = DeliveryRow.__table__  # type: ignore[attr-defined]
NOTIFIER = NotifierRow.__table__  # type: ignore[attr-defined]
LEASES = LeaseRow.__table__  # type: ignore[attr-defined]
