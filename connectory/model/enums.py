"""The enums. Their values and the sentences that GraphQL shows for them."""

from enum import Enum
from typing import Self


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
        """Whether it says how the run ended; UNKNOWN does not."""
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
