"""Facts: what an upstream system said of a connector or a job, mapped to our words and nothing more.

A value that the upstream does not report is None, never 0.
"""

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property

from connectory.model.enums import AccessType, ConnectorMode, ConnectorStatus, JobStatus, JobTrigger, JobType
from connectory.model.fields import CountsFact

_NO_COUNTS = CountsFact()


@dataclass(frozen=True, slots=True)
class Details:
    """What the common fields do not hold: the name of the GraphQL type that shows it, and its fields as JSON text.

    Kept as text from the moment it is mapped: a page of two thousand connectors is ten times smaller that way, and
    nothing can change it on its way to the store. Keys are the Python names of the GraphQL type's fields.
    """

    type: str
    json: str


@dataclass(frozen=True, slots=True)
class StageFact:
    """One stage of a pipeline and how many documents it has passed."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class JobErrorFact:
    """One document or record that failed."""

    message: str
    document_id: str | None = None
    url: str | None = None
    at: datetime | None = None
    is_resolved: bool | None = None


class _Fingerprinted:
    @cached_property
    def fingerprint(self) -> str:
        """A short digest of everything the fact says: equal facts, equal fingerprints, in every process."""
        text = "\x1f".join(repr(getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()


@dataclass(frozen=True, kw_only=True)
class ConnectorFact(_Fingerprinted):
    """What an upstream said of one connector. Fields in its kind's ``rolls_up`` are filled from its jobs instead."""

    external_id: str
    name: str
    source: str
    status: ConnectorStatus
    upstream_status: str | None = None
    mode: ConnectorMode = ConnectorMode.BATCH
    url: str | None = None
    access_type: AccessType | None = None
    in_progress: bool = False
    in_repeated_error_state: bool | None = None
    is_editable: bool | None = None
    docs_indexed: int | None = None
    latest_job_docs_indexed: int | None = None
    last_job_status: JobStatus | None = None
    last_finished_job_status: JobStatus | None = None
    last_success_at: datetime | None = None
    last_sync_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    error_message: str | None = None
    #: the upstream itself calls it unhealthy
    is_unhealthy: bool = False
    #: the upstream marks it as deleted
    is_removed: bool = False
    #: last sign of life of the worker that serves it, where the upstream tells one
    worker_seen_at: datetime | None = None
    #: the longest distance, in seconds, between two runs that its schedule promises
    schedule_seconds: float | None = None
    #: the upstream says that nothing starts it by itself
    is_unscheduled: bool = False
    #: records that could not be read or written, and complaints of its transport: totals of the present run
    parse_errors: int | None = None
    transport_errors: int | None = None
    #: it keeps its pipeline from a checkpoint right now
    blocks_checkpoint: bool = False
    details: Details | None = None


@dataclass(frozen=True, kw_only=True)
class JobFact(_Fingerprinted):
    """What an upstream said of one job."""

    external_id: str
    #: the connector's external id; the connector itself may be unknown
    connector: str | None
    #: what it read, where the job itself tells; an orphan has nothing else to go by
    source: str | None = None
    status: JobStatus
    upstream_status: str | None = None
    type: JobType = JobType.UNKNOWN
    trigger: JobTrigger = JobTrigger.UNKNOWN
    counts: CountsFact = _NO_COUNTS
    processed: int | None = None
    #: the expected total, where the upstream tells one
    total: int | None = None
    stages: tuple[StageFact, ...] = ()
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    canceled_at: datetime | None = None
    last_seen_at: datetime | None = None
    error_message: str | None = None
    worker_hostname: str | None = None
    details: Details | None = None
    #: documents that the connector has in its index after this job
    docs_in_index: int | None = None
    #: when it was created, or the best bound that the upstream tells: the order of jobs
    order_at: datetime
    #: the upstream's own running number, where it has one: then numbers decide the order and order_at only places it
    sequence: int | None = None
    #: None: not read; a tuple: all that the upstream names
    errors: tuple[JobErrorFact, ...] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be expected of it."""
        return self.status.ended or self.completed_at is not None
