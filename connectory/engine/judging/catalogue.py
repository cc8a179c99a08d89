"""What each condition means: how much it matters, what raises and ends it, what its evidence tells."""

from collections.abc import Mapping
from dataclasses import dataclass

from connectory.model import ConditionCode, ConditionSeverity

_CREATED = {"createdAt": "when the upstream created the job", "firstSeenAt": "when it was seen here first"}
_LIMIT = {"thresholdSeconds": "the limit that it went beyond"}
_TOTALS = {
    "total": "errors counted now",
    "totalBefore": "errors counted before they began to grow",
    "lastGrewAt": "when they were last seen to grow",
    "windowSeconds": "it ends after so long without growth",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    severities: tuple[ConditionSeverity, ...]
    #: what it is raised for, and what ends it
    raised: str
    ended: str
    #: fields of Thresholds that move it
    thresholds: tuple[str, ...] = ()
    #: evidence keys and what they tell
    evidence: Mapping[str, str]


_INFO, _WARNING, _CRITICAL = ConditionSeverity

#: Every code that is judged. STALE and SYSTEM_DOWN are joined when read.
MEANINGS: Mapping[ConditionCode, Meaning] = {
    ConditionCode.QUEUED: Meaning(
        severities=(_INFO,),
        raised="a job is PENDING for longer than the limit, or twice as long as its forerunners waited",
        ended="the job leaves PENDING, or its forerunners turn out to have waited for longer",
        thresholds=("queued",),
        evidence=_CREATED | _LIMIT,
    ),
    ConditionCode.QUEUED_BEHIND: Meaning(
        severities=(_INFO,),
        raised="a job is PENDING for longer than the limit behind another of its connector (Elastic, Onyx)",
        ended="the job leaves PENDING, or nothing is ahead of it any more",
        thresholds=("queued",),
        evidence={
            "behindJobId": "the job that it waits for: its id here",
            "behindExternalId": "the same: the upstream's id",
            "behindStatus": "the status of that job",
        }
        | _CREATED
        | _LIMIT,
    ),
    ConditionCode.NO_WORKER: Meaning(
        severities=(_CRITICAL,),
        raised="a job waits, and the connector's worker never gave a sign of life or none for the limit (Elastic)",
        ended="the worker gives a sign of life, or the job goes on",
        thresholds=("no_worker", "queued"),
        evidence={"workerSeenAt": "the worker's last sign of life, null for none"} | _CREATED | _LIMIT,
    ),
    ConditionCode.NO_PROGRESS: Meaning(
        severities=(_WARNING, _CRITICAL),
        raised="a job is RUNNING and no counter moved for the limit, or for twice the longest pause of its own or of "
        "past runs of its type that succeeded; for a stream: records wait, and none was processed for the limit; "
        "a job is CANCELING, and has neither ended nor moved for as long; CRITICAL after four times that",
        ended="a counter moves, the job's status changes, or past runs turn out to have paused for longer",
        thresholds=("no_progress", "critical_factor"),
        evidence={
            "lastMovedAt": "when a counter was last seen to move",
            "processed": "how far it had come",
            "waiting": "records that wait for a stream; null for other jobs",
            "heartbeat": "alive where it has moved since the counters did, else unknown",
            "lastSeenAt": "the upstream's last sign of life of the job",
        }
        | _LIMIT,
    ),
    ConditionCode.HEARTBEAT_LOST: Meaning(
        severities=(_CRITICAL,),
        raised="the upstream tells a heartbeat, the job runs, and neither heartbeat nor counters moved for the limit",
        ended="the heartbeat or a counter moves, or the job ends",
        thresholds=("heartbeat",),
        evidence={
            "lastSeenAt": "the heartbeat as the upstream tells it",
            "lastSignAt": "when anything of the job was last seen to move",
            "processed": "how far it had come",
        }
        | _LIMIT,
    ),
    ConditionCode.REPEATED_FAILURES: Meaning(
        severities=(_WARNING, _CRITICAL),
        raised="two runs in a row failed; CRITICAL from five; canceled and interrupted ones do not count",
        ended="a run succeeds",
        thresholds=("failures", "failures_critical"),
        evidence={
            "failures": "failed runs in a row",
            "firstFailedAt": "the end of the first of them",
            "firstJobId": "its id",
            "lastFailedAt": "the end of the last of them",
            "lastJobId": "its id",
            "lastError": "what the upstream said of it",
        },
    ),
    ConditionCode.DOCUMENT_ERRORS: Meaning(
        severities=(_WARNING,),
        raised="the open run, or the newest that ended, has failed documents",
        ended="a run succeeds without",
        evidence={"failed": "failed documents, null where they are not counted", "jobId": "the run"},
    ),
    ConditionCode.PARSE_ERRORS: Meaning(
        severities=(_WARNING,),
        raised="records that cannot be parsed grew in number within the window",
        ended="a window without growth",
        thresholds=("error_window",),
        evidence=_TOTALS,
    ),
    ConditionCode.TRANSPORT_ERRORS: Meaning(
        severities=(_WARNING,),
        raised="errors of the transport grew in number within the window",
        ended="a window without growth",
        thresholds=("error_window",),
        evidence=_TOTALS,
    ),
    ConditionCode.BLOCKS_CHECKPOINT: Meaning(
        severities=(_WARNING,),
        raised="an endpoint holds back its pipeline's checkpoint for longer than the limit (Feldera)",
        ended="it lets go",
        thresholds=("checkpoint",),
        evidence={"blockedSince": "since when it was seen to"} | _LIMIT,
    ),
    ConditionCode.OVERDUE: Meaning(
        severities=(_WARNING,),
        raised="an ACTIVE batch connector with nothing open began no run for longer than its schedule says, or else "
        "than the distances of at least four past starts that nobody asked for; one that never ran: since it was first "
        "seen here",
        ended="a run begins, it leaves service, or its schedule or its past turns out to allow more",
        thresholds=("overdue_factor", "schedule_factor", "overdue_least"),
        evidence={
            "basis": "SCHEDULE or PAST_RUNS",
            "lastStartedAt": "the start of its newest run",
            "expectedEverySeconds": "the distance of two runs that was to be expected",
            "overdueSince": "when the last allowance ended",
        },
    ),
}
