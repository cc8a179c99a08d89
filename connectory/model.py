"""The shared vocabulary: enums and frozen facts.

A *fact* is what an upstream system said, mapped to our words and nothing more: a value that the upstream does not
report is None, never 0. Everybody may import this module; it imports nothing of ours.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, Self


class DescribedEnum(Enum):
    """An enum whose values carry the sentence that GraphQL shows for them.

    ``value`` is the place in declaration order: the sort order, and what the store holds. New values go to the end.
    """

    description: str

    def __new__(cls, description: str) -> Self:
        member = object.__new__(cls)
        member._value_ = len(cls.__members__)
        member.description = description
        return member

    def __str__(self) -> str:
        return self.name


class SystemHealth(DescribedEnum):
    """How well a system answers us."""

    UP = "The last poll was complete."
    DEGRADED = "The last poll was partly unreadable, is rate limited, or failed once after a success."
    DOWN = "Two polls in a row failed, or the first one ever did, and none was answered since."
    AUTH_FAILED = "The system refuses our credentials."
    UNKNOWN = "Not polled yet."


class SystemErrorCode(DescribedEnum):
    """What kept a poll from being complete."""

    UNREACHABLE = "No connection: refused, reset, or the name does not resolve."
    TIMEOUT = "No complete answer within the configured time."
    TLS = "The certificate or the TLS handshake was refused."
    AUTH_FAILED = "The credentials were refused or lack a privilege."
    RATE_LIMITED = "The system asked us to slow down."
    UPSTREAM_ERROR = "The system answered with an error of its own."
    MISMATCH = "The answer was not what the system's API promises."


class Capability(DescribedEnum):
    """What an upstream can tell or do."""

    JOB_HISTORY = "It lists past jobs."
    JOB_PROGRESS = "It tells growing counters of a running job."
    JOB_TOTALS = "It tells the expected total of a running job."
    JOB_HEARTBEAT = "It tells when a running job was last seen alive."
    DOCUMENT_ERRORS = "It names the documents that failed."
    TRIGGER_SYNC = "A sync can be started."
    CANCEL_JOB = "A job can be canceled."
    PAUSE = "A connector can be paused."
    RESUME = "A paused connector can be resumed."
    CREATE_CONNECTOR = "A connector can be created."
    UPDATE_CONNECTOR = "A connector can be changed."
    DELETE_CONNECTOR = "A connector can be deleted."
    OAUTH = "Credentials can be obtained by OAuth."


class ConnectorMode(DescribedEnum):
    """How a connector moves content."""

    BATCH = "It runs jobs that begin and end."
    STREAMING = "It runs for as long as its pipeline does."
    FEDERATED = "It is queried live and never indexed."


class ConnectorStatus(DescribedEnum):
    """The life-cycle state that the upstream gives a connector."""

    SCHEDULED = "Set up; nothing has run yet."
    INITIALIZING = "The first run has begun and none has succeeded yet."
    ACTIVE = "In service."
    PAUSED = "Held by somebody; no new runs."
    INACTIVE = "Not in service, without an error."
    NEEDS_CONFIGURATION = "Values are missing before it can run."
    ERROR = "Out of service because of an error."
    DELETING = "Being removed by the upstream."
    UNKNOWN = "The upstream said a word that we do not know; see upstreamStatus."


class ConnectorHealth(DescribedEnum):
    """Whether a connector does its work, judged from its status and its runs."""

    HEALTHY = "Nothing speaks against it."
    DEGRADED = "It works, with errors or interruptions."
    FAILING = "In error, or its last finished run failed."
    UNKNOWN = "Nothing ever ran, or its status is unknown."


class AccessType(DescribedEnum):
    """Who may find the content in the upstream."""

    PUBLIC = "Everybody who may use the upstream."
    PRIVATE = "Chosen people or groups."
    SYNC = "Permissions are mirrored from the source."


class ConnectorAction(DescribedEnum):
    """An action that a connector accepts now."""

    TRIGGER_SYNC = "Start a sync."
    PAUSE = "Pause it."
    RESUME = "Resume it."
    UPDATE = "Change it."
    DELETE = "Delete it."


class JobAction(DescribedEnum):
    """An action that a job accepts now."""

    CANCEL = "Cancel it."


class JobStatus(DescribedEnum):
    """The state of one run."""

    PENDING = "Queued; no worker has begun."
    RUNNING = "At work."
    SUSPENDED = "Stopped in the middle; the upstream will resume it."
    CANCELING = "Asked to stop; not stopped yet."
    SUCCEEDED = "Ended well."
    SUCCEEDED_WITH_ERRORS = "Ended; some documents failed."
    FAILED = "Ended by an error."
    CANCELED = "Ended on request."
    INTERRUPTED = "Ended by its worker's stop; not a failure of its own."
    UNKNOWN = "The upstream said a word that we do not know, or no longer tells; see upstreamStatus."

    @property
    def ended(self) -> bool:
        return self in ENDED

    @property
    def open(self) -> bool:
        """Whether more is to be expected of it."""
        return self in OPEN


OPEN = frozenset({JobStatus.PENDING, JobStatus.RUNNING, JobStatus.SUSPENDED, JobStatus.CANCELING})
RUNNING = frozenset({JobStatus.RUNNING, JobStatus.CANCELING})
SUCCEEDED = frozenset({JobStatus.SUCCEEDED, JobStatus.SUCCEEDED_WITH_ERRORS})
ENDED = SUCCEEDED | {JobStatus.FAILED, JobStatus.CANCELED, JobStatus.INTERRUPTED}


class JobType(DescribedEnum):
    """What a job sets out to do."""

    FULL = "Everything is read."
    INCREMENTAL = "Only what changed is read."
    ACCESS_CONTROL = "Permissions are read, no content."
    STREAM = "It reads for as long as its pipeline runs."
    UNKNOWN = "The upstream does not tell."


class JobTrigger(DescribedEnum):
    """What started a job."""

    ON_DEMAND = "Somebody asked for it."
    SCHEDULED = "Its schedule."
    UNKNOWN = "The upstream does not tell."


class EtaBasis(DescribedEnum):
    """What an estimate rests on."""

    TOTAL_KNOWN = "The upstream tells the total."
    PAST_RUNS = "Past runs of the same connector."
    NONE = "There is no estimate."


class ConditionSeverity(DescribedEnum):
    """How much a condition matters."""

    INFO = "Good to know."
    WARNING = "Look at it soon."
    CRITICAL = "Look at it now."


class ConditionCode(DescribedEnum):
    """Why something is in the state it is in."""

    QUEUED = "Waits for a worker."
    QUEUED_BEHIND = "Waits for another job of its connector."
    NO_PROGRESS = "Runs or is being canceled, but its counters stand still."
    HEARTBEAT_LOST = "Runs, but its worker has gone silent."
    NO_WORKER = "No worker is alive to take it."
    REPEATED_FAILURES = "Its last runs failed, those aside that were stopped."
    DOCUMENT_ERRORS = "Documents failed."
    PARSE_ERRORS = "Records could not be parsed."
    TRANSPORT_ERRORS = "The transport reports errors."
    BLOCKS_CHECKPOINT = "It keeps its pipeline from a checkpoint."
    OVERDUE = "Later than its own rhythm or schedule says."
    STALE = "The values are older than the system's freshness limit."
    SYSTEM_DOWN = "Its system does not answer."


class NoticeKind(DescribedEnum):
    """What a notice is about."""

    CONDITION = "A condition of weight that a connector shows."
    JOB_FAILED = "A connector's jobs fail, once or again and again, or it is in error."
    SYSTEM_DOWN = "A system does not answer, and nothing else is told of its connectors meanwhile."


class DeliveryPhase(DescribedEnum):
    """Which end of a notice a delivery tells of."""

    RAISED = "Something failed or got stuck."
    RECOVERED = "It is over."


class DeliveryStatus(DescribedEnum):
    """How far a delivery has come."""

    PENDING = "Not accepted yet; it is sent, or will be sent again."
    DELIVERED = "The receiver has accepted it."
    DEAD = "Given up: refused for good, or not accepted for too long. See lastError."


class EventKind(DescribedEnum):
    """What was observed to change."""

    CONNECTOR_ADDED = "A connector appeared."
    CONNECTOR_CHANGED = "A connector changed."
    CONNECTOR_REMOVED = "A connector was found gone."
    JOB_CREATED = "A job was seen for the first time."
    JOB_PROGRESSED = "A job's counters or its heartbeat moved."
    JOB_CHANGED = "A job changed otherwise."
    JOB_FINISHED = "A job ended."
    SYSTEM_DOWN = "A system became DOWN or AUTH_FAILED."
    SYSTEM_RECOVERED = "A system left DOWN or AUTH_FAILED."
    SYSTEM_CHANGED = "A system's health changed otherwise."
    GAP = "Events were lost or are no longer kept."


class Role(DescribedEnum):
    """What a viewer may do."""

    VIEWER = "Reads."
    OPERATOR = "Reads; refreshes, triggers, cancels, pauses and resumes."
    ADMIN = "Also creates, updates, deletes and authorises."


class ActionFailureCode(DescribedEnum):
    """Why an action was not carried out."""

    NOT_FOUND = "There is nothing of that name or id."
    FORBIDDEN = "The viewer's role does not allow it."
    NOT_SUPPORTED = "The upstream has no such action."
    INVALID_INPUT = "The input does not make sense; the message says what."
    CONFLICT = "The present state does not allow it."
    UPSTREAM_REJECTED = "The upstream refused it."
    UPSTREAM_UNAVAILABLE = "The upstream cannot be asked now; see retryAfterSeconds."
    NO_EFFECT = "The upstream accepted it, and nothing happened."
    STORE_UNAVAILABLE = "The store cannot be written now; what was asked for is not done."


@dataclass(frozen=True, slots=True)
class ActionRefusal:
    """The one shape in which an action says no."""

    code: ActionFailureCode
    message: str
    #: the upstream's HTTP status, where it gave one
    upstream_status: int | None = None
    retry_after_seconds: float | None = None


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


@dataclass(frozen=True, slots=True)
class CountsFact:
    """A job's counters; None means that the upstream does not report it."""

    indexed: int | None = None
    added: int | None = None
    updated: int | None = None
    deleted: int | None = None
    unchanged: int | None = None
    failed: int | None = None
    access_denied: int | None = None
    filter_denied: int | None = None
    robots_denied: int | None = None
    not_found: int | None = None
    total: int | None = None
    #: bytes
    volume_bytes: int | None = None


class _Fingerprinted:
    @cached_property
    def fingerprint(self) -> str:
        """A short digest of everything the fact says: equal facts, equal fingerprints, in every process."""
        said = "\x1f".join(repr(getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return hashlib.blake2b(said.encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()


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
    counts: CountsFact = CountsFact()
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
        return self.status.ended or self.completed_at is not None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that kept an answer from being complete."""

    code: SystemErrorCode
    message: str
    #: seconds that the system asked us to wait
    retry_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one poll of a system saw.

    A connector absent from a ``complete`` answer counts as missed; absence from any other answer says nothing.
    """

    connectors: Sequence[ConnectorFact]
    jobs: Sequence[JobFact] = ()
    complete: bool = True
    #: connectors whose jobs could not be read this time: they count as changed until they can
    owed: frozenset[str] = frozenset()
    #: open jobs that the upstream no longer serves
    gone_jobs: frozenset[str] = frozenset()
    #: jobs known to be open whose run ended without a word: there is no fact of how far it came
    canceled_jobs: frozenset[str] = frozenset()
    problems: Sequence[Problem] = ()

    @cached_property
    def by_id(self) -> Mapping[str, ConnectorFact]:
        """The connectors by external id; of several with the same one the last."""
        return {fact.external_id: fact for fact in self.connectors}


@dataclass(frozen=True, kw_only=True)
class HistoryBatch:
    """A stretch of past jobs; ``finished`` names the connectors whose history is now read in full."""

    jobs: Sequence[JobFact]
    finished: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class JobFindings:
    """What a closer look at a job found beyond its JobFact."""

    #: all documents that the upstream names as failed; None when it could not be asked
    errors: tuple[JobErrorFact, ...] | None = None
    #: fields of the job's details type to be set
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class KnownConnector:
    """What the engine remembers of a connector between polls."""

    #: of the fact last stored; None when something of it is still owed
    fingerprint: str | None = None
    #: external id of the newest job that moves content
    latest_job: str | None = None
    history_read: bool = False
    #: consecutive complete answers without it
    missed_polls: int = 0
    #: last answer lacked it, whether that answer was complete or not
    is_missing: bool = False
    is_removed: bool = False


@dataclass(slots=True)
class Known:
    """What the engine remembers of a system: enough for an adapter to ask only for what is new.

    Adapters read it and never write it.
    """

    connectors: dict[str, KnownConnector] = field(default_factory=dict)
    #: external id of each job not known to have ended → its connector's external id
    open_jobs: dict[str, str | None] = field(default_factory=dict)
    #: those of the open jobs that are at work
    running_jobs: set[str] = field(default_factory=set)
    #: order_at of the newest job stored
    newest_job_at: datetime | None = None

    def unchanged(self, fact: ConnectorFact) -> bool:
        known = self.connectors.get(fact.external_id)
        return known is not None and known.fingerprint == fact.fingerprint


JsonObject = Mapping[str, Any]
